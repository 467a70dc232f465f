"""What is joined is a function of the set of links, and a joined history one of all events, in any order."""

import random

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core.features import encode_history
from app.core.history import NO_HISTORY, Entry, History
from app.core.model import MODEL
from app.core.persons import MAX_IDS, Link, erased_together, join, to_read
from tests.support.histories import merge_history

ids = st.sampled_from("ABCXYZ")
links = st.builds(Link, ids, ids).filter(lambda link: link.anonymous_id != link.user_id)
entries = st.builds(
    Entry,
    item_id=st.integers(0, 90).map(lambda number: f"i{number}"),
    at_ms=st.integers(0, 60),
    kind=st.integers(0, 3),
    weight=st.sampled_from([-0.2, 0.5, 1.0]),
)


def reads(user_id: str, made: list[Link]) -> set[str]:
    """The ids whose histories a list of the user is made of."""
    found = {user_id}
    while ids := to_read((link.anonymous_id for link in made if link.user_id in found), found):
        found.update(ids)
    return found


@given(st.lists(links, max_size=12), ids, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_of_links_matters(made: list[Link], user_id: str, chance: random.Random) -> None:
    shuffled = [*made, *made[: len(made) // 2]]
    chance.shuffle(shuffled)
    assert reads(user_id, shuffled) == reads(user_id, made)
    assert erased_together(user_id, shuffled) == erased_together(user_id, made)


@given(st.lists(links, max_size=12), ids)
def test_an_erasure_takes_all_that_its_lists_are_made_of(made: list[Link], user_id: str) -> None:
    erased = erased_together(user_id, made)
    assert user_id in erased
    assert reads(user_id, made) <= erased
    assert all(erased_together(other, made) == erased or len(reads(other, made)) <= len(erased) for other in erased)


def test_chains_cycles_and_shared_devices_have_an_answer() -> None:
    chain = [Link("A", "B"), Link("B", "X")]
    assert (reads("X", chain), reads("B", chain), reads("A", chain)) == ({"X", "B", "A"}, {"B", "A"}, {"A"})
    assert {erased_together(one, chain) for one in "ABX"} == {frozenset("ABX")}
    cycle = [Link("A", "B"), Link("B", "A")]
    assert reads("A", cycle) == reads("B", cycle) == {"A", "B"}
    assert {erased_together(one, cycle) for one in "AB"} == {frozenset("AB")}
    shared = [Link("A", "X"), Link("A", "Y"), Link("B", "Y")]
    assert (reads("X", shared), reads("Y", shared)) == ({"X", "A"}, {"Y", "A", "B"})
    assert erased_together("A", shared) == {"A"}
    assert erased_together("X", shared) == {"X", "A"}
    assert erased_together("B", shared) == {"Y", "A", "B"}


def test_no_more_histories_are_read_than_the_bound() -> None:
    made = [Link(f"a{number:02d}", "X") for number in range(100)]
    assert len(reads("X", made)) == MAX_IDS


@given(st.lists(st.lists(entries, max_size=60), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_a_joined_history_is_that_of_all_events(parts: list[list[Entry]], chance: random.Random) -> None:
    histories = [merge_history(NO_HISTORY, part) for part in parts]
    whole = merge_history(NO_HISTORY, [entry for part in parts for entry in part])
    joined = join(histories, MODEL)
    assert plain(joined) == plain(whole)
    chance.shuffle(histories)
    assert plain(join(histories, MODEL)) == plain(joined)


def plain(history: History) -> bytes:
    """Without the sums of weights, whose last bits depend on the order of additions."""
    bare = tuple(replace(entry, other_weight=0) for entry in history.entries)
    return encode_history(History(bare, history.seen_hashes, history.ended_hashes))
