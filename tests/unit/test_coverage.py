"""The share of the catalogue that was shown, estimated from sketches."""

import hashlib
import random

import pytest

from app.core import coverage


def sketch(items: range) -> bytes:
    """As the roll-up makes it."""
    found = bytearray(coverage.REGISTERS)
    for item in items:
        digest = hashlib.md5(str(item).encode()).hexdigest()
        register, rest = int(digest[:4], 16) % coverage.REGISTERS, int(digest[8:16], 16)
        found[register] = max(found[register], 33 - rest.bit_length())
    return bytes(found)


@pytest.mark.parametrize(("items", "within"), [(1, 0.001), (40, 0.05), (700, 0.08), (50_000, 0.1)])
def test_share_is_close_and_inside_its_interval(items: int, within: float) -> None:
    found = coverage.share(coverage.merged(coverage.table_of([sketch(range(items))])), 100_000)
    assert found is not None
    assert abs(found.value * 100_000 - items) <= items * within
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_most_intervals_contain_the_share() -> None:
    chance = random.Random(7)
    contained = 0
    for _ in range(200):
        start, items = chance.randrange(10**9), chance.choice((30, 300, 3_000))
        found = coverage.share(coverage.merged(coverage.table_of([sketch(range(start, start + items))])), 10_000)
        assert found is not None
        assert found.low is not None
        assert found.high is not None
        contained += found.low <= items / 10_000 <= found.high
    assert contained >= 180


def test_rows_merge_to_the_items_of_either() -> None:
    table = coverage.table_of([sketch(range(40)), sketch(range(20, 60))])
    found = coverage.share(coverage.merged(table), 60)
    assert found is not None
    assert abs(found.value - 1.0) < 0.05


def test_nothing_was_shown_or_there_is_no_catalogue() -> None:
    assert coverage.share(coverage.NOTHING, 0) is None
    nothing = coverage.share(coverage.NOTHING, 10)
    assert nothing is not None
    assert (nothing.value, nothing.low, nothing.high) == (0.0, 0.0, 0.0)
