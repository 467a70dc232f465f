"""Items in arrays: room that grows, the most popular by each half-life, and scores that are computed once."""

import numpy as np

from app.core.history import seen_hash
from app.core.item_features import SUMS
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.model import MODEL
from app.core.signals import DAY_MS, HOUR_MS, LANDMARK_MS
from app.core.weights import FIXED, START


def table_of(**popularities: tuple[float, float, float]) -> ItemTable:
    """Items with their popularity by the hour, the day and the week."""
    table = ItemTable(ItemIndex(), MODEL)
    rows = [[LANDMARK_MS, *values, 1.0, 0.0, 1.0, 1.0, LANDMARK_MS] for values in popularities.values()]
    assert all(len(row) == len(SUMS) for row in rows)
    table.update(table.index.number(list(popularities)), np.array(rows))
    table.refresh(LANDMARK_MS)
    return table


def test_the_most_popular_by_each_half_life_are_found_once() -> None:
    table = table_of(now=(9.0, 1.0, 1.0), today=(1.0, 9.0, 1.0), week=(1.0, 1.0, 9.0), none=(0.5, 0.5, 0.5))
    assert [table.index.ids[number] for number in table.best(1)] == ["now", "today", "week"]
    assert table.best(10).tolist() == [0, 1, 2, 3]
    assert table.popularity(table.best(10)).tolist() == [[9.0, 1.0, 1.0], [1.0, 9.0, 1.0], [1.0, 1.0, 9.0], [0.5] * 3]


def test_items_that_were_never_popular_are_not_among_the_best() -> None:
    table = table_of(none=(0.0, 0.0, 0.0), disliked=(-1.0, -1.0, -1.0), hit=(1.0, 1.0, 1.0))
    assert [table.index.ids[number] for number in table.best(5)] == ["hit"]
    assert np.isfinite(table.features).all()


def test_what_was_popular_by_the_hour_is_soon_less_so_than_by_the_week() -> None:
    table = table_of(a=(4.0, 4.0, 4.0), b=(1.0, 1.0, 1.0))
    table.update(np.array([1]), np.array([[LANDMARK_MS + 8 * HOUR_MS, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, LANDMARK_MS]]))
    table.refresh(LANDMARK_MS + 8 * HOUR_MS)
    assert table.shares[0, 0] == 0.25  # after four half-lives 4 is a quarter of 1
    assert table.shares[0, 2] == 1.0


def test_items_that_are_numbered_later_have_room_and_hashes() -> None:
    table = table_of(a=(1.0, 1.0, 1.0))
    many = [f"item-{number}" for number in range(5_000)]
    numbers = table.index.number(many)
    table.make_room()
    assert table.hashes[numbers].tolist() == [seen_hash(item_id) for item_id in many]
    assert not table.features[numbers].any()
    assert not table.scored(START).scores[:, numbers].any()
    assert table.features[0].any()


def test_scores_of_all_items_are_computed_once_until_the_next_refresh() -> None:
    table = table_of(a=(1.0, 1.0, 1.0), b=(2.0, 0.0, 1.0))
    found = table.scored(START).scores
    assert table.scored(START).scores is found
    assert table.scored(FIXED).scores is not found
    table.refresh(LANDMARK_MS)  # nothing has changed
    assert table.scored(START).scores is found
    version = table.version
    table.refresh(LANDMARK_MS + HOUR_MS)
    assert table.version > version
    again = table.scored(START).scores
    assert again is not found
    assert not np.array_equal(again, found)
    table.update(np.array([0]), table.sums(np.array([1])))
    table.refresh(LANDMARK_MS + HOUR_MS)
    assert table.scored(START).scores[0, 0] == table.scored(START).scores[0, 1]


def many_items(count: int) -> ItemTable:
    rng = np.random.default_rng(5)
    table = ItemTable(ItemIndex(), MODEL)
    sums = rng.uniform(1.0, 9.0, (count, len(SUMS)))
    sums[:, 0] = LANDMARK_MS - rng.integers(0, 100 * HOUR_MS, count)
    sums[:, -1] = sums[:, 0] - 50 * HOUR_MS
    table.update(table.index.number([f"i{number}" for number in range(count)]), sums)
    return table


