"""What a score is made of, and explanations in words."""

from array import array
from collections.abc import Mapping

import pytest

from app.core.attribution import COVISITATION, POPULAR, REPEAT
from app.core.explanation import Cause, Explainer, Explanation, in_words
from app.core.exploration import EXPLORE
from app.core.history import NO_HISTORY, Entry
from app.core.item_index import ItemIndex
from app.core.neighbours import Neighbours
from app.core.popularity import popular_of
from app.core.profile import Profile
from app.core.ranking import rank
from app.core.signals import LANDMARK_MS, Kind
from app.core.slate import CATALOGUE, PINNED
from tests.support.histories import merge_history

TITLES = {"a": "Alien", "b": "Brazil", "c": None}
BOUGHT = Cause("a", Kind.PURCHASE, 0.5)
SEEN = Cause("b", Kind.VIEW, 0.2)
OLD = Cause("c", Kind.PURCHASE, 0.1)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Explanation(COVISITATION, causes=(BOUGHT,)), "Users take it together with what this one bought: Alien."),
        (
            Explanation(COVISITATION, causes=(BOUGHT, SEEN, OLD)),
            "Users take it together with what this one bought: Alien and c; viewed: Brazil.",
        ),
        (Explanation(POPULAR), "Popular now."),
        (
            Explanation(POPULAR, causes=(SEEN,)),
            "Popular now. Users take it together with what this one viewed: Brazil.",
        ),
        (Explanation(POPULAR, factor=2.0), "Popular now. A rule multiplies its score by 2."),
        (Explanation(POPULAR, factor=0.25), "Popular now. A rule multiplies its score by 0.25."),
        (
            Explanation(REPEAT, factor=2.0),
            "The user had it on an earlier visit, and users are seen to come back to it.",
        ),
        (Explanation(EXPLORE), "New: it is shown to some users to find out how it is liked."),
        (Explanation(PINNED), "A rule puts it at this place."),
        (Explanation(CATALOGUE), "It fills the list: nothing is known that speaks for another item."),
        (Explanation(COVISITATION), "Users take it together with other items."),
    ],
)
def test_an_item_says_why_it_is_there(item: Explanation, said: str) -> None:
    assert in_words(item, TITLES, None) == said


def test_a_popular_item_of_a_category_is_explained_so() -> None:
    assert in_words(Explanation(POPULAR), TITLES, "films") == "Popular now in films."


INDEX = ItemIndex()
TOP = popular_of([("hit", 100.0), ("known", 25.0)], index=INDEX)
BOUGHT_IN_TURN = merge_history(
    NO_HISTORY, [Entry(item_id, LANDMARK_MS - n, Kind.PURCHASE, 1.0) for n, item_id in enumerate("abc")]
)


def near(similarities: Mapping[str, float]) -> Neighbours:
    return Neighbours(INDEX.number(list(similarities)).tobytes(), array("f", similarities.values()).tobytes())


def explained(neighbours: Mapping[str, Neighbours], boost: float = 1.0) -> dict[str, Explanation]:
    """Of all candidates for a user who bought a, then b, then c long ago."""
    profile = Profile(BOUGHT_IN_TURN)
    candidates, attribution = rank(profile, neighbours, TOP, now_ms=LANDMARK_MS, index=INDEX, factors={"known": 3.0})
    explainer = Explainer(INDEX, candidates, attribution, profile, neighbours)
    return {item_id: explainer.explain(item_id, COVISITATION, boost) for item_id in [*candidates.best(20), "absent"]}


def test_several_causes_stand_strongest_first() -> None:
    found = explained({"a": near({"x": 0.1}), "b": near({"x": 0.9}), "c": near({"y": 0.9})})
    assert [cause.item_id for cause in found["x"].causes] == ["b", "a"]
    assert [cause.item_id for cause in found["y"].causes] == ["c"]
    assert found["hit"].causes == ()
    assert all(cause.kind == Kind.PURCHASE for cause in found["x"].causes)


@pytest.mark.parametrize("boost", [1.0, 2.5])
def test_the_parts_of_a_score_sum_to_it(boost: float) -> None:
    found = explained({"a": near({"hit": 0.1, "x": 0.3, "known": 0.2}), "b": near({"x": 0.9})}, boost)
    assert {item_id: one.factor / boost for item_id, one in found.items()} == {
        "hit": 1.0,
        "x": 1.0,
        "known": 3.0,
        "absent": 1.0,
    }
    for one in found.values():
        assert one.similarity == pytest.approx(sum(cause.part for cause in one.causes), abs=1e-6)
        assert one.score == pytest.approx((one.popularity + one.similarity) * one.factor)


def test_an_item_that_is_no_candidate_has_no_parts() -> None:
    absent = explained({})["absent"]
    assert (absent.score, absent.popularity, absent.similarity, absent.causes) == (0.0, 0.0, 0.0, ())
