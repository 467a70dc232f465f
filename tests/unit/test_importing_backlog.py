from hypothesis import given
from hypothesis import strategies as st

from app.importing.backlog import IdSample


@given(st.lists(st.integers(0, 30), max_size=60))
def test_a_sample_is_spread_evenly_bounded_and_holds_the_newest(portions: list[int]) -> None:
    sample = IdSample(limit=16)
    seen: list[str] = []
    newest: list[str] = []
    for size in portions:
        ids = [f"id-{len(seen) + number}" for number in range(size)]
        sample.add(ids)
        seen += ids
        newest = ids or newest
    assert set(sample.ids) == {*seen[:: sample.every], *newest}
    assert len(sample.ids) <= 16 + 30
    assert len(seen[:: sample.every]) <= 16
    if sample.every > 1:
        assert len(seen[:: sample.every]) > 16 // 2 - 1


def test_a_small_import_is_sampled_whole() -> None:
    sample = IdSample()
    sample.add([f"id-{number}" for number in range(5_000)])
    assert sample.every == 1
    assert len(sample.ids) == 5_000
