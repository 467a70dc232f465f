"""Who is in which variant, and what VARIANTS may say."""

from collections.abc import Sequence
from math import sqrt
from typing import Any, Final

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from app.core.candidates import Candidates
from app.core.history import NO_HISTORY, Entry
from app.core.model import MODEL, Model
from app.core.profile import Profile
from app.core.ranked import NO_EXCLUSIONS
from app.core.ranking import Ranking
from app.core.signals import DAY_MS, HOUR_MS, LANDMARK_MS, Kind
from app.core.variants import CONSTANTS, CONTROL, MAX_VARIANTS, NO_VARIANTS, Variant, Variants, parse
from app.core.weights import FEATURES, FIXED, START, WeightRows, size_of
from tests.support.histories import merge_history
from tests.support.serving_store import item_table, near

USERS: Final = [f"user-{number}" for number in range(2_000)]
MANY: Final = [f"user-{number}" for number in range(20_000)]
NAMES: Final = "abcdefgh"


def variants(*shares: float, experiment: str = "1") -> Variants:
    return Variants(experiment, [Variant(NAMES[index], share, MODEL) for index, share in enumerate(shares)])


def written(*entries: Any) -> str:
    return msgspec.json.encode(entries).decode()


shares_of = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=6).map(
    lambda drawn: [share / max(1.0, sum(drawn)) for share in drawn]
)


@given(st.text(max_size=64), st.text(max_size=64), shares_of)
@example("1", "\ud800", [0.5])
def test_a_user_is_in_one_variant_however_often_it_is_asked(experiment: str, user_id: str, shares: list[float]) -> None:
    found = variants(*shares, experiment=experiment).of(user_id)
    assert variants(*shares, experiment=experiment).of(user_id) == found
    assert found.name in (*NAMES[: len(shares)], "control")


def test_the_places_of_users_are_pinned() -> None:
    """A release that hashed otherwise would move everybody in the middle of an experiment."""
    half = variants(0.25, 0.25)
    assert [half.of(user).name for user in ("ann", "cid", "é", "ola")] == ["control", "a", "a", "b"]


@pytest.mark.parametrize("shares", [(0.1,), (0.5, 0.5), (0.3, 0.01, 0.2, 0.15), (1.0,), (0.0, 0.2)])
def test_each_variant_has_its_share_and_control_the_rest(shares: Sequence[float]) -> None:
    assigned = [variants(*shares).of(user).name for user in MANY]
    for name, share in [*zip(NAMES, shares, strict=False), ("control", 1.0 - sum(shares))]:
        # Five standard deviations of a binomial: the hash is fixed, so this either always holds or never.
        assert abs(assigned.count(name) - share * len(MANY)) <= 5 * sqrt(len(MANY) * share * (1 - share)) + 1e-6


@given(shares_of, st.floats(0.0, 1.0), st.data())
def test_a_share_that_grows_takes_users_from_control_alone(
    shares: list[float], part: float, data: st.DataObject
) -> None:
    index = data.draw(st.sampled_from(range(max(0, len(shares) - 2), len(shares))))
    before = variants(*shares)
    grown = list(shares)
    grown[index] += part * max(0.0, 1.0 - sum(shares))
    after = variants(*grown)
    for user in USERS[:300]:
        old, new = before.of(user).name, after.of(user).name
        assert old == new or (old, new) == ("control", NAMES[index])


@given(shares_of, st.floats(0.0, 1.0))
def test_a_variant_that_is_added_takes_users_from_control_alone(shares: list[float], part: float) -> None:
    before, after = variants(*shares), variants(*shares, part * max(0.0, 1.0 - sum(shares)))
    for user in USERS[:300]:
        old, new = before.of(user).name, after.of(user).name
        assert old == new or (old, new) == ("control", NAMES[len(shares)])


def test_another_experiment_reshuffles_the_users() -> None:
    one, other = variants(0.5, experiment="1"), variants(0.5, experiment="2")
    both = sum(one.of(user).name == other.of(user).name == "a" for user in MANY)
    assert abs(both - len(MANY) / 4) < 5 * sqrt(len(MANY) * 3 / 16)


