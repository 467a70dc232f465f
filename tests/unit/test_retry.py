"""How long to wait, and what may be sent again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from app.core.replay import split_by_replays
from app.core.retry import backoff


@given(attempt=st.integers(1, 10_000), chance=st.floats(0, 0.999))
def test_waits_double_up_to_a_limit_and_never_vanish(attempt: int, chance: float) -> None:
    delay = backoff(attempt, base_sec=0.25, max_sec=3.0, chance=chance)
    step = min(3.0, 0.25 * 2 ** min(attempt - 1, 20))
    assert step / 2 <= delay < step


@given(st.floats(0, 0.999), st.floats(0, 0.999))
def test_chance_spreads_those_who_failed_together(one: float, other: float) -> None:
    first, second = (backoff(3, base_sec=1.0, max_sec=60.0, chance=chance) for chance in (one, other))
    assert (first < second) == (one < other) or abs(one - other) < 1e-12


def test_attempts_are_counted_from_one() -> None:
    with pytest.raises(ValueError, match="counted from 1"):
        backoff(0, base_sec=1.0, max_sec=1.0, chance=0.0)


class Row(Struct, frozen=True):
    replays: int


@given(st.lists(st.builds(Row, st.integers(0, 9))), st.none() | st.integers(1, 9))
def test_rows_replayed_too_often_are_held_back_unless_forced(rows: list[Row], limit: int | None) -> None:
    sendable, held = split_by_replays(rows, limit)
    assert sorted(row.replays for row in rows) == sorted(row.replays for row in [*sendable, *held])
    if limit is None:
        assert not held
    else:
        assert all(row.replays < limit for row in sendable)
        assert all(row.replays >= limit for row in held)
