"""When the brake stops dead letters."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.brake import Brake

MESSAGES = st.lists(st.booleans(), max_size=400)
"""For each message in order whether it can be counted."""


def run(brake: Brake, messages: list[bool], *, user: bytes | None = None) -> list[bool]:
    """The messages that passed before the brake stopped the first one. Without `user`, each is of another one."""
    passed = []
    for number, good in enumerate(messages):
        key = user or b"%d" % number
        if good:
            brake.counted(1, [key])
        elif brake.allows(key):
            brake.refused(key)
        else:
            break
        passed.append(good)
    return passed


def stops_before(brake: Brake, users: list[bytes | None]) -> int:
    """How many messages of these users, in this order, become dead letters before the brake stops one."""
    for number, user in enumerate(users):
        if not brake.allows(user):
            return number
        brake.refused(user)
    return len(users)


@given(messages=MESSAGES, in_row=st.integers(1, 5), in_window=st.integers(1, 10), window=st.integers(10, 50))
def test_dead_letters_never_exceed_the_row_and_the_window(
    messages: list[bool], in_row: int, in_window: int, window: int
) -> None:
    for user in (None, b"ann"):
        passed = run(Brake(max_in_row=in_row, max_in_window=in_window, window=window), messages, user=user)
        assert all(any(passed[start : start + in_row + 1]) for start in range(len(passed) - in_row))
        assert all(passed[start : start + window].count(False) <= in_window for start in range(len(passed)))


@given(messages=MESSAGES, in_row=st.integers(1, 5), in_window=st.integers(1, 10), window=st.integers(10, 50))
def test_brake_stops_only_a_message_that_would_exceed_them(
    messages: list[bool], in_row: int, in_window: int, window: int
) -> None:
    passed = run(Brake(max_in_row=in_row, max_in_window=in_window, window=window), messages)
    if len(passed) < len(messages):
        row_is_full = len(passed) >= in_row and not any(passed[-in_row:])
        window_is_full = passed[len(passed) - window + 1 if len(passed) >= window else 0 :].count(False) >= in_window
        assert row_is_full or window_is_full


@given(good=st.lists(st.integers(0, 2000), max_size=50))
def test_good_messages_never_stop(good: list[int]) -> None:
    brake = Brake()
    for count in good:
        brake.counted(count, [b"ann"])
        assert brake.allows(b"ann")


def test_counted_message_releases_a_row_and_a_thousand_release_the_window() -> None:
    brake = Brake()
    assert run(brake, [False] * 100) == [False] * 10
    brake.counted(1, [b"bob"])
    assert brake.allows(b"ann")
    for number in range(40):
        brake.counted(1, [b"bob"])
        brake.refused(b"user-%d" % number)
    assert not brake.allows(b"ann")
    brake.counted(1000, [b"bob"])
    assert brake.allows(b"ann")


def test_empty_batch_is_no_evidence() -> None:
    brake = Brake()
    run(brake, [False] * 10)
    brake.counted(0, [b"bob"])
    assert not brake.allows(b"ann")


def test_messages_of_one_user_count_once_while_others_are_counted() -> None:
    brake = Brake()
    brake.counted(1, [b"bob"])
    for _ in range(100):
        assert stops_before(brake, [b"ann"] * 50) == 50
        brake.counted(1, [b"bob"])


def test_messages_of_one_user_count_each_when_nobody_else_was_counted_lately() -> None:
    brake = Brake()
    brake.counted(5, [b"ann"])
    assert stops_before(brake, [b"ann"] * 100) == 10
    brake = Brake()
    brake.counted(1, [b"bob"])
    assert 900 < stops_before(brake, [b"ann"] * 5000) < 1100


def test_messages_of_a_user_count_each_while_others_of_the_same_user_are_counted() -> None:
    brake = Brake()
    brake.counted(2, [b"ann", b"bob"])
    for number in range(50):
        assert brake.allows(b"ann"), number
        brake.refused(b"ann")
        brake.counted(2, [b"ann", b"bob"])
    assert not brake.allows(b"ann")


def test_fault_of_many_users_stops_after_ten_messages_and_those_of_the_first_user() -> None:
    brake = Brake()
    brake.counted(1, [b"zoe"])
    users: list[bytes | None] = [b"user-%d" % (number // 7) for number in range(200)]
    assert stops_before(brake, users) == 7 + 9


def test_messages_without_a_key_are_not_taken_for_those_of_one_user() -> None:
    brake = Brake()
    brake.counted(1, [b"bob"])
    assert stops_before(brake, [None] * 100) == 10