def test_without_variants_everybody_is_control() -> None:
    assert not NO_VARIANTS
    assert NO_VARIANTS.of("ann") == CONTROL
    assert NO_VARIANTS.named("control") is None
    assert CONTROL.model == MODEL


def test_a_variant_is_found_by_name_also_without_users() -> None:
    paused = variants(0.0)
    assert paused
    assert paused.names == ["a", "control"]
    assert paused.named("a") is not None
    assert paused.named("control") == CONTROL
    assert all(paused.of(user) == CONTROL for user in USERS)


def test_weights_that_are_left_out_are_those_of_everybody() -> None:
    (bolder, same, new, older) = parse(
        written(
            {"name": "bolder", "share": 0.1, "weights": {"absence_fresh": 0.05, "recency": 1, "seeds": 10}},
            {"name": "same", "share": 0.2},
            {"name": "new", "share": 0.2, "weights": {"newness": 0.5, "own": [-1, -2, -3, -4]}},
            {"name": "older", "share": 0.2, "model": 7},
        )
    )
    assert bolder == Variant("bolder", 0.1, structs.replace(MODEL, absence_fresh=0.05, recency=1.0, seeds=10))
    assert (same.model, same.weights, same.version) == (MODEL, None, None)
    assert str(bolder) == "bolder:0.1 seeds=10 recency=1.0 absence_fresh=0.05"
    assert new.weights is not None
    expected = FIXED.copy()
    expected[:, FEATURES.index("newness")] = 0.5
    expected[:, FEATURES.index("own")] = [-1, -2, -3, -4]
    assert np.array_equal(new.weights, expected)
    assert str(new) == "new:0.2 newness=0.5,0.5,0.5,0.5 own=-1,-2,-3,-4"
    assert (older.weights, older.version, str(older)) == (None, 7, "older:0.2 model=7")
    assert parse("[]") == ()


@pytest.mark.parametrize("shares", [[0.1] * 10, [0.7, 0.2, 0.1], [1 / 3] * 3])
def test_shares_that_sum_to_1_in_decimals_do(shares: list[float]) -> None:
    assert len(parse(written(*({"name": NAMES[0] + str(n), "share": share} for n, share in enumerate(shares))))) > 1


