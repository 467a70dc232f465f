"""When a replica that is behind at each read is given up for a while."""

from app.core.catching_up import LONGEST_SEC, CatchingUp


def test_replica_that_is_behind_at_each_read_takes_too_long() -> None:
    found = CatchingUp()
    assert not found.takes_too_long(100.0)
    found.begins(100.0, is_behind=True)
    found.begins(100.0 + LONGEST_SEC - 0.1, is_behind=True)
    assert not found.takes_too_long(100.0 + LONGEST_SEC - 0.1)
    assert found.takes_too_long(100.0 + LONGEST_SEC)


def test_replica_that_is_read_now_and_then_catches_up() -> None:
    found = CatchingUp()
    for second in range(100):
        found.begins(float(second), is_behind=second % 4 != 0)
        assert not found.takes_too_long(float(second))


def test_what_was_before_a_change_of_servers_does_not_count() -> None:
    found = CatchingUp()
    found.begins(100.0, is_behind=True)
    found.end()
    assert not found.takes_too_long(200.0)
    found.begins(200.0, is_behind=True)
    assert not found.takes_too_long(200.0)
