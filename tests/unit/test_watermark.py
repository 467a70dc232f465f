from hypothesis import given
from hypothesis import strategies as st

from app.core.watermark import Watermark


def test_ids_in_order_leave_nothing_to_remember() -> None:
    watermark = Watermark(low=10)
    watermark.advance([11, 12, 13], now=0.0)
    assert (watermark.low, watermark.seen) == (13, {})


def test_a_gap_is_waited_for() -> None:
    watermark = Watermark(low=0)
    watermark.advance([2, 3], now=0.0)
    assert (watermark.low, set(watermark.seen)) == (0, {2, 3})
    watermark.advance([1], now=1.0)
    assert (watermark.low, watermark.seen) == (3, {})


def test_a_gap_that_never_closes_is_given_up() -> None:
    watermark = Watermark(low=0, patience_sec=60.0)
    watermark.advance([2], now=0.0)
    watermark.advance([4], now=30.0)
    watermark.advance([], now=61.0)
    assert (watermark.low, set(watermark.seen)) == (2, {4})


@given(st.permutations(range(1, 30)), st.integers(1, 10))
def test_whatever_the_order_every_id_is_read_once(order: list[int], step: int) -> None:
    watermark = Watermark(low=0)
    read: list[int] = []
    for start in range(0, len(order), step):
        committed = sorted(order[: start + step])
        fresh = [row_id for row_id in committed if row_id > watermark.low and row_id not in watermark.seen]
        read += fresh
        watermark.advance(fresh, now=0.0)
    assert sorted(read) == list(range(1, 30))
    assert (watermark.low, watermark.seen) == (29, {})
