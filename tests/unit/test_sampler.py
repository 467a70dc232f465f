"""Which events of a batch the learner is given, and what keeps one from it. No server is needed."""

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import pytest
from msgspec import structs

from app import metrics
from app.core.arrivals import MOST_BEHIND_MS
from app.core.features import NO_HISTORY, History
from app.core.history import Entry
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.messages import ClickMessage, ImpressionMessage, Message, ShownItemMessage, WatchMessage
from app.core.model import MODEL
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.popularity import NO_POPULAR, Popular
from app.core.ranking_samples import RankingSample
from app.core.sampling import OF_ONE_USER, Sampling
from app.core.signals import DAY_MS, HOUR_MS
from tests.support.pipeline import counted
from workers.sampler import MOST_LATE_MS, BatchSampler, Pick, Sampler

NOW_MS: Final = 1_800_000_000_000
Lists = tuple[Mapping[str, Neighbours], Popular, None]
COMMON: dict[str, Any] = {"v": 1, "session_id": "s", "ts_ms": 1, "received_ms": 1}


def click(user: str, item: str = "tent") -> Message:
    return ClickMessage(event_id=f"event-{user}-{item}", user_id=user, item_id=item, **COMMON)


def at_hand(seeds: Sequence[str], _own: Collection[str] = ()) -> Lists | None:
    return dict.fromkeys(seeds, NO_NEIGHBOURS), NO_POPULAR, None


def sampler(lists: Any = at_hand) -> Sampler:
    found = Sampler(lists, ItemTable(ItemIndex(), MODEL))
    found.is_active = True
    return found


def take(sampler: Sampler, message: Message, history: History = NO_HISTORY) -> RankingSample | None:
    """As of a batch of this message alone."""
    batch = BatchSampler(sampler, stride=1)
    found = batch.take(batch.picks([message]), {message.user_id: history})
    return found[0] if found else None


def dropped(result: str) -> float:
    return counted(metrics.LEARNER_SAMPLES, result=result)


def test_process_that_does_not_learn_takes_no_samples() -> None:
    idle = sampler()
    idle.is_active = False
    assert idle.for_batch(10) is None


def test_first_event_of_each_user_in_a_chunk_is_taken() -> None:
    batch = sampler().for_batch(4)
    assert batch is not None
    taken = batch.picks([click("ann"), click("ann", "stove"), click("bob"), click("ann", "rope")])
    assert len(taken) == 2


def test_large_batch_is_sampled_all_over() -> None:
    batch = sampler().for_batch(5_000)
    assert batch is not None
    taken = [number for number in range(100) if batch.picks([click(f"user-{number}-{place}") for place in range(50)])]
    assert 5 <= len(taken) <= 50
    assert max(taken) > 70


def shown(user: str) -> Message:
    items = [ShownItemMessage(item_id="tent", position=0)]
    return ImpressionMessage(event_id=f"event-{user}", user_id=user, items=items, **COMMON)


def test_impressions_take_no_place_of_a_click() -> None:
    """They change no history, so a click after one is still its user's first."""
    batch = BatchSampler(sampler(), stride=2)
    users = [f"user-{number}" for number in range(8)]
    assert len(batch.picks([one for user in users for one in (shown(user), shown(user), click(user))])) == 4


def test_event_of_a_user_whose_turn_has_not_come_is_not_picked() -> None:
    """So that no history is read or joined for it."""
    busy = sampler()
    for number in range(2):
        assert take(busy, click("ann", f"item-{number}")) is not None
    assert [len(BatchSampler(busy, 1).picks([click("ann", f"then-{number}")])) for number in range(3)] == [1, 1, 1]
    assert take(busy, click("ann", "taught")) is not None
    assert BatchSampler(busy, 1).picks([click("ann", "next")]) == []


def test_hour_that_ends_while_a_sample_is_taken_harms_nobody() -> None:
    hours = Sampling()
    assert hours.is_due("ann", HOUR_MS - 1) == 1.0
    assert hours.is_due("bob", HOUR_MS) == 1.0
    hours.taught("ann", HOUR_MS)
    assert hours.is_due("ann", HOUR_MS + 1) == 1.0
    assert hours.is_due("ann", HOUR_MS + 1) == 2.0


def test_impression_and_abandoned_watch_teach_nothing() -> None:
    abandoned = WatchMessage(
        event_id="event-1", user_id="bob", item_id="tent", watch_time_sec=1.0, percent_watched=1.0, **COMMON
    )
    batch = sampler().for_batch(3)
    assert batch is not None
    assert batch.picks([shown("ann"), abandoned, wanted := click("eve")]) == [Pick(wanted, 1.0)]


def test_one_user_teaches_a_few_times_an_hour() -> None:
    busy = sampler()
    taken = [take(busy, click("ann", f"item-{number}")) for number in range(100)]
    assert sum(sample is not None for sample in taken) == OF_ONE_USER


