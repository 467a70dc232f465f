"""What a score is made of, and explanations in words."""

from collections.abc import Mapping

import numpy as np
import pytest

from app.core.candidates import Candidates
from app.core.explanation import Cause, Explainer, Explanation, in_words
from app.core.exploration import EXPLORE
from app.core.history import NO_HISTORY, Entry, History
from app.core.model import MODEL
from app.core.profile import Profile
from app.core.ranked import NO_EXCLUSIONS
from app.core.ranking import Ranking
from app.core.signals import DAY_MS, Kind
from app.core.slate import CATALOGUE, COVISITATION, PINNED, POPULAR, REPEAT
from app.core.weights import FEATURES, START
from tests.support.histories import merge_history
from tests.support.serving_store import NOW_MS, item_table, near

TITLES = {"a": "Alien", "b": "Brazil", "c": None}
BOUGHT = Cause(item_id="a", kind=Kind.PURCHASE, together=0.5, content=0.1)
SEEN = Cause(item_id="b", kind=Kind.VIEW, together=0.2, following=0.1)
OLD = Cause(item_id="c", kind=Kind.PURCHASE, together=0.1)
TOGETHER = "Users take it together with what this one"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Explanation(COVISITATION, terms={"similar": 2.0}, causes=(BOUGHT,)), f"{TOGETHER} bought: Alien."),
        (
            Explanation(COVISITATION, terms={"similar": 2.0, "lasting": 1.0}, causes=(BOUGHT, SEEN, OLD)),
            f"{TOGETHER} bought: Alien and c; viewed: Brazil.",
        ),
        (
            Explanation(COVISITATION, terms={"following": 2.0}, causes=(SEEN,)),
            "Users go on to it from what this one viewed: Brazil.",
        ),
        (
            Explanation(COVISITATION, terms={"following": 2.0, "similar": 1.0}, causes=(BOUGHT, SEEN)),
            f"Users go on to it from what this one viewed: Brazil. {TOGETHER} bought: Alien; viewed: Brazil.",
        ),
        (
            Explanation(COVISITATION, terms={"content": 2.0}, causes=(SEEN, BOUGHT, OLD)),
            "Hardly anybody knows it yet; its category, tags or title are like those of what this one bought: Alien.",
        ),
        (Explanation(POPULAR, terms={"popular_week": 1.0, "own": -2.0}), "Popular this week."),
        (
            Explanation(POPULAR, terms={"popular_hours": 1.0, "similar": 0.5}, causes=(SEEN,)),
            f"Popular in the last hours. {TOGETHER} viewed: Brazil.",
        ),
        (
            Explanation(POPULAR, terms={"popular_hours": 1.0, "similar": 0.2}, causes=(SEEN,)),
            "Popular in the last hours.",
        ),
        (
            Explanation(POPULAR, factor=2.0, terms={"popular_day": 1.0}),
            "Popular today. A rule multiplies its score by 2.",
        ),
        (
            Explanation(REPEAT, factor=0.25, terms={"own_repeats": 2.0, "own_times": 1.0}),
            "Taken again by those who have it. Taken by the user often. A rule multiplies its score by 0.25.",
        ),
        (
            Explanation(POPULAR, terms={"popular_week": 1.0, "absence": 0.5}),
            "Popular this week. Popular, and nothing recent is known of the user.",
        ),
        (Explanation(POPULAR, terms={"age": 1.0}), "There for long."),
        (Explanation(POPULAR, terms={"newness": 1.0}), "New."),
        (Explanation(REPEAT, terms={"own_age": 1.0}), "Taken by the user some time ago."),
        (Explanation(REPEAT), "The user had it before."),
        (Explanation(POPULAR), "Popular."),
        (Explanation(EXPLORE), "New: it is shown to some users to find out how it is liked."),
        (Explanation(PINNED), "A rule puts it at this place."),
        (Explanation(CATALOGUE), "It fills the list: nothing is known that speaks for another item."),
    ],
)
def test_an_item_says_why_it_is_there(item: Explanation, said: str) -> None:
    assert in_words(item, TITLES, None) == said


@pytest.mark.parametrize("feature", FEATURES)
def test_every_feature_has_words(feature: str) -> None:
    item = Explanation(COVISITATION, terms={feature: 1.0}, causes=(BOUGHT, SEEN))
    assert in_words(item, TITLES, None) != "Popular."


def test_a_popular_item_of_a_category_is_explained_so() -> None:
    item = Explanation(POPULAR, terms={"popular_week": 1.0})
    assert in_words(item, TITLES, "films") == "Popular this week in films."


