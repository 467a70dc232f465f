"""Own writes over a history: idempotent, in any order, and gone with an erasure."""

import json

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from app.core import events, own_writes, submitted
from app.core.events import Cancellation
from app.core.features import fold
from app.core.history import (
    CANCELS,
    ENDS_OFFER,
    MAX_ITEMS,
    MAX_TAKEN_BACK,
    NO_HISTORY,
    Entry,
    History,
    encode_history,
    seen_hash,
    standing,
)
from app.core.messages import decode_message
from app.core.model import MODEL
from app.core.own_writes import OwnWrite
from tests.support.histories import merge_history


def bodies(items: int, latest_ms: int, kinds: list[str]) -> st.SearchStrategy[dict[str, object]]:
    return st.builds(
        lambda item, at_ms, kind: {
            "user_id": "ann",
            "session_id": "s",
            "item_id": f"item-{item}",
            "ts_ms": at_ms,
            "event_type": kind,
            **({"watch_time_sec": 3.0} if kind == "watch" else {}),
        },
        st.integers(0, items),
        st.integers(1, latest_ms),
        st.sampled_from(kinds),
    )


_BODIES = bodies(60, 10_000, ["view", "click", "purchase", "watch"])


def records_of(bodies: list[dict[str, object]]) -> list[events.Record]:
    return [
        events.accept(
            submitted.decode_any(json.dumps({"event_id": f"event-{number:04}", **body}).encode()),
            now_ms=1,
            entropy=b"",
            any_time=True,
        )
        for number, body in enumerate(bodies)
    ]


def cancellation(of: events.Record) -> events.Record:
    event = Cancellation(user_id="ann", session_id="s", cancels=of.event_id)
    return submitted.accept_cancellation(event, decode_message(of.payload.encode()), now_ms=1)


def written(records: list[events.Record], erasures: int = 0) -> list[OwnWrite]:
    return [OwnWrite(own_writes.key_of(r.event_id), erasures, own_writes.entry_of(r.payload)) for r in records]


def history_of(records: list[events.Record]) -> History:
    messages = [decode_message(record.payload.encode()) for record in records]
    return fold(messages, {}).histories.get("ann", NO_HISTORY)


def shown(history: History) -> list[tuple[str, int, int, float]]:
    return [(entry.item_id, entry.at_ms, entry.kind, entry.weight) for entry in history.entries]


def stands(history: History) -> dict[tuple[str, int], float]:
    """What weighs something, by item and kind."""
    return {
        (entry.item_id, entry.kind): round(entry.weight + entry.other_weight, 6) for entry in standing(history).entries
    }


def _distinct(bodies: list[dict[str, object]]) -> list[dict[str, object]]:
    return list({(body["item_id"], body["ts_ms"], body["event_type"]): body for body in bodies}.values())