GOOD: Final = {"name": "bolder", "share": 0.1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bolder", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"name": "bolder"}', "expected a list"),
        (written(*({"name": f"v{n}", "share": 0} for n in range(MAX_VARIANTS + 1))), "at most 20"),
        (written("bolder"), r"\$\[0\]: expected an object"),
        (written({"share": 0.1}), r"\$\[0\]\.name: expected 1 to 32 of a-z"),
        (written({**GOOD, "name": "Bolder"}), r"\$\[0\]\.name: expected 1 to 32 of a-z"),
        (written({**GOOD, "name": "x" * 33}), r"\$\[0\]\.name"),
        (written({**GOOD, "name": "control"}), "'control' is reserved"),
        (written({**GOOD, "name": "preview"}), "'preview' is reserved"),
        (written(GOOD, GOOD), "'bolder' is given twice"),
        (written({"name": "bolder"}), r"\$\[0\]\.share"),
        (written({**GOOD, "share": -0.1}), r"\$\[0\]\.share: Expected `float` >= 0"),
        (written({**GOOD, "share": 10}), r"\$\[0\]\.share: Expected `float` <= 1"),
        (written({**GOOD, "share": True}), r"\$\[0\]\.share"),
        (written({**GOOD, "share": 0.6}, {"name": "other", "share": 0.5}), "sum to 1.1; at most 1"),
        (written({**GOOD, "wieghts": {}}), r"\$\[0\]\.wieghts: no such field; the fields are name, share, weights"),
        (written({**GOOD, "weights": [1]}), r"\$\[0\]\.weights: expected an object"),
        (
            written({**GOOD, "weights": {"pair_window": 5}}),
            r"weights\.pair_window: .* those are .*own.* seeds, recency,",
        ),
        (written({**GOOD, "weights": {"absence_fresh": 0}}), r"weights\.absence_fresh: Expected `float` > 0"),
        (written({**GOOD, "weights": {"own": 21}}), r"weights\.own: Expected `float` <= 20"),
        (
            written({**GOOD, "weights": {"own": [1, 2]}}),
            r"weights\.own: expected a number from -20 to 20, or 4 of them",
        ),
        (written({**GOOD, "model": 0}), r"\$\[0\]\.model: Expected `int` >= 1"),
        (written({**GOOD, "model": 1, "weights": {"own": 1}}), "either a model or weights"),
        (written({**GOOD, "weights": {"seeds": 2.5}}), r"weights\.seeds: Expected `int`"),
        (written({**GOOD, "weights": {"recency": "0.9"}}), r"weights\.recency: Expected `float`"),
    ],
)
def test_invalid_variants_are_refused_with_the_path(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_several_invalid_variants_are_named_in_one_message() -> None:
    with pytest.raises(ValueError, match="reserved") as raised:
        parse(written({"name": "control", "share": 2, "weights": {"recency": 7, "shrinkage": 1}}, {"name": "?"}))
    for part in (
        "$[0].name",
        "$[0].share",
        "$[0].weights.recency",
        "$[0].weights.shrinkage",
        "$[1].name",
        "$[1].share",
    ):
        assert part in str(raised.value)


TABLE: Final = item_table({**{f"p{n}": 1000.0 / (n + 1) for n in range(40)}, "i29": 8.0, "i5": 5.0, "i9": 2.0}, 0.3)
NEAR: Final = {
    seed: near(TABLE.index, {f"{seed}-{n}": 0.5 * 0.97**n + index / 1000 for n in range(100)}, {f"p{index}": 0.3})
    for index, seed in enumerate(f"i{n}" for n in range(30))
}
# One thing every two hours: of this visit, of visits before, and far more than are looked at.
HISTORY: Final = merge_history(
    NO_HISTORY, [Entry(f"i{n}", LANDMARK_MS - (n + 1) * 2 * HOUR_MS, Kind.VIEW, 0.3) for n in range(30)]
)


def scored(model: Model, weights: WeightRows | None = None) -> dict[str, float]:
    """Item → score, best first, of all candidates."""
    profile = Profile(HISTORY, model)
    candidates = Candidates(profile, NEAR, TABLE.best(150).tobytes(), TABLE, now_ms=LANDMARK_MS)
    rows = START if weights is None else np.array(weights)
    size = size_of(len(profile.latest))
    ranking = Ranking(TABLE.index, candidates, *TABLE.scored(rows).by_size[size])
    ranked = ranking.ranked({}, (), "learned", NO_EXCLUSIONS)
    return {item_id: ranked.score(item_id) for item_id in ranked.best(5_000)}


class Watched(Model, frozen=True):
    """A model that tells which of its fields were read."""

    def __getattribute__(self, name: str) -> Any:
        if name in Model.__struct_fields__:
            READ.add(name)
        return super().__getattribute__(name)


READ: set[str] = set()


def test_the_constants_are_what_ranking_for_a_user_reads() -> None:
    READ.clear()
    scored(Watched())
    # How many of the latest items give followers, and how long lists are, belongs to what weights were learned for.
    assert READ - {"following_seeds", "neighbours"} == set(CONSTANTS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seeds", 3),
        ("recency", 0.3),
        ("absence_fresh", 5.0),
        ("absence_stale", 9.0),
        ("stale_after_ms", DAY_MS * 300),
        *((name, 1.5) for name in FEATURES),
    ],
)
def test_every_weight_makes_another_list(name: str, value: float) -> None:
    (variant,) = parse(written({**GOOD, "weights": {name: value}}))
    assert scored(variant.model, variant.weights) != scored(MODEL)


@given(st.sampled_from(sorted(CONSTANTS)), st.data())
def test_whatever_is_allowed_can_be_ranked_by(name: str, data: st.DataObject) -> None:
    kind = CONSTANTS[name]
    (meta,) = kind.__metadata__
    low = meta.ge if meta.ge is not None else meta.gt
    whole = kind.__origin__ is int
    drawn = data.draw(st.integers(low, meta.le) if whole else st.floats(low, meta.le, exclude_min=meta.gt is not None))
    (variant,) = parse(written({**GOOD, "weights": {name: drawn}}))
    scores = scored(variant.model)
    assert scores
    assert all(0.0 < score < float("inf") for score in scores.values())