def test_what_changes_between_the_steps_of_a_refresh_counts_at_its_end() -> None:
    table = many_items(10_000)
    table.refresh(LANDMARK_MS)
    scores, shares, version = table.scored(START).scores, table.shares, table.version
    steps = table.refreshing(LANDMARK_MS + HOUR_MS)
    assert [next(steps) for _ in range(4)] == [None] * 4
    assert table.shares is shares
    assert table.scored(START).scores is scores
    table.update(np.array([0, 9_999]), table.sums(np.array([1, 1])))
    table.index.number([f"late-{number}" for number in range(20_000)])
    table.make_room()
    assert list(steps) == [None, None]
    assert table.version > version
    for array in (table.shares, table.features, table.prior, table.own_repeats, table.scored(START).scores.T):
        assert len(array) >= 30_000
        assert np.array_equal(array[[0, 9_999]], array[[1, 1]])
        assert not array[10_000:].any()
    again = many_items(10_000)
    again.refresh(LANDMARK_MS + HOUR_MS)
    unchanged = slice(1, 9_999)
    assert np.array_equal(table.features[unchanged], again.features[unchanged])
    assert np.array_equal(table.scored(START).scores[:, unchanged], again.scored(START).scores[:, unchanged])


def test_an_item_that_is_forgotten_between_the_steps_of_a_refresh_stays_forgotten() -> None:
    table = many_items(10)
    table.index.sweep()
    steps = table.refreshing(LANDMARK_MS)
    next(steps)
    table.index.use(np.arange(1, 10))
    table.forget(table.index.sweep())
    assert list(steps) == [None]
    assert not table.features[0].any()
    assert table.features[1:10].any(axis=1).all()


def test_equal_items_have_equal_scores_whenever_they_were_computed() -> None:
    table = many_items(9_000)
    table.refresh(LANDMARK_MS)
    table.scored(START)
    same = table.sums(np.array([7]))
    for numbers in (np.array([3]), np.arange(4_000, 4_600)):
        table.update(numbers, same.repeat(len(numbers), axis=0))
        table.refresh_some(numbers)
    for _ in range(2):
        scores = table.scored(START).scores
        assert (scores[:, [3, *range(4_000, 4_600)]] == scores[:, [7]]).all()
        table.refresh(LANDMARK_MS + HOUR_MS)


def test_scores_that_nobody_has_used_are_not_made_again() -> None:
    table = many_items(10)
    table.refresh(LANDMARK_MS)
    table.scored(START)
    table.refresh(LANDMARK_MS + HOUR_MS)
    kept = table.scored(START).scores
    table.scored(FIXED)
    table.refresh(LANDMARK_MS + 2 * HOUR_MS)
    assert table.scored(FIXED).scores is table.scored(FIXED).scores
    assert table.scored(START).scores is not kept


def test_items_that_are_read_between_refreshes_have_their_features_at_once() -> None:
    table, whole = many_items(10), many_items(10)
    table.refresh(LANDMARK_MS)
    table.scored(START)
    numbers = table.index.number(["new"])
    at_ms = LANDMARK_MS - 200 * HOUR_MS
    sums = np.array([[at_ms, 0.5, 0.5, 0.5, 4.0, 1.0, 4.0, 4.0, at_ms - HOUR_MS]])
    table.update(numbers, sums)
    table.refresh_some(numbers)
    whole.update(whole.index.number(["new"]), sums)
    whole.refresh(LANDMARK_MS)
    assert np.array_equal(table.features, whole.features)
    assert np.array_equal(table.scored(START).scores, whole.scored(START).scores)
    # One that is more popular than all others counts as they do until the next refresh.
    table.update(numbers, np.array([[LANDMARK_MS, 99.0, 99.0, 99.0, 4.0, 1.0, 4.0, 4.0, at_ms]]))
    table.refresh_some(numbers)
    assert table.shares[numbers].tolist() == [[1.0, 1.0, 1.0]]


