"""Of two who change a rule or an event type at the same time, the second is told of the first."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.settings import Settings
from tests.support.api import serving
from tests.support.pipeline import until

RULE = {"action": "boost", "tag": "retro", "factor": 0.5}
TYPE = {"weight": 0.6, "meaning": "interest"}


@pytest.mark.parametrize(
    ("path", "body", "change"),
    [("/rules/clearance", RULE, {"factor": 0.1}), ("/event-types/wish", TYPE, {"weight": 0.7})],
    ids=["rule", "event type"],
)
async def test_a_change_is_made_only_in_the_state_that_it_is_for(
    settings: Settings, path: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    async with serving(settings) as client:

        async def put(value: dict[str, Any], **headers: str) -> tuple[int, str]:
            answer = await client.put(path, json=value, headers={n.replace("_", "-"): t for n, t in headers.items()})
            return answer.status_code, answer.json().get("code") or answer.headers["etag"]

        assert await put(body, if_match="*") == (412, "state_changed")
        created, tag = await put(body, if_none_match="*")
        assert created == 201
        assert await put(body, if_none_match="*") == (412, "state_changed")
        read = await client.get(path)
        assert read.headers["etag"].removeprefix("W/") == tag
        both = await asyncio.gather(put(body | change, if_match=tag), put({**body, **change}, if_match=f"W/{tag}"))
        assert sorted(status for status, _ in both) == [200, 412]
        newer = next(text for status, text in both if status == 200)
        assert (await client.delete(path, headers={"if-match": tag})).status_code == 412
        assert change.items() <= (await client.get(path)).json().items()
        assert (await client.delete(path, headers={"if-match": newer})).status_code == 204
        assert (await client.delete(path, headers={"if-match": newer})).status_code == 412
        if path.startswith("/rules"):
            made = (await client.get("/rules:history")).json()["changes"]
            assert [one["did"] for one in made] == ["deleted", "replaced", "created"]
        assert (await put(body))[0] == 201


async def test_a_rule_that_ends_meanwhile_is_changed_in_the_state_that_was_read(settings: Settings) -> None:
    async with serving(settings) as client:
        ends_at = datetime.now(UTC) + timedelta(seconds=6)
        await client.put("/rules/clearance", json=RULE | {"ends_at": ends_at.isoformat()})
        read = await client.get("/rules/clearance")
        assert read.json()["active"]

        async def has_ended() -> bool:
            return (await client.get("/rules/clearance")).json()["active"] is False

        await until(has_ended)
        headers = {"if-match": read.headers["etag"]}
        assert (await client.put("/rules/clearance", json=RULE, headers=headers)).status_code == 200
        assert (await client.put("/rules/clearance", json=RULE, headers=headers)).status_code == 412


async def test_a_type_that_is_ready_to_use_is_there(settings: Settings) -> None:
    async with serving(settings) as client:
        made = {"json": TYPE, "headers": {"if-none-match": "*"}}
        assert (await client.put("/event-types/cart", **made)).status_code == 412
        tag = (await client.get("/event-types/cart")).headers["etag"]
        assert (await client.put("/event-types/cart", json=TYPE, headers={"if-match": tag})).status_code == 200
        assert (await client.put("/event-types/cart", json=TYPE, headers={"if-match": tag})).status_code == 412
