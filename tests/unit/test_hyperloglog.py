"""Users are counted within the error that is promised, whatever is merged with what."""

import hashlib
from collections.abc import Iterable
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.hyperloglog import estimate

GROUPS: Final = 1024


def ranks(users: Iterable[int]) -> dict[int, int]:
    """As the roll-up does it."""
    found: dict[int, int] = {}
    for user in users:
        digest = hashlib.md5(f"user-{user}".encode(), usedforsecurity=False).digest()
        group = int.from_bytes(digest[:2], "big") % GROUPS
        rank = 33 - int.from_bytes(digest[4:8], "big").bit_length()
        found[group] = max(rank, found.get(group, 0))
    return found


@pytest.mark.parametrize("users", [100, 1_000, 2_500, 10_000, 100_000])
def test_the_estimate_is_within_three_standard_errors(users: int) -> None:
    assert estimate(ranks(range(users)).values(), GROUPS) == pytest.approx(users, rel=3 * 1.04 / GROUPS**0.5)


def test_a_few_are_counted_exactly() -> None:
    assert [estimate(ranks(range(users)).values(), GROUPS) for users in range(8)] == list(range(8))


@given(st.sets(st.integers(0, 500)), st.sets(st.integers(0, 500)))
def test_days_add_up_by_the_greatest_rank(one: set[int], other: set[int]) -> None:
    first, second = ranks(one), ranks(other)
    merged = {group: max(first.get(group, 0), second.get(group, 0)) for group in first.keys() | second.keys()}
    assert merged == ranks(one | other)
