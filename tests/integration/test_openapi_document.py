"""What generated clients are made of: the public names of the document, and what it says of keys, tags and formats."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from app.core import keys
from app.settings import Settings
from tests.support.api import serving
from tests.support.document_names import OPERATIONS, SCHEMAS

KEY, _ = keys.make("ops", ["admin"], "a" * 43)

ROOT: Final = Path(__file__).parents[2]
API: Final = (ROOT / "docs" / "api.md").read_text()

TAGS: Final = ["events", "recommendations", "catalogue", "rules", "experiments", "users", "analytics", "operations"]


@pytest.fixture
async def document(settings: Settings) -> dict[str, Any]:
    return await document_of(settings)


async def document_of(settings: Settings, **changes: Any) -> dict[str, Any]:
    async with serving(settings, **changes) as client:
        found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        node = list(node.values())
    for inner in node if isinstance(node, list) else ():
        yield from nodes(inner)


async def test_names_are_the_public_vocabulary(document: dict[str, Any]) -> None:
    assert sorted(operation["operationId"] for operation in operations(document)) == sorted(OPERATIONS)
    assert sorted(document["components"]["schemas"]) == sorted(SCHEMAS)


async def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    used = {node["$ref"] for node in nodes(document) if isinstance(node.get("$ref"), str)}
    components = {
        f"#/components/{kind}/{name}"
        for kind, found in document["components"].items()
        if kind != "securitySchemes"
        for name in found
    }
    assert used == components


async def test_events_come_before_recommendations_and_operations_last(document: dict[str, Any]) -> None:
    assert [tag["name"] for tag in document["tags"]] == TAGS
    listed = [operation["tags"][0] for operation in operations(document)]
    assert list(dict.fromkeys(listed)) == TAGS
    assert listed == sorted(listed, key=TAGS.index)


async def test_times_and_numbers_have_a_format(document: dict[str, Any]) -> None:
    for schema in document["components"]["schemas"].values():
        for name, field in schema["properties"].items():
            kinds = {node["type"]: node for node in nodes(field) if isinstance(node.get("type"), str)}
            if name.endswith("_at") or name in ("as_of", "last_progress"):
                assert kinds["string"]["format"] == "date-time", name
            if "integer" in kinds and "pattern" not in kinds.get("string", {}):  # an id may be longer
                assert kinds["integer"]["format"] == "int64"
            if "number" in kinds:
                assert kinds["number"]["format"] == "double"


async def test_every_parameter_says_what_it_does(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for parameter in operation["parameters"]:
            assert parameter.get("$ref") or parameter["description"], (operation["operationId"], parameter["name"])


async def test_an_event_type_is_needed_only_where_there_is_a_choice(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("Watch", "Impression", "View", "Click", "Purchase"):
        tag = name.lower()
        assert schemas[name]["properties"]["event_type"] == {"type": "string", "const": tag, "default": tag}
        assert "event_type" not in schemas[name]["required"]
    assert schemas["EventBatch"]["properties"]["events"]["items"]["required"] == ["event_type"]
    body = document["paths"]["/event"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["required"] == ["event_type"]


async def test_keys_are_optional_in_the_document_of_a_service_without(settings: Settings) -> None:
    free = await document_of(settings)
    guarded = await document_of(settings, api_keys=(KEY.entry(),))
    schemes = guarded["components"]["securitySchemes"]
    assert {name: (scheme["type"], scheme.get("in")) for name, scheme in schemes.items()} == {
        "BearerKey": ("http", None),
        "HeaderKey": ("apiKey", "header"),
        "BasicKey": ("http", None),
        "QueryKey": ("apiKey", "query"),
        "VisitorId": ("apiKey", "header"),
        "UserToken": ("apiKey", "header"),
    }
    assert guarded["paths"]["/reco"]["get"]["security"] == [
        {"BearerKey": ["read"]},
        {"HeaderKey": ["read"]},
        {"BasicKey": ["read"]},
        {"BearerKey": ["browser"], "VisitorId": []},
        {"BearerKey": ["browser"], "UserToken": []},
    ]
    assert guarded["paths"]["/contract"]["get"]["security"] == [
        {"BearerKey": ["read"]},
        {"HeaderKey": ["read"]},
        {"BasicKey": ["read"]},
    ]
    assert free["paths"]["/reco"]["get"]["security"] == [{}, *guarded["paths"]["/reco"]["get"]["security"]]
    assert "security" not in guarded["paths"]["/healthz"]["get"]
    for document in (free, guarded):
        document["info"].pop("description")
        for operation in operations(document):
            operation.pop("security", None)
    assert free == guarded


async def test_key_in_the_query_is_a_scheme_and_no_parameter(settings: Settings) -> None:
    document = await document_of(settings, api_keys=(KEY.entry(),), api_keys_in_query=True)
    call = document["paths"]["/log/batch"]["post"]
    assert {"QueryKey": ["write"]} in call["security"]
    assert "key" not in {parameter.get("name") for parameter in call["parameters"]}


async def test_text_has_neither_line_breaks_nor_indentation_of_the_source(document: dict[str, Any]) -> None:
    for node in nodes(document):
        text = node.get("description")
        if isinstance(text, str):
            assert not re.search(r"(?<!\n)\n(?!\n)|  ", text.strip()), text


def pattern_of(template: str) -> str:
    return re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))


# They name the calls of other projects.
OTHERS: Final = ("gorse.md", "realtime-recsys-project.md")


async def test_docs_and_document_name_the_same_calls(document: dict[str, Any]) -> None:
    pages = [ROOT / "README.md", *(page for page in (ROOT / "docs").glob("*.md") if page.name not in OTHERS)]
    text = "\n".join(page.read_text() for page in pages)
    for method, path in re.findall(r"`(GET|POST|PUT|DELETE) (/[\w/{}.:-]*)", text):
        found = [calls for template, calls in document["paths"].items() if re.fullmatch(pattern_of(template), path)]
        assert any(method.lower() in calls for calls in found), f"the docs name {method} {path}"
    for path in document["paths"]:
        assert path in text, f"the docs do not name {path}"
    parameters = {entry.get("name") for entry in document["paths"]["/reco"]["get"]["parameters"]}
    section = API.partition("## Recommendations")[2].partition("## ")[0].partition("| source |")[0]
    named = set(re.findall(r"^\| `(\w+)", section, re.MULTILINE))
    assert named
    assert named < parameters


async def test_examples_of_the_docs_are_accepted(settings: Settings) -> None:
    examples = re.findall(r"curl (?:-X (\w+) )?localhost:8080(/\S+) -d '(.*?)'", API, re.DOTALL)
    assert examples
    async with serving(settings) as client:
        for method, path, body in examples:
            answer = await client.request(method or "POST", path, content=body)
            assert answer.is_success, (path, answer.text)
