"""New items get their share of the places, those that are known least the most."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.exploration import EMPTY_POOL, choose, exploration_pool_of, uncertainty


@given(st.integers(0, 10_000), st.integers(0, 1_000), st.integers(1, 10_000))
def test_an_item_is_the_better_known_the_more_it_was_met(shown: int, taken: int, more: int) -> None:
    assert 0.0 < uncertainty(shown + more, taken) < uncertainty(shown, taken)
    assert 0.0 < uncertainty(shown, taken + more) < uncertainty(shown, taken)


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_new_items_get_their_share(share: float) -> None:
    chance = random.Random(7).random
    pool = exploration_pool_of([(f"new-{number}", 0, 0) for number in range(50)])
    answers = [choose(pool, share=share, k=20, without=(), chance=chance) for _ in range(2_000)]
    assert sum(map(len, answers)) / (20 * len(answers)) == pytest.approx(share, rel=0.05)
    assert {place for answer in answers for place in answer} == set(range(5, 20))


def test_rarely_shown_items_are_explored_most() -> None:
    chance = random.Random(7).random
    pool = exploration_pool_of([("unknown", 0, 0), ("met", 90, 0), ("liked", 90, 4), ("hit", 0, 5)])
    counts: Counter[str] = Counter()
    for _ in range(5_000):
        counts.update(choose(pool, share=0.05, k=20, without=(), chance=chance).values())
    assert counts["unknown"] > 2 * counts["met"] > 2 * counts["liked"] > 0
    assert "hit" not in counts  # the ranking knows it


def test_the_first_place_is_never_tried_on() -> None:
    chance = random.Random(7).random
    pool = exploration_pool_of([(f"new-{number}", 0, 0) for number in range(50)])
    assert all(choose(pool, share=0.5, k=1, without=(), chance=chance) == {} for _ in range(100))
    chosen = [choose(pool, share=0.5, k=3, without=(), chance=chance) for _ in range(500)]
    assert {place for answer in chosen for place in answer} == {1, 2}


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.integers(0, 100), st.integers(0, 100)), max_size=20, unique_by=lambda n: n[0]
    ),
    st.floats(0.0, 0.5),
    st.integers(1, 200),
    st.integers(),
)
def test_a_choice_is_seeded_and_serves_nothing_twice(
    rows: list[tuple[str, int, int]], share: float, k: int, seed: int
) -> None:
    pool = exploration_pool_of(rows)
    without = {row[0] for row in rows[::2]}
    chosen = choose(pool, share=share, k=k, without=without, chance=random.Random(seed).random)
    assert chosen == choose(pool, share=share, k=k, without=without, chance=random.Random(seed).random)
    assert len(set(chosen.values())) == len(chosen) <= share * k + 1
    assert all(0 <= place < k for place in chosen)
    assert not without & set(chosen.values())


def test_without_new_items_or_a_share_nothing_is_explored() -> None:
    assert choose(EMPTY_POOL, share=0.5, k=20, without=(), chance=random.random) == {}
    assert choose(exploration_pool_of([("new", 0, 0)]), share=0.0, k=20, without=(), chance=random.random) == {}
