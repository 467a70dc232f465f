"""The newest items in order; and a long way through them with rests."""

from hypothesis import given
from hypothesis import strategies as st

from app.core.newest_first import newest_first
from app.serving.paced import paced


@given(st.dictionaries(st.text(max_size=3), st.integers(-5, 5), max_size=30), st.integers(0, 40))
def test_the_newest_come_first_and_of_equal_times_the_lesser_id(since_ms: dict[str, int], limit: int) -> None:
    found = newest_first([*since_ms], [*since_ms.values()], limit)
    assert found == sorted(since_ms, key=lambda item_id: (-since_ms[item_id], item_id))[:limit]


def test_a_paced_way_leads_past_all_items() -> None:
    assert list(paced(range(5_000))) == list(range(5_000))
