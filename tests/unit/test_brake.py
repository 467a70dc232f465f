"""When the brake stops dead letters."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from app.core.brake import Brake

MESSAGES = st.lists(st.booleans(), max_size=400)
"""For each message in order whether it can be counted."""


def run(brake: Brake, messages: list[bool], *, users: Sequence[str | None] = (None,)) -> list[bool]:
    """The messages that passed before the brake stopped the first one. `users`: those at fault, in turns."""
    passed = []
    for number, good in enumerate(messages):
        user = users[number % len(users)]
        if good:
            brake.counted(1)
        elif brake.allows(user):
            brake.refused(user)
        else:
            break
        passed.append(good)
    return passed


@given(messages=MESSAGES, in_row=st.integers(1, 5), in_window=st.integers(1, 10), window=st.integers(10, 50))
def test_dead_letters_never_exceed_the_row_and_the_window(
    messages: list[bool], in_row: int, in_window: int, window: int
) -> None:
    for users in ((None,), tuple(f"user-{number}" for number in range(400))):
        passed = run(Brake(max_in_row=in_row, max_in_window=in_window, window=window), messages, users=users)
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
        brake.counted(count)
        assert brake.allows(None)


def test_counted_message_releases_a_row_and_a_thousand_release_the_window() -> None:
    brake = Brake()
    assert run(brake, [False] * 100) == [False] * 10
    brake.counted(1)
    assert brake.allows(None)
    assert run(brake, [True, False] * 100) == [True, False] * 40 + [True]
    brake.counted(1000)
    assert brake.allows(None)


def test_empty_batch_is_no_evidence() -> None:
    brake = Brake()
    run(brake, [False] * 10)
    brake.counted(0)
    assert not brake.allows(None)


@given(messages=st.lists(st.booleans(), max_size=5000))
def test_users_that_are_at_fault_themselves_stop_nobody_while_they_are_few(messages: list[bool]) -> None:
    assert run(Brake(), messages, users=["ann", "bob", "cid"]) == messages


def test_user_at_fault_counts_once_in_a_window_beside_others() -> None:
    brake = Brake()
    assert run(brake, [False] * 500, users=["ann"]) == [False] * 500
    assert run(brake, [False] * 100) == [False] * 9
    assert brake.allows("ann")
    assert not brake.allows("bob")


def test_faults_of_many_users_stop_as_those_of_nobody_do() -> None:
    users = [f"user-{number // 7}" for number in range(200)]
    assert run(Brake(), [False] * 200, users=users) == [False] * 7 * 10
