from hypothesis import given
from hypothesis import strategies as st

from app.core.watermark import Watermark


def test_ids_in_order_leave_nothing_to_remember() -> None:
    mark = Watermark(low=10)
    mark.advance([11, 12, 13], now=0.0)
    assert (mark.low, mark.seen) == (13, {})


def test_a_gap_is_waited_for() -> None:
    mark = Watermark(low=0)
    mark.advance([2, 3], now=0.0)
    assert (mark.low, set(mark.seen)) == (0, {2, 3})
    mark.advance([1], now=1.0)
    assert (mark.low, mark.seen) == (3, {})


def test_a_gap_that_never_closes_is_given_up() -> None:
    mark = Watermark(low=0, patience_sec=60.0)
    mark.advance([2], now=0.0)
    mark.advance([4], now=30.0)
    mark.advance([], now=61.0)
    assert (mark.low, set(mark.seen)) == (2, {4})


@given(st.permutations(range(1, 30)), st.integers(1, 10))
def test_whatever_the_order_every_id_is_read_once(order: list[int], step: int) -> None:
    mark = Watermark(low=0)
    read: list[int] = []
    for start in range(0, len(order), step):
        committed = sorted(order[: start + step])
        fresh = [row_id for row_id in committed if row_id > mark.low and row_id not in mark.seen]
        read += fresh
        mark.advance(fresh, now=0.0)
    assert sorted(read) == list(range(1, 30))
    assert (mark.low, mark.seen) == (29, {})