@given(st.lists(_BODIES, max_size=120).map(_distinct), st.data())
def test_own_writes_over_any_counted_part_show_what_will_be_counted(
    bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    records = records_of(bodies)
    counted = [record for record in records if data.draw(st.booleans())]
    own = data.draw(st.permutations(written(records)))
    # Those that are counted already are still there, some even twice.
    assert shown(own_writes.laid_over(history_of(counted), own, MODEL)) == shown(history_of(records))


_LIKES = st.lists(bodies(2, 4, ["view", "purchase"]), max_size=12)


@given(_LIKES, st.data())
def test_what_is_taken_back_is_gone_whichever_of_it_is_counted(
    bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    """Events are counted in the order of their times, several of one time, and any of the cancellations after them."""
    records, until_ms = records_of(bodies), data.draw(st.integers(0, 4))
    counted = [record for record in records if record.ts_ms <= until_ms]
    taken = [record for record in records if data.draw(st.booleans())]
    counted += [cancellation(record) for record in taken if record in counted and data.draw(st.booleans())]
    sent = [*records, *map(cancellation, taken)]
    own = data.draw(st.permutations(written(sent)))
    assert stands(own_writes.laid_over(history_of(counted), own, MODEL)) == stands(history_of(sent))


def test_a_like_that_is_older_than_one_taken_back_is_there_at_once() -> None:
    about = {"user_id": "ann", "session_id": "s", "item_id": "film", "event_type": "view"}
    later, earlier = records_of([{**about, "ts_ms": 9}, {**about, "ts_ms": 5}])
    history = history_of([later, cancellation(later)])
    own = written([later, cancellation(later), earlier])
    assert own_writes.uncounted(history, own) == own[2:]
    assert stands(own_writes.laid_over(history, own, MODEL)).keys() == {("film", 0)}


@given(st.lists(bodies(2, 12, ["view", "purchase"]), max_size=12), st.data())
def test_what_is_taken_back_hides_nothing_that_is_not_counted(
    bodies: list[dict[str, object]], data: st.DataObject
) -> None:
    """Of events of different times."""
    records = records_of(list({body["ts_ms"]: body for body in bodies}.values()))
    counted = [record for record in records if data.draw(st.booleans())]
    back = [cancellation(record) for record in counted if data.draw(st.booleans())]
    own = data.draw(st.permutations(written([*records, *back])))
    laid_over = own_writes.laid_over(history_of([*counted, *back]), own, MODEL)
    assert stands(laid_over).keys() == stands(history_of([*records, *back])).keys()


def test_an_offer_that_was_ended_long_ago_is_made_again_at_once() -> None:
    ended = Entry("film", 1, 6, -0.8, 0, ENDS_OFFER)
    history = merge_history(NO_HISTORY, [ended, *(Entry(f"item-{n}", n, 0, 0.3) for n in range(2, MAX_ITEMS + 5))])
    back = OwnWrite(bytes(8), 0, Entry("film", 1, 6, 0.8, 0, ENDS_OFFER | CANCELS))
    assert history.ended_hashes == (seen_hash("film"),)
    assert own_writes.laid_over(history, [back], MODEL) == replace(history, ended_hashes=())


def test_the_latest_cancellations_are_known_and_those_before_them_add_nothing() -> None:
    liked = records_of(
        [
            {"user_id": "ann", "session_id": "s", "item_id": "film", "ts_ms": at_ms, "event_type": "view"}
            for at_ms in range(1, MAX_TAKEN_BACK + 3)
        ]
    )
    back = list(map(cancellation, liked))
    history = history_of([*liked, *back[1:-1]])
    assert len(history.taken_back) == MAX_TAKEN_BACK
    assert len(encode_history(history)) < 10 * MAX_TAKEN_BACK
    assert own_writes.uncounted(history, written(back)) == written(back[-1:])
    assert history_of([*liked, *reversed(back)]).taken_back == history_of([*liked, *back]).taken_back


@given(st.lists(_BODIES, max_size=80).map(_distinct))
def test_a_history_that_counts_all_of_them_leaves_nothing_uncounted(bodies: list[dict[str, object]]) -> None:
    records = records_of(bodies)
    assert own_writes.uncounted(history_of(records), written(records)) == []


def test_a_history_without_anything_new_stays_the_same_object() -> None:
    history = History((Entry("film", 5, 1, 0.5),))
    assert own_writes.laid_over(history, [OwnWrite(bytes(8), 0, Entry("film", 5, 1, 0.5))], MODEL) is history


def test_a_log_gives_each_write_once_and_none_of_before_the_erasure() -> None:
    of_before = OwnWrite(b"12345678", 2, Entry("a", 1, 0, 0.3))
    of_after = OwnWrite(b"abcdefgh", 3, Entry("b", 2, 0, 0.3))
    log = b"".join(map(own_writes.encode, [of_before, of_after, of_before]))
    assert own_writes.decode(log) == [of_before, of_after]
    assert own_writes.decode(log, erasures=3) == [of_after]
    assert own_writes.decode(b"") == []


def test_a_damaged_record_ends_its_log() -> None:
    whole, damaged = (OwnWrite(name * 8, 1, Entry("film", 1, 0, 0.3)) for name in (b"a", b"b"))
    log = own_writes.encode(whole) + own_writes.encode(damaged)
    assert own_writes.decode(log[:-1]) == own_writes.decode(log[:-12] + b"\xff" * 12) == [whole]
    assert own_writes.decode(b"\xff" * 500) == []


def test_entries_are_those_that_the_consumer_makes() -> None:
    bodies = [
        {"user_id": "ann", "session_id": "s", "item_id": "i", "ts_ms": 7, "event_type": kind, **more}
        for kind, more in [("view", {}), ("click", {}), ("purchase", {}), ("watch", {"watch_time_sec": 5.0})]
    ]
    for record in records_of(bodies):
        assert (own_writes.entry_of(record.payload),) == history_of([record]).entries


def test_the_latest_writes_of_one_history_fit_the_log() -> None:
    write = OwnWrite(bytes(8), 1, Entry("x" * 128, 1, 3, 1.0))
    assert MAX_ITEMS * len(own_writes.encode(write)) <= own_writes.MAX_LOG_BYTES
