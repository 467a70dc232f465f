"""The features of candidates equal a slow and plain computation of them."""

from math import copysign, exp, log1p, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.candidates import Candidates, absence
from app.core.history import NO_HISTORY, Entry, History, seen_hash
from app.core.item_features import SUMS
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.neighbours import Neighbours
from app.core.profile import Profile
from app.core.signals import (
    COVISITATION_HALF_LIFE_MS,
    DAY_MS,
    HOUR_MS,
    LANDMARK_MS,
    POPULARITY_HALF_LIVES_MS,
    Kind,
    decay_factor,
)
from app.core.weights import ABSENCE, FEATURES, FIXED, FROM_OWN, START
from tests.support.histories import merge_history
from tests.support.serving_store import near

NOW_MS = LANDMARK_MS + 30 * DAY_MS
NAMES = [f"item-{number:02}" for number in range(25)]
ITEMS = st.sampled_from(NAMES)
LISTS = st.dictionaries(ITEMS, st.floats(1 / 64, 1.0, width=32), max_size=8)

Sums = dict[str, float]
SUMS_OF_ITEM = st.fixed_dictionaries(
    {
        "popular_ms": st.integers(NOW_MS - 20 * DAY_MS, NOW_MS).map(float),
        "popular_hours": st.floats(-1.0, 50.0),
        "popular_day": st.floats(0.0, 50.0),
        "popular_week": st.floats(0.0, 50.0),
        "frequency": st.floats(0.5, 50.0),
        "repeat_weight": st.floats(0.0, 0.5),
        "events": st.floats(1.0, 50.0),
        "users": st.floats(1.0, 50.0),
        "first_ms": st.integers(NOW_MS - 90 * DAY_MS, NOW_MS).map(float),
    }
)
TABLES = st.dictionaries(ITEMS, SUMS_OF_ITEM)
ENTRIES = st.lists(
    st.builds(
        Entry,
        ITEMS,
        st.integers(0, 200).map(lambda hours: NOW_MS - hours * HOUR_MS),
        st.sampled_from([int(kind) for kind in Kind]),
        st.sampled_from([-0.2, 0.3, 1.0]),
    ),
    max_size=30,
)


def table_of(sums: dict[str, Sums]) -> ItemTable:
    table = ItemTable(ItemIndex(), MODEL)
    numbers = table.index.number(list(sums))
    table.update(numbers, np.array([[of_item[name] for name in SUMS] for of_item in sums.values()]).reshape(-1, 9))
    table.refresh(NOW_MS)
    return table


def item_features(sums: dict[str, Sums], item_id: str) -> tuple[dict[str, float], float, float]:
    """The features that are the same for all users, the share of popularity by the week, and the repeat rate."""
    found: dict[str, float] = {}
    share = 0.0
    for name, half_life_ms in zip(
        ("popular_hours", "popular_day", "popular_week"), POPULARITY_HALF_LIVES_MS, strict=True
    ):
        now = {
            other: max(0.0, of_other[name] * 2 ** -((NOW_MS - of_other["popular_ms"]) / half_life_ms))
            for other, of_other in sums.items()
        }
        share = now.get(item_id, 0.0) / max(1e-9, *now.values(), 0.0)
        found[name] = log1p(100.0 * share)
    if item_id not in sums:
        return found, share, 0.0
    own, factor = sums[item_id], decay_factor(NOW_MS, COVISITATION_HALF_LIFE_MS)
    days = (NOW_MS - own["first_ms"]) / DAY_MS
    found |= {"frequency": log1p(own["frequency"] * factor), "age": log1p(days), "newness": exp(-days / 2.0)}
    events = own["events"] * factor
    return found, share, own["repeat_weight"] / own["frequency"] * events / (events + 5.0)