def test_sample_whose_lists_are_not_at_hand_is_dropped_and_counted() -> None:
    before = dropped("no_lists")
    assert take(sampler(lambda _seeds, _own: None), click("ann")) is None
    assert dropped("no_lists") == before + 1


def test_dropped_samples_leave_a_user_all_of_those_that_teach(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that teaches stands for those that were dropped before, for at most ten."""
    monkeypatch.setattr(time, "time_ns", lambda: NOW_MS * 1_000_000)
    are_there = False
    late = sampler(lambda seeds, _: at_hand(seeds) if are_there else None)
    taught = []
    for number in range(1, 80):
        are_there = number > 12
        found = take(late, click("ann", f"item-{number}"))
        if found is not None:
            taught.append((number, found.stands_for))
    assert taught[:3] == [(13, 10.0), (20, 7.0), (30, 10.0)]


def test_sample_that_fails_is_counted_and_harms_nobody() -> None:
    def broken(seeds: Sequence[str], own: Collection[str]) -> Lists | None:
        raise RuntimeError("a mistake")

    before = dropped("failed")
    assert take(sampler(broken), click("ann")) is None
    assert dropped("failed") == before + 1


@pytest.mark.parametrize(
    ("log_ms", "since_ms", "taken"),
    [
        (NOW_MS, MOST_LATE_MS, True),
        (NOW_MS, MOST_LATE_MS + 1, False),
        (NOW_MS - MOST_LATE_MS, MOST_LATE_MS + 1, False),
        (NOW_MS - MOST_LATE_MS - 1, 900 * DAY_MS, True),
    ],
)
def test_event_far_behind_a_live_log_teaches_nothing(
    monkeypatch: pytest.MonkeyPatch, log_ms: int, since_ms: int, taken: bool
) -> None:
    """What was ranked then is not known. A history of years ago teaches, in whatever order it is imported."""
    monkeypatch.setattr(time, "time_ns", lambda: NOW_MS * 1_000_000)
    assert _is_taken(log_ms - since_ms, History(), log_ms=log_ms) == taken


@pytest.mark.parametrize(
    ("received_ms", "since_ms", "taken"),
    [(2, MOST_BEHIND_MS, True), (2, MOST_BEHIND_MS + 1, False), (1, MOST_BEHIND_MS + 1, True)],
)
def test_event_far_behind_one_that_was_received_before_it_teaches_nothing(
    received_ms: int, since_ms: int, taken: bool
) -> None:
    """As in a log in the order of its users, whose sums hold the future of its events."""
    busy = sampler()
    batch = busy.for_batch(1)
    assert batch is not None
    batch.picks([structs.replace(click("bob"), received_ms=1, ts_ms=1)])
    behind = structs.replace(click("ann"), received_ms=received_ms, ts_ms=1 - since_ms)
    assert (take(busy, behind) is not None) == taken


def test_late_events_keep_no_later_one_of_their_user_from_teaching() -> None:
    """As when a phone sends what it kept while it was offline."""
    busy = sampler()
    busy.saw([structs.replace(click("bob"), received_ms=NOW_MS, ts_ms=NOW_MS)])
    for number in range(70):
        kept = structs.replace(click("ann", f"item-{number}"), received_ms=NOW_MS + 1, ts_ms=NOW_MS - DAY_MS)
        assert take(busy, kept) is None
    now = [structs.replace(click("ann", f"now-{n}"), received_ms=NOW_MS + 2, ts_ms=NOW_MS + n) for n in range(30)]
    assert any(take(busy, one) is not None for one in now)


def test_event_of_a_wrong_clock_makes_none_late() -> None:
    busy = sampler()
    busy.saw([structs.replace(click("bob"), received_ms=NOW_MS, ts_ms=NOW_MS + DAY_MS)])
    later = structs.replace(click("ann"), received_ms=NOW_MS + 1, ts_ms=NOW_MS + 1)
    assert take(busy, later) is not None


@pytest.mark.parametrize(("after_ms", "taken"), [(0, True), (1, False)])
def test_event_before_others_of_its_user_teaches_nothing(after_ms: int, taken: bool) -> None:
    assert _is_taken(1, History((Entry("stove", 1 + after_ms, 1, 0.5),)), log_ms=1) == taken


def _is_taken(ts_ms: int, history: History, *, log_ms: int) -> bool:
    """Of an event at this time; what is dropped is counted as late."""
    before, popular = dropped("late"), Popular(b"", b"", log_ms)
    late = sampler(lambda seeds, _: (dict.fromkeys(seeds, NO_NEIGHBOURS), popular, None))
    found = take(late, structs.replace(click("ann"), ts_ms=ts_ms), history)
    assert dropped("late") == before + (found is None)
    return found is not None


@pytest.mark.parametrize("item", ["tent", "stove"])
def test_sample_knows_whether_the_item_is_new_to_the_user(item) -> None:
    history = History((Entry("tent", 0, 1, 0.5),))
    found = take(sampler(), click("ann", item), history)
    assert found is not None
    assert found.is_new == (item == "stove")
    assert found.size == 1
