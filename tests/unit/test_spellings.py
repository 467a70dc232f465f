"""Ids that are written as integers, and times in seconds or ISO 8601, mean what the text and the milliseconds mean."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.decoding import InvalidInput
from app.core.event_times import OutsideTimes, clock_behind_ms, side_of, within_bounds
from app.core.events import accept
from app.core.spellings import millis_of
from app.core.submitted import accept_cancellation, decode_any, decode_impression, settle_times

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
DAYS = [datetime(year, 1, 1, tzinfo=UTC).replace(tzinfo=None) for year in (1991, 2099)]


def written(event_type: str = "purchase", **fields: Any) -> bytes:
    return json.dumps({"event_type": event_type, "user_id": "u", "session_id": "s", "item_id": "i", **fields}).encode()


def faults(body: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InvalidInput) as raised:
        decode_any(body)
    return [(fault.path, fault.message) for fault in raised.value.field_errors]


@given(st.integers(-(10**30), 10**30))
def test_integer_is_the_id_of_its_text(number: int) -> None:
    event = decode_any(written(user_id=number, item_id=number))
    assert event == decode_any(written(user_id=str(number), item_id=str(number)))


def test_ids_within_lists_may_be_integers() -> None:
    items = [{"item_id": 42, "position": 0}, {"item_id": 2**53 + 1, "position": 1, "slot": 7}]
    found = decode_impression(json.dumps({"user_id": 1, "session_id": 2, "items": items}).encode())
    assert [item.item_id for item in found.items] == ["42", "9007199254740993"]
    assert found.items[1].slot == "7"


@pytest.mark.parametrize("number", ["1.0", "1e3", "0.5"])
def test_number_that_is_no_integer_is_no_id(number: str) -> None:
    body = b'{"event_type": "purchase", "user_id": %s, "session_id": "s", "item_id": "i"}' % number.encode()
    ((path, message),) = faults(body)
    assert path == "$.user_id"
    assert "written as text" in message


@pytest.mark.parametrize("value", [True, None, [1], {"id": 1}])
def test_what_is_no_id_stays_a_fault(value: Any) -> None:
    assert [path for path, _ in faults(written(item_id=value))] == ["$.item_id"]


def test_faults_beside_an_integer_are_all_named() -> None:
    found = faults(written(user_id=1, item_id=2.5, ts_ms="soon", quantity=0, more=1))
    assert {path for path, _ in found} == {"$.item_id", "$.ts_ms", "$.quantity", "$"}


def test_integer_of_a_field_that_is_no_id_is_not_taken_as_text() -> None:
    assert [path for path, _ in faults(written(currency=978, value=1))] == ["$.currency"]


@given(
    st.datetimes(DAYS[0], DAYS[1]),
    st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_every_spelling_of_a_time_is_the_same_time(naive: datetime, zone: timezone) -> None:
    time = naive.replace(tzinfo=zone)
    millis = (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
    assert millis_of(time.isoformat()) == millis
    assert millis_of(time.isoformat(timespec="minutes")) == millis - millis % 60_000
    assert millis_of(time.astimezone(UTC).isoformat().replace("+00:00", "Z")) == millis
    assert millis_of(millis) == millis
    assert millis_of(millis / 1000) == millis
    assert millis_of(millis // 1000) == millis // 1000 * 1000


@pytest.mark.parametrize(
    ("written_time", "reason"),
    [
        ("2026-11-26T09:30:00", "no zone"),
        ("2026-11-26T09:30:00+24:00", "no such offset"),
        ("2026-11-26T09:30:00-01:60", "no such offset"),
        ("2026-02-30T09:30:00Z", "no such day"),
        ("2026-11-26T24:30:00Z", "no such time"),
        ("26.11.2026", "neither"),
        ("1795000000", "without quotes"),
        (12.5, "a fraction"),
        (NOW_MS + 0.25, f"round it to {NOW_MS}"),
        (1.5e300, "a fraction"),
    ],
)
def test_time_that_may_mean_several_is_refused_with_the_reason(written_time: str | float, reason: str) -> None:
    ((path, message),) = faults(written(ts_ms=written_time))
    assert path == "$.ts_ms"
    assert reason in message


@pytest.mark.parametrize(
    "spelling", [NOW_MS // 1000, NOW_MS / 1000, "2026-11-18T11:06:40Z", "2026-11-18 12:06:40+0100"]
)
def test_other_spelling_is_the_same_event(spelling: Any) -> None:
    records = []
    for ts_ms in (NOW_MS, spelling):
        event = decode_any(written(ts_ms=ts_ms, event_id="event-17"))
        assert settle_times(event, NOW_MS) == 0
        records.append(accept(event, now_ms=NOW_MS, entropy=b""))
    assert records[0] == records[1]


def test_clock_that_is_off_is_corrected_and_leaves_no_trace_in_the_content() -> None:
    ahead = NOW_MS + 3 * DAY_MS
    first, again = (
        decode_any(written(ts_ms=ahead - 1000, sent_at=sent, event_id="event-17")) for sent in (ahead, ahead + 60_000)
    )
    records = []
    for event, now_ms in ((first, NOW_MS), (again, NOW_MS + 60_000)):
        behind_ms = settle_times(event, now_ms)
        assert behind_ms == -3 * DAY_MS
        records.append(accept(event, now_ms=now_ms, entropy=b"", clock_behind_ms=behind_ms))
    assert {record.content_hash for record in records} == {records[0].content_hash}
    assert records[0].ts_ms == NOW_MS - 1000
    assert "sent_at" not in records[0].payload


@pytest.mark.parametrize("off_ms", [0, 29_999, -29_999])
def test_clock_that_is_nearly_right_is_taken_as_it_is(off_ms: int) -> None:
    assert clock_behind_ms(NOW_MS + off_ms, NOW_MS) == 0


@pytest.mark.parametrize(
    ("ts_ms", "side", "outside", "becomes"),
    [
        (NOW_MS - 9 * DAY_MS, "late", "clamp", NOW_MS - 7 * DAY_MS),
        (NOW_MS - 9 * DAY_MS, "late", "keep", NOW_MS - 9 * DAY_MS),
        (NOW_MS + DAY_MS, "early", "clamp", NOW_MS),
        (NOW_MS + DAY_MS, "early", "keep", NOW_MS),
        (NOW_MS - DAY_MS, None, "clamp", NOW_MS - DAY_MS),
    ],
)
def test_time_outside_of_the_bounds_becomes_what_the_setting_says(
    ts_ms: int, side: str | None, outside: OutsideTimes, becomes: int
) -> None:
    assert side_of(ts_ms, NOW_MS) == side
    assert within_bounds(ts_ms, NOW_MS, outside) == becomes
    record = accept(decode_any(written(ts_ms=ts_ms)), now_ms=NOW_MS, entropy=bytes(10), outside=outside)
    assert record.ts_ms == becomes


def test_clamped_event_is_the_same_event_when_it_is_sent_again_later() -> None:
    hashes = {
        accept(
            decode_any(written(ts_ms=NOW_MS - 9 * DAY_MS, event_id="event-17")),
            now_ms=now_ms,
            entropy=b"",
            outside="clamp",
        ).content_hash
        for now_ms in (NOW_MS, NOW_MS + 60_000)
    }
    assert len(hashes) == 1


def test_late_cancellation_is_refused_unless_late_events_are_kept() -> None:
    body = json.dumps(
        {"event_type": "cancel", "user_id": "u", "session_id": "s", "cancels": "event-17", "ts_ms": NOW_MS - 9 * DAY_MS}
    ).encode()
    with pytest.raises(InvalidInput, match="7 days"):
        accept_cancellation(decode_any(body), None, now_ms=NOW_MS)
    with pytest.raises(InvalidInput, match="no stored event"):
        accept_cancellation(decode_any(body), None, now_ms=NOW_MS, outside="keep")