@given(TABLES, ENTRIES, st.dictionaries(ITEMS, LISTS), st.dictionaries(ITEMS, LISTS), st.sets(ITEMS), st.sets(ITEMS))
def test_features_are_what_their_names_say(
    sums: dict[str, Sums],
    entries: list[Entry],
    similar: dict[str, dict[str, float]],
    following: dict[str, dict[str, float]],
    popular: set[str],
    earlier: set[str],
) -> None:
    table = table_of(sums)
    history = merge_history(NO_HISTORY, entries)
    if earlier:  # also where all entries were taken back
        history = History(history.entries, tuple(sorted(map(seen_hash, earlier))))
    profile = Profile(history)
    seeds = [seed.item_id for seed in profile.seeds]
    lists = {item_id: near(table.index, similar.get(item_id, {}), following.get(item_id, {})) for item_id in seeds}
    found = Candidates(profile, lists, table.index.number(sorted(popular)).tobytes(), table, now_ms=NOW_MS)
    ids = [table.index.ids[number] for number in found.numbers.tolist()]
    expected = popular | (profile.latest.keys() & set(table.index.ids))
    for place, item_id in enumerate(seeds):
        expected |= similar.get(item_id, {}).keys()
        if place < MODEL.following_seeds:
            expected |= following.get(item_id, {}).keys()
    assert len(set(ids)) == len(ids)
    assert set(ids) == expected

    features = found.features()
    for item_id, row in zip(ids, features.tolist(), strict=True):
        plain, share, repeat_rate = item_features(sums, item_id)
        weighed = list(zip(seeds, profile.weights, strict=True))
        for name, scale, value in (
            ("similar", 20.0, sum(weight * similar.get(seed, {}).get(item_id, 0.0) for seed, weight in weighed)),
            ("similar_last", 20.0, similar.get(seeds[0], {}).get(item_id, 0.0) if seeds else 0.0),
            ("lasting", 20.0, sum(similar.get(seed, {}).get(item_id, 0.0) for seed in seeds) / max(1, len(seeds))),
            (
                "following",
                50.0,
                sum(
                    weight * following.get(seed, {}).get(item_id, 0.0)
                    for seed, weight in weighed[: MODEL.following_seeds]
                ),
            ),
        ):
            plain[name] = copysign(log1p(abs(scale * value)), value)
        own = profile.latest.get(item_id)
        if own is not None:
            times = 1.0
            if own.weight:
                decay = 2 ** -(max(0, NOW_MS - own.at_ms) / MODEL.weekly_half_life_ms)
                times += own.other_weight / own.weight * decay
            plain |= {"own_times": log1p(max(0.0, times)), "own_age": log1p((NOW_MS - own.at_ms) / HOUR_MS)}
        elif seen_hash(item_id) in history.seen_hashes:
            age_ms = NOW_MS - history.entries[-1].at_ms if history.entries else 365 * DAY_MS
            plain |= {"own_times": log1p(1.0), "own_age": log1p(age_ms / HOUR_MS)}
        if "own_age" in plain:
            plain |= {"own": 1.0, "own_repeats": log1p(50.0 * repeat_rate)}
        plain["absence"] = absence(history.entries, NOW_MS, MODEL) * sqrt(share)
        assert row == pytest.approx([plain.get(name, 0.0) for name in FEATURES], rel=1e-3, abs=1e-4), item_id

    for weights in (FIXED, START):
        of_size = weights[2].astype(np.float32)
        own_part = features[:, FROM_OWN] @ of_size[FROM_OWN]
        scores = features @ of_size
        for of_items in (table.scored(weights).scores[2], table.scores_of(found.numbers, of_size)):
            ours = found.scores(of_size, of_items)
            assert ours[np.isfinite(ours)] == pytest.approx(scores[np.isfinite(ours)], rel=1e-3, abs=1e-3)
            assert (own_part[np.isinf(ours)] < -1.99).all()
    some = found.rows_of(table.index.number(NAMES[:5]).tolist())
    assert sorted(ids[row] for row in some.tolist()) == sorted(set(NAMES[:5]) & set(ids))
    assert np.array_equal(found.features(some), features[some])
    table.take_rows(1)  # another answer
    table.rows[:] = table.first_row
    assert np.array_equal(found.rows_of(table.index.number(NAMES[:5]).tolist()), some)


def test_popularity_weighs_more_for_a_user_who_was_away() -> None:
    table = table_of({"hit": dict.fromkeys(SUMS, 10.0) | {"popular_ms": float(NOW_MS), "first_ms": 0.0}})
    popular = table.index.number(["hit"]).tobytes()

    def of(hours: int) -> float:
        history = merge_history(NO_HISTORY, [Entry("x", NOW_MS - hours * HOUR_MS, Kind.VIEW, 0.3)])
        found = Candidates(Profile(history), {}, popular, table, now_ms=NOW_MS)
        return float(found.features()[0, ABSENCE])

    assert of(0) == pytest.approx(MODEL.absence_fresh)
    assert of(0) < of(24) < of(24 * 30) < MODEL.absence_stale
    unknown = Candidates(Profile(NO_HISTORY), {}, popular, table, now_ms=NOW_MS)
    assert unknown.features()[0, ABSENCE] == pytest.approx(MODEL.absence_stale)


def test_an_older_item_gives_fewer_candidates() -> None:
    names = [f"near-{number:03}" for number in range(MODEL.neighbours)]
    table = ItemTable(ItemIndex(), MODEL)
    long = near(table.index, {name: 1.0 - place / 1000 for place, name in enumerate(names)}, {})
    entries = [Entry(f"item-{hours}", NOW_MS - hours * HOUR_MS, 3, 1.0) for hours in range(MODEL.seeds)]
    history = merge_history(NO_HISTORY, entries)

    def count(lists: dict[str, Neighbours]) -> int:
        return len(Candidates(Profile(history), lists, b"", table, now_ms=NOW_MS).numbers)

    assert count({"item-0": long}) == MODEL.neighbours
    assert count({"item-6": long}) == round(MODEL.neighbours * MODEL.recency)
    assert count({f"item-{MODEL.seeds - 1}": long}) > 0.4 * MODEL.neighbours