BOUGHT_IN_TURN = merge_history(
    NO_HISTORY, [Entry(item_id, NOW_MS - n, Kind.PURCHASE, 1.0) for n, item_id in enumerate("abc")]
)


def explained(
    similar: Mapping[str, Mapping[str, float]],
    following: Mapping[str, Mapping[str, float]] | None = None,
    history: History = BOUGHT_IN_TURN,
) -> dict[str, Explanation]:
    """Of all candidates for a user who bought a, then b, then c long ago, or has another history."""
    table = item_table({"hit": 100.0, "known": 25.0})
    profile, after = Profile(history), following or {}
    lists = {item_id: near(table.index, similar.get(item_id, {}), after.get(item_id)) for item_id in profile.seed_ids}
    candidates = Candidates(profile, lists, table.best(10).tobytes(), table, now_ms=NOW_MS)
    ranking = Ranking(table.index, candidates, *table.scored(START).by_size[2])
    ranked = ranking.ranked({}, (), "learned", NO_EXCLUSIONS)
    explainer = Explainer(table.index, ranked, ranking, profile, lists, None)
    return {
        item_id: explainer.explain(item_id, COVISITATION, ranked.score(item_id))
        for item_id in [*ranked.best(20), "absent"]
    }


def test_several_causes_stand_strongest_first() -> None:
    found = explained({"a": {"x": 0.1}, "b": {"x": 0.9}, "c": {"y": 0.9}})
    assert found["x"].because == ["b", "a"]
    assert found["y"].because == ["c"]
    assert found["hit"].causes == ()
    assert all(cause.kind == Kind.PURCHASE for cause in found["x"].causes)


def test_an_item_that_is_followed_is_a_cause() -> None:
    assert explained({}, {"b": {"x": 0.9}})["x"].because == ["b"]


def test_items_before_the_last_three_are_followed_by_nothing() -> None:
    bought = merge_history(
        NO_HISTORY, [Entry(item_id, NOW_MS - n, Kind.PURCHASE, 1.0) for n, item_id in enumerate("abcd")]
    )
    found = explained({}, {item_id: {"x": 0.9} for item_id in "abcd"}, bought)
    assert found["x"].because == ["a", "b", "c"]


def test_neighbour_that_the_ranking_does_not_look_at_is_no_cause() -> None:
    """Of an older item, fewer neighbours are looked at."""
    history = merge_history(NO_HISTORY, [Entry(f"own-{n}", NOW_MS - n, Kind.PURCHASE, 1.0) for n in range(MODEL.seeds)])
    nearest = {f"other-{n}": 0.001 for n in range(MODEL.neighbours - 1)}
    oldest, latest = f"own-{MODEL.seeds - 1}", "own-0"
    assert explained({latest: {**nearest, "hit": 0.001}}, history=history)["hit"].because == [latest]
    found = explained({oldest: {**nearest, "hit": 0.001}}, history=history)["hit"]
    assert not {"similar", "lasting"}.intersection(name for name, value in found.terms.items() if value)
    assert found.because == []


def test_the_terms_of_a_score_say_how_it_compares_with_the_best() -> None:
    found = explained({"a": {"hit": 0.1, "x": 0.3, "known": 0.2}, "b": {"x": 0.9}})
    sums = {item_id: sum(one.terms.values()) for item_id, one in found.items() if one.terms}
    assert sums.keys() == found.keys() - {"absent"}
    for item_id, total in sums.items():
        assert np.log(found[item_id].score) == pytest.approx(total - max(sums.values()), abs=1e-4)


def test_the_terms_are_those_of_the_score_although_popularity_has_been_reloaded_since() -> None:
    table = item_table({"hit": 100.0, "known": 25.0})
    candidates = Candidates(Profile(NO_HISTORY), {}, table.best(10).tobytes(), table, now_ms=NOW_MS)
    ranking = Ranking(table.index, candidates, *table.scored(START).by_size[0])
    ranked = ranking.ranked({}, (), "learned", NO_EXCLUSIONS)
    table.refresh(NOW_MS + 5 * DAY_MS)
    rows = [ranked.row(item_id) for item_id in ("known", "hit")]
    known, hit = (sum(ranking.terms(row).values()) for row in rows)
    assert np.log(ranked.score("known")) == pytest.approx(known - hit, abs=1e-4)


def test_an_item_that_is_no_candidate_has_no_terms() -> None:
    absent = explained({})["absent"]
    assert (absent.score, absent.terms, absent.causes) == (0.0, {}, ())
