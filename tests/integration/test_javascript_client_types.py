"""The types of `clients/javascript` have the fields of the OpenAPI document, and require the same ones."""

import re
from pathlib import Path
from typing import Any, Final

import pytest

from app.settings import Settings
from tests.support.api import serving

TYPES: Final = (Path(__file__).parents[2] / "clients" / "javascript" / "src" / "types.ts").read_text()
_INTERFACE: Final = re.compile(
    r"^(?:export )?interface (\w+)(?: extends (\w+))? \{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
_FIELD: Final = re.compile(r"^  (\w+)(\??):", re.MULTILINE)
# By interface: the schema that it stands for.
SCHEMAS: Final = {
    "Interaction": "View",
    "Cancellation": "Cancellation",
    "Watch": "Watch",
    "ShownItem": "ShownItem",
    "Impression": "Impression",
    "RecommendedItem": "RecommendedItem",
    "RecommendationList": "RecommendationList",
    "RankedList": "RankedList",
    "PastEvent": "PastEvent",
    "EventResult": "BatchEventResult",
}
# What `send` fills in, and the tag, which tells the types apart.
FILLED_IN: Final = {"user_id", "session_id", "event_type"}


def interfaces() -> dict[str, dict[str, bool]]:
    """By name: each field, and whether it is always there."""
    found: dict[str, dict[str, bool]] = {}
    for name, base, body in _INTERFACE.findall(TYPES):
        found[name] = found.get(base, {}) | {field: not optional for field, optional in _FIELD.findall(body)}
    return found


async def test_types_have_the_fields_of_the_document(settings: Settings) -> None:
    async with serving(settings) as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
    for interface, name in SCHEMAS.items():
        schema, fields = document["components"]["schemas"][name], interfaces()[interface]
        assert fields.keys() == schema["properties"].keys(), f"{interface} of clients/javascript/src/types.ts"
        required = {field for field, always in fields.items() if always}
        assert required - FILLED_IN == set(schema["required"]) - FILLED_IN, interface
    parameters = {entry.get("name") for entry in document["paths"]["/reco"]["get"]["parameters"]} - {None}
    assert interfaces()["RecommendOptions"].keys() == parameters - {"X-Autolog-Impressions", "If-None-Match"}


@pytest.mark.parametrize("interface", SCHEMAS)
def test_each_type_is_found(interface: str) -> None:
    assert interfaces()[interface]
