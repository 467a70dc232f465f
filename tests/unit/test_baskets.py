"""What is kept of the baskets that hold an item."""

import sys

from app.core.baskets import MAX_SHARED, NO_BASKETS, baskets_of


def test_baskets_give_back_what_they_were_made_of() -> None:
    assert baskets_of(7, ("tent", "lamp"), (5, 1)).others() == (["tent", "lamp"], [5, 1])
    assert (NO_BASKETS.count, NO_BASKETS.others()) == (0, ([], []))


def test_longest_baskets_take_what_the_page_of_sizes_says() -> None:
    """4 KB with ids of twelve characters."""
    baskets = baskets_of(1_000, [f"item-{n:07}" for n in range(MAX_SHARED)], list(range(1_000, 1_000 - MAX_SHARED, -1)))
    assert sys.getsizeof(baskets) + sys.getsizeof(baskets.packed) < 4_000
