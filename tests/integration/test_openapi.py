"""Schemathesis plays client: what the OpenAPI document says, against the real server, with valid and invalid data."""

import asyncio
import json
import re
import time
from typing import Any, Final

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from hypothesis.errors import Unsatisfiable
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import negative_data_rejection

from app.core.event_types import FIXED
from app.settings import Settings
from tests.support.api import serving

_EXAMPLES: Final = 5
WITH_A_LANGUAGE: Final[dict[str, Any]] = {
    "cursor": "start",
    "filter": "title exists",
    "exclude_seen": ["view"],
    "did": ["view"],
}
IN_QUERY: Final = WITH_A_LANGUAGE | {"title": "tent"}
TOO_LARGE: Final = (413, 414)
"""What a text beyond its bound may make of a whole request, whose other faults are not looked at then."""
TARGETS: Final = ("item_id", "category", "tag")


def as_number(text: str) -> float:
    """1.0 is an integer to JSON Schema, and the service wants it written as one."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def make_valid(body: Any) -> None:
    """What no schema can say: times near now, no U+0000 in free-form context, positions and items of a list unique, a
    rule with one target, rules and items whose end is after their start, a cursor that an answer had, a filter in its
    language, attributes that are declared, a type that is there, a currency with a value, no rejection that makes
    pairs, an experiment of known parts.
    """
    if isinstance(body, list):
        for entry in body:
            make_valid(entry)
    if not isinstance(body, dict):
        return
    make_valid(body.get("events"))
    make_valid(body.get("history"))
    make_valid(body.get("rule"))
    make_types_valid(body)
    make_experiments_valid(body)
    for name in body.keys() & {"ts_ms", "sent_at"}:
        if body[name] is not None:
            body[name] = time.time_ns() // 1_000_000
    if isinstance(body.get("context"), dict):
        body["context"] = json.loads(json.dumps(body["context"]).replace("\\u0000", ""))
    if body.get("action") == "boost":
        target = next((name for name in TARGETS if body.get(name) is not None), "item_id")
        body |= dict.fromkeys(TARGETS) | {target: body.get(target) or "i"}
    if "action" in body:
        body["ends_at"] = None
    if "expires_at" in body:
        body["expires_at"] = None
    body |= {name: value for name, value in WITH_A_LANGUAGE.items() if name in body}
    if "attributes" in body:
        body["attributes"] = {}
    for number, item in enumerate(body["items"] if isinstance(body.get("items"), list) else ()):
        if not isinstance(item, dict):
            continue
        if "position" in item:
            item["position"] = number
        item["item_id"] = f"item-{number}"
        item |= {name: value for name, value in (("attributes", {}), ("expires_at", None)) if name in item}


def make_types_valid(body: dict[str, Any]) -> None:
    if body.get("event_type") == "cancel":  # of an event that is stored
        del body["cancels"]
        body |= {"event_type": "view", "item_id": "i"}
    elif "event_type" in body and body["event_type"] not in FIXED:
        body["event_type"] = "like"
    if body.get("currency") is not None:
        body["value"] = 1
    if "meaning" in body:
        body |= {"pairs": None, "rating_scale": None}


def make_experiments_valid(body: dict[str, Any]) -> None:
    """Two variants, known models and weights, one currency; what the spread of a metric without bounds is, and shares
    that are no more than all.
    """
    if "primary" in body:
        body["currency"] = "EUR" if body["primary"] == "revenue" else None
        body |= {"name": "bolder", "guards": [], "variants": [{"name": name, "share": 0.25} for name in ("a", "b")]}
    if "baseline" in body:
        body |= {"metric": "ctr", "baseline": 0.1, "deviation": 0.5, "variants": 1, "control_share": 0.5, "share": 0.25}


@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_generated_requests_get_documented_answers(settings: Settings) -> None:
    async with serving(settings) as client:
        document = (await client.get("/openapi.json")).json()
        failures = await asyncio.to_thread(play, document, str(client.base_url))
    assert not failures, "\n\n".join(failures)


def play(document: dict[str, Any], base_url: str) -> list[str]:
    """Calls every operation with valid and with invalid data; all of schemathesis' default checks are on."""
    failures = []
    for result in schemathesis.openapi.from_dict(document).get_all_operations():
        operation = result.ok()
        for mode in schemathesis.GenerationMode:
            try:
                call_with(operation.as_strategy(generation_mode=mode), base_url)()
            except Unsatisfiable:
                continue  # nothing about this call can be invalid
            except BaseException as error:  # a group of checks that failed, which is no Exception
                failures.append(f"{operation.label} ({mode}): {error}")
    return failures