def test_the_most_popular_of_some_are_in_order_and_of_equal_ones_the_first() -> None:
    rng = np.random.default_rng(3)
    table = table_of(**{f"i{number}": tuple(rng.integers(0, 9, 3).tolist()) for number in range(300)})
    numbers = rng.permutation(300)[:200].astype(np.int32)
    for count in (1, 7, 150, 500):
        found = table.most_popular(numbers, count)
        for places, shares in zip(found, table.shares[numbers].T, strict=True):
            ordered = sorted((-share, place) for place, share in enumerate(shares.tolist()) if share > 0)
            assert places.tolist() == [place for _, place in ordered[:count]]


def test_an_item_that_gets_the_number_of_a_forgotten_one_has_nothing_of_it() -> None:
    table = table_of(a=(4.0, 4.0, 4.0), b=(1.0, 1.0, 1.0))
    for _ in range(3):
        table.index.use(np.array([1]))
        table.forget(table.index.sweep())
    assert table.best(5).tolist() == [1]
    assert table.index.number(["new"]).tolist() == [0]
    table.make_room()
    assert table.hashes[0] == seen_hash("new")
    assert table.sums(np.array([0])).tolist() == [[0.0] * len(SUMS)]
    assert table.features[0].tolist() == [0.0] * table.features.shape[1]


def test_rows_begin_anew_before_their_numbers_end() -> None:
    table = ItemTable(ItemIndex(), MODEL)
    table.index.number(["tent"])
    table.make_room()
    most = np.iinfo(np.int32).max
    first = table.take_rows(most - 10)
    table.rows[0] = first
    assert table.take_rows(9) == first + most - 10
    assert table.rows[0] == first
    again = table.take_rows(9)
    assert again > table.rows.max()
    assert again + 9 < most


def test_no_two_answers_have_the_same_first_row() -> None:
    table = ItemTable(ItemIndex(), MODEL)
    assert table.take_rows(0) < table.take_rows(0) < table.take_rows(3)


def test_item_whose_events_were_all_taken_back_is_not_popular_and_sets_no_clock() -> None:
    """Whatever rounding leaves of its sums, however old the log is."""
    for years in (-40, 0, 40):
        at_ms = LANDMARK_MS + round(years * 365.25 * 24 * HOUR_MS)
        event = 2.0 ** ((at_ms - LANDMARK_MS) / MODEL.covisitation_half_life_ms)
        table = ItemTable(ItemIndex(), MODEL)
        numbers = table.index.number(["smoke", "old", "tent"])
        table.update(
            numbers,
            np.array(
                [
                    sums(popular_ms=at_ms + HOUR_MS, popular_week=1e-17, popular_day=1e-17, events=1e-16 * event),
                    # As of a database that counts users only since a later release.
                    sums(popular_ms=at_ms, popular_week=1e-9, events=event),
                    sums(popular_ms=at_ms - HOUR_MS, popular_week=1.0, events=event, users=1.0),
                ]
            ),
        )
        table.refresh(table.log_ms)
        assert table.log_ms == at_ms
        assert table.best(10).tolist() == numbers[1:].tolist()


def test_event_that_a_wrong_clock_has_dated_ahead_makes_no_others_old() -> None:
    """What it has made popular stays so until then, and all others keep their popularity."""
    table, now_ms = ItemTable(ItemIndex(), MODEL), LANDMARK_MS + 100 * DAY_MS
    numbers = table.index.number(["misdated", "tent"])
    event = dict.fromkeys(("popular_hours", "popular_day", "popular_week", "events", "users"), 1.0)
    ahead = [sums(popular_ms=now_ms + 30 * DAY_MS, **event), sums(popular_ms=now_ms, **event)]
    table.update(numbers, np.array(ahead), most_ms=now_ms)
    assert table.log_ms == now_ms
    table.refresh(table.log_ms)
    assert table.popularity(numbers)[1].tolist() == [1.0] * 3


def sums(**known: float) -> list[float]:
    return [known.get(name, 0.0) for name in SUMS]
