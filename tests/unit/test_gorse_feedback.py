"""Gorse's feedback becomes events, and what is wrong with it has its path."""

from typing import Any

import msgspec
import pytest

from app.core.decoding import InvalidInput
from app.core.events import DirectEvent
from app.core.gorse_types import parse_gorse_types, with_usual_names
from app.ingest.gorse import decode_feedback, events_of, past_of, time_ms

DAY = "2026-01-01"
NOW_MS = 1_795_000_000_000
TYPES = with_usual_names({"mute": "none", "like": "purchase"})


def given_feedback(kind: str, timestamp: str | int | None = None) -> dict[str, Any]:
    return {"FeedbackType": kind, "UserId": "ann", "ItemId": "tent", "Timestamp": timestamp}


def read(*feedback: dict[str, Any]) -> list[DirectEvent]:
    return events_of(decode_feedback(msgspec.json.encode(feedback)), TYPES, now_ms=NOW_MS)


def test_own_types_replace_the_usual_ones() -> None:
    found = read(given_feedback("Like"), given_feedback("read"), given_feedback("mute"))
    assert [type(event).__name__ for event in found] == ["Purchase", "View"]


def test_the_same_feedback_has_the_same_event_id_and_another_time_another_one() -> None:
    ids = [e.event_id for e in read(*(given_feedback("read", at) for at in (DAY, DAY, "2026-01-02", None)))]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


def test_all_faults_of_all_entries_are_named_at_once() -> None:
    good, unknown = given_feedback("read"), given_feedback("zap", "never")
    with pytest.raises(InvalidInput) as raised:
        read(good, unknown, {"FeedbackType": "read", "ItemId": "tent"}, given_feedback("read", "2031-01-01"), good)
    paths = [fault.path for fault in raised.value.field_errors]
    assert paths == ["$[1].FeedbackType", "$[1].Timestamp", "$[2]", "$[3].Timestamp"]
    assert "known are read, view" in raised.value.field_errors[0].message


@pytest.mark.parametrize("user", [{}, {"UserId": ""}, {"UserId": None}, {"UserId": "ann"}])
def test_feedback_of_a_session_needs_no_user_and_that_to_be_stored_does(user: dict[str, Any]) -> None:
    given = msgspec.json.encode([{"FeedbackType": "read", "ItemId": "tent", "Timestamp": DAY} | user])
    (past,) = past_of(decode_feedback(given), TYPES)
    assert (past.item_id, past.event_type) == ("tent", "view")
    if user != {"UserId": "ann"}:
        with pytest.raises(InvalidInput, match="UserId"):
            events_of(decode_feedback(given), TYPES, now_ms=NOW_MS)


@pytest.mark.parametrize(
    ("written", "at_ms"),
    [
        ("2022-08-07T00:26:46Z", 1_659_832_006_000),
        ("2022-08-07 02:26:46+02:00", 1_659_832_006_000),
        ("2022-08-07 00:26:46", 1_659_832_006_000),
        ("1659832006", 1_659_832_006_000),
        (1659832006.5, 1_659_832_006_500),
        ("1659832006500", 1_659_832_006_500),
        (1659832006500, 1_659_832_006_500),
        ("1659832006500000", 1_659_832_006_500),
        ("1659832006500000000", 1_659_832_006_500),
        ("20220807", 1_659_830_400_000),
    ],
)
def test_usual_forms_of_a_time_are_read(written: str | float, at_ms: int) -> None:
    assert time_ms(written, "$") == at_ms


@pytest.mark.parametrize("written", ["soon", "1969-12-31", 1e30, -5, "99999999999999999999"])
def test_a_time_that_cannot_be_is_refused(written: str | float) -> None:
    with pytest.raises(InvalidInput):
        time_ms(written, "$")


@pytest.mark.parametrize(
    ("setting", "said"),
    [("[]", "object"), ('{"like": "love"}', "expected one of"), ("{", "not JSON")],
)
def test_a_bad_setting_says_what_is_wrong(setting: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_gorse_types(setting)