def call_with(strategy: Any, base_url: str) -> Any:
    @hypothesis_settings(
        max_examples=_EXAMPLES,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def play_one(case: Any) -> None:
        body = case.meta.components.get(ParameterLocation.BODY)
        query = case.meta.components.get(ParameterLocation.QUERY)
        if query is not None and query.mode.is_positive:
            case.query = {name: IN_QUERY.get(name, value) for name, value in (case.query or {}).items()}
        for name in ("If-Match", "If-None-Match"):  # 412 is right for a state that nothing has
            case.headers.pop(name, None)
        if body is not None and body.mode.is_positive:
            case.body = json.loads(json.dumps(case.body), parse_float=as_number)
            make_valid(case.body)
            if case.path == "/reco":  # a list that is logged has a user
                case.body["user_id"] = case.body.get("user_id") or "u"
            if case.path.startswith("/event-types/"):
                case.path_parameters = {"name": "wish"}
        elif body is not None and case.path == "/log/batch":
            # A bad event of a batch costs itself alone, in a 200; only an atomic batch is refused for it.
            case.query = {**(case.query or {}), "atomic": "true"}
        # A bad message of Segment's protocol costs itself alone, in a 200: a 4xx would cost its library's whole batch.
        accepted = [negative_data_rejection] if case.path.startswith("/v1/") else []
        answer = case.call(base_url=base_url, timeout=20)
        if answer.status_code not in TOO_LARGE or case.meta.generation.mode.is_positive:
            case.validate_response(answer, excluded_checks=accepted)

    return play_one


async def test_head_answers_as_get_does_without_a_body(settings: Settings) -> None:
    async with serving(settings) as client:
        for target in ("/", "/docs", "/healthz", "/contract", "/rules", "/rules/none", "/popular", "/similar/alien"):
            got = await client.get(target)
            answer = await client.head(target)
            assert (answer.status_code, answer.content) == (got.status_code, b"")
            assert answer.headers["content-type"] == got.headers["content-type"]
            assert int(answer.headers["content-length"]) > 0
        refused = await client.head("/log/watch")
        assert (refused.status_code, refused.headers["allow"]) == (405, "OPTIONS, POST")


async def test_root_leads_to_the_documentation(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = await client.get("/")
        assert answer.json() == {"service": "reco", "docs": "/docs", "openapi": "/openapi.json"}
        assert (await client.get("/", follow_redirects=True)).url.path == "/docs"


async def test_metrics_say_their_charset_once(settings: Settings) -> None:
    async with serving(settings) as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"].lower().count("charset") == 1


async def test_the_page_needs_no_other_host(settings: Settings) -> None:
    async with serving(settings) as client:
        page = await client.get("/docs")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "://" not in page.text


async def test_every_method_of_a_path_is_named_and_others_are_refused(settings: Settings) -> None:
    async with serving(settings) as client:
        document = (await client.get("/openapi.json")).json()
        for path, operations in document["paths"].items():
            target = re.sub(r"\{\w+\}", "i", path)
            named = {method.upper() for method in operations} | {"OPTIONS"}
            if "GET" in named:
                named.add("HEAD")
            assert set((await client.options(target)).headers["allow"].split(", ")) == named
            refused = await client.request("TRACE", target)
            assert refused.status_code == 405
            assert set(refused.headers["allow"].split(", ")) == named
            problem = refused.json()
            assert problem["status"] == 405
            assert problem["detail"] == f"This path takes {refused.headers['allow']}."
        missing = (await client.get("/nowhere")).json()
        assert missing["detail"] == "There is nothing at this path; /docs lists what there is."
