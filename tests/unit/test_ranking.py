from hypothesis import given
from hypothesis import strategies as st

from app.core import ranking
from app.core.history import NO_HISTORY, Entry, merge_history
from app.core.ranking import Neighbours
from app.core.signals import LANDMARK_MS, Kind

NOW = LANDMARK_MS + 3_600_000
POPULAR = ranking.popular_of([("p1", 9.0), ("p2", 4.0), ("p3", 1.0)])
SEEN = merge_history(NO_HISTORY, [Entry("seen", NOW - 1000, Kind.PURCHASE, 1.0)])
NEAR = {"seen": Neighbours(("n1", "n2"), (0.9, 0.5))}


def ids(ranked: list[ranking.Ranked]) -> list[str]:
    return [item.item_id for item in ranked]


def test_neighbours_of_what_the_user_had_come_first_and_the_popular_fill_up() -> None:
    ranked = ranking.rank(SEEN, NEAR, POPULAR, now_ms=NOW, k=5)
    assert ids(ranked)[:2] == ["n1", "n2"]
    assert set(ids(ranked)) == {"n1", "n2", "p1", "p2", "p3"}
    assert {item.item_id: item.source for item in ranked}["n1"] == "covisitation"
    assert {item.item_id: item.source for item in ranked}["p3"] == "popular"


def test_a_stranger_gets_what_is_popular() -> None:
    assert ids(ranking.rank(NO_HISTORY, {}, POPULAR, now_ms=NOW, k=2)) == ["p1", "p2"]


def test_what_the_user_has_is_left_out_and_so_is_what_is_excluded() -> None:
    near = {"seen": Neighbours(("seen", "n1"), (1.0, 0.9))}
    ranked = ranking.rank(SEEN, near, POPULAR, now_ms=NOW, k=10, exclude=frozenset({"p1"}))
    assert set(ids(ranked)) == {"n1", "p2", "p3"}


def test_explain_names_the_items_that_led_there() -> None:
    ranked = ranking.rank(SEEN, NEAR, POPULAR, now_ms=NOW, k=1, explain=True)
    assert ranked[0].because == ("seen",)


def test_thin_evidence_counts_less_than_its_share() -> None:
    one = ranking.similarity(1.0, 1.0, 1.0, LANDMARK_MS)
    ten = ranking.similarity(10.0, 10.0, 10.0, LANDMARK_MS)
    assert 0 < one < ten


def test_frequent_items_are_not_neighbours_of_everything() -> None:
    rare = ranking.similarity(2.0, 10.0, 5.0, LANDMARK_MS)
    frequent = ranking.similarity(2.0, 10.0, 500.0, LANDMARK_MS)
    assert rare > frequent


@given(
    st.dictionaries(st.sampled_from("abcdefghij"), st.floats(0.001, 10.0), max_size=10),
    st.integers(1, 12),
    st.sets(st.sampled_from("abcdefghij"), max_size=4),
)
def test_an_answer_has_no_item_twice_none_excluded_and_falls_in_score(
    similar: dict[str, float], k: int, exclude: set[str]
) -> None:
    best = sorted(similar, key=lambda item_id: -similar[item_id])
    near = {"seen": Neighbours(tuple(best), tuple(similar[item_id] for item_id in best))}
    ranked = ranking.rank(SEEN, near, POPULAR, now_ms=NOW, k=k, exclude=frozenset(exclude))
    assert len(ids(ranked)) == len(set(ids(ranked))) <= k
    assert not exclude & set(ids(ranked))
    assert len(ranked) == min(k, len(set(similar) - exclude) + 3)
    scores = [item.score for item in ranked]
    assert scores == sorted(scores, reverse=True)
