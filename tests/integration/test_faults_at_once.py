"""What types cannot tell of a body is told together with what they can: one answer has all faults of it."""

import time
from typing import Any, Final

import pytest

from app.settings import Settings
from tests.support.api import serving

_WHO: Final = {"user_id": "u", "session_id": "s"}
_LONG_AGO_MS: Final = 1_000_000_000_000

FAULTY: Final[dict[str, tuple[str, str, dict[str, Any], list[str]]]] = {
    "a pin": (
        "PUT",
        "/rules/r",
        {"action": "pin", "item_id": "", "starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
        ["$.item_id", "$", "$.ends_at"],
    ),
    "a boost of two things": (
        "PUT",
        "/rules/r",
        {"action": "boost", "item_id": "i", "category": "c", "factor": 11, "ends_at": "0001-01-01T00:00:00+14:00"},
        ["$.factor", "$.ends_at", "$"],
    ),
    "a boost of what is not known": ("PUT", "/rules/r", {"action": "boost", "tag": "", "factor": 2}, ["$.tag"]),
    "a preview": (
        "POST",
        "/rules/preview",
        {"rule": {"action": "boost", "factor": "much"}, "k": 0, "at": "0001-01-01T00:00:00+14:00"},
        ["$.rule.factor", "$.k", "$.at", "$.rule"],
    ),
    "a preview of no rule": ("POST", "/rules/preview", {"rule": {"action": "lift"}, "k": 0}, ["$.rule.action", "$.k"]),
    "an event type": (
        "PUT",
        "/event-types/Shared",
        {"weight": 0, "meaning": "rejection", "pairs": True, "rating_scale": {"worst": 1, "best": "5"}},
        ["$.weight", "$.rating_scale.best", "$.name", "$.pairs", "$.rating_scale"],
    ),
    "a purchase": (
        "POST",
        "/event",
        {**_WHO, "event_type": "purchase", "item_id": "", "currency": "EUR", "ts_ms": _LONG_AGO_MS},
        ["$.item_id", "$.ts_ms", "$.currency"],
    ),
    "a purchase of a value that is wrong": (
        "POST",
        "/event",
        {**_WHO, "event_type": "purchase", "item_id": "i", "currency": "EUR", "value": "9"},
        ["$.value"],
    ),
    "an unknown event type": (
        "POST",
        "/event",
        {**_WHO, "event_type": "hover", "item_id": [], "ts_ms": "2001-09-09T01:46:40Z"},
        ["$.event_type", "$.item_id", "$.ts_ms"],
    ),
    "a rating without one": (
        "POST",
        "/event",
        {"user_id": "u", "event_type": "rating", "item_id": "i"},
        ["$", "$.rating"],
    ),
    "an impression": (
        "POST",
        "/log/impression",
        {
            **_WHO,
            "request_id": "",
            "items": [{"item_id": "a", "position": 1}, "b", {"position": 1}, {"item_id": "a", "position": -1}],
        },
        [
            "$.items[1]",
            "$.items[2]",
            "$.items[3].position",
            "$.request_id",
            "$.items[2].position",
            "$.items[3].item_id",
        ],
    ),
}


@pytest.mark.parametrize("name", FAULTY)
async def test_faults_of_types_and_of_meaning_come_in_one_answer(settings: Settings, name: str) -> None:
    method, path, body, paths = FAULTY[name]
    async with serving(settings) as client:
        answer = await client.request(method, path, json=body)
    assert answer.status_code == 422, answer.text
    assert [error["path"] for error in answer.json()["errors"]] == paths, answer.text


async def test_a_time_is_judged_by_the_clock_of_the_device_beside_another_fault(settings: Settings) -> None:
    sent_ms = time.time_ns() // 1_000_000 - 30 * 24 * 3_600_000
    event = {**_WHO, "event_type": "click", "item_id": "", "ts_ms": sent_ms - 1_000, "sent_at": sent_ms}
    async with serving(settings) as client:
        (result,) = (await client.post("/log/batch", json=[event])).json()["results"]
    assert [error["path"] for error in result["errors"]] == ["$.item_id"]
