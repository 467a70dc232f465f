"""Gorse's feedback becomes events, and what is wrong with it has its path."""

import pytest

from app.core.decoding import InvalidInput
from app.core.gorse_types import parse_gorse_types, with_usual_names
from app.ingest.gorse import GorseFeedback, events_of, time_ms

NOW_MS = 1_795_000_000_000
TYPES = with_usual_names({"mute": "none", "like": "purchase"})


def given_feedback(kind: str, timestamp: str | int | None = None) -> GorseFeedback:
    return GorseFeedback(feedback_type=kind, user_id="ann", item_id="tent", timestamp=timestamp)


def test_own_types_replace_the_usual_ones() -> None:
    feedback = [given_feedback("Like"), given_feedback("read"), given_feedback("mute")]
    found = events_of(feedback, TYPES, now_ms=NOW_MS)
    assert [type(event).__name__ for event in found] == ["Purchase", "View"]


def test_the_same_feedback_has_the_same_event_id_and_another_time_another_one() -> None:
    feedback = [given_feedback("read", at) for at in ("2026-01-01", "2026-01-01", "2026-01-02", None)]
    ids = [event.event_id for event in events_of(feedback, TYPES, now_ms=NOW_MS)]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3


@pytest.mark.parametrize(
    ("written", "at_ms"),
    [
        ("2022-08-07T00:26:46Z", 1_659_832_006_000),
        ("2022-08-07 02:26:46+02:00", 1_659_832_006_000),
        ("2022-08-07 00:26:46", 1_659_832_006_000),
        ("1659832006", 1_659_832_006_000),
        (1659832006.5, 1_659_832_006_500),
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
