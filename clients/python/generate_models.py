"""Makes `reco_client/models.py` from the OpenAPI document of a service.

    curl -s localhost:8080/openapi.json | python clients/python/generate_models.py >clients/python/reco_client/models.py

What the client sends refuses fields that the document does not have, and has the document's bounds. What it receives
takes any more fields and values, so that a newer service can be called.
"""

import json
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Schema = Mapping[str, Any]

TAGGED: Final = ("Watch", "Impression", "View", "Click", "Purchase", "Cancellation")
EVENTS: Final = (*TAGGED, "Action")
SENT: Final = ("ShownItem", *EVENTS, "Place", "CatalogueItemInput", "CatalogueBatchItem")
# After what they refer to.
RECEIVED: Final = (
    "FieldError",
    "Problem",
    "BatchEventResult",
    "EventBatchResult",
    "ScoreParts",
    "RecommendedItem",
    "RecommendationList",
    "RankedList",
    "CatalogueItem",
    "ItemList",
    "CatalogueBatchResult",
)
HEAD: Final = '''\
"""What is sent and received, as the OpenAPI document says. Made by generate_models.py; changes belong there."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field
'''
_BOUNDS: Final = {
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "minimum": "ge",
    "exclusiveMinimum": "gt",
    "maximum": "le",
    "exclusiveMaximum": "lt",
}
_SCALARS: Final = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
_EVENT: Final = "event_type"
# What may be an integer, too.
_IDS: Final = {"Text_1_128": "Id", "Text_8_64": "EventId"}
# Of an answer, what an earlier release does not send.
_LATER: Final = {"Problem": frozenset({"code"})}


class Module:
    """The source of the module: classes as they are added, and the texts with bounds that they share."""

    def __init__(self, document: Schema) -> None:
        self._schemas: dict[str, Schema] = document["components"]["schemas"]
        self._texts: dict[str, str] = {}
        self._classes: list[str] = []

    def add(self, names: Iterable[str], *, sent: bool) -> None:
        self._classes += [self._class(name, self._schemas[name], sent=sent) for name in names]

    def source(self) -> str:
        texts = [f"{name} = {kind}" for kind, name in self._texts.items()]
        unions = f"\n\nTaggedEvent = {' | '.join(TAGGED)}\nEvent = TaggedEvent | Action\n"
        return "\n".join([HEAD, *texts, *self._classes, unions])

    def _class(self, name: str, schema: Schema, *, sent: bool) -> str:
        properties: dict[str, Schema] = schema["properties"]
        options = ["kw_only=True"]
        if sent:
            options += ["omit_defaults=True", "forbid_unknown_fields=True"]
        is_tagged = "const" in properties.get(_EVENT, {})
        if is_tagged:
            options += [f'tag_field="{_EVENT}"', f'tag="{properties[_EVENT]["const"]}"']
        text = textwrap.fill(" ".join(schema["description"].split()), 113, break_long_words=False)
        doc = f'"""{text}"""'
        lines = [f"\n\nclass {name}(Struct, {', '.join(options)}):", textwrap.indent(doc, "    "), ""]
        required = set(schema["required"]) - _LATER.get(name, frozenset())
        lines += [
            self._field(key, value, required=key in required, sent=sent)
            for key, value in properties.items()
            if not (is_tagged and key == _EVENT)
        ]
        return "\n".join(lines)

    def _field(self, key: str, schema: Schema, *, required: bool, sent: bool) -> str:
        kind = self._kind(schema, sent=sent)
        if required:
            return f"    {key}: {kind}"
        if schema.get("type") == "array":
            return f"    {key}: {kind} = field(default_factory=list)"
        if "default" in schema:
            return f"    {key}: {kind} = {schema['default']!r}"
        if kind.endswith("| None"):
            return f"    {key}: {kind} = None"
        return f"    {key}: {kind} | UnsetType = UNSET" if sent else f"    {key}: {kind} | None = None"

    def _union(self, kinds: Sequence[str]) -> str:
        kinds = list(dict.fromkeys(kinds))
        if "datetime" in kinds and len(kinds) > 2:
            return self._texts.setdefault(" | ".join(kinds), "Time")
        if len(kinds) > 1 and kinds[0] in _IDS and "int" in kinds[1]:
            kinds[:2] = [self._texts.setdefault(" | ".join(kinds[:2]), _IDS[kinds[0]])]
        return " | ".join(kinds)

    def _kind(self, schema: Schema, *, sent: bool) -> str:
        match schema:
            case {"$ref": str(ref)}:
                return ref.rpartition("/")[2]
            case {"anyOf": list(options)}:
                return self._union([self._kind(option, sent=sent) for option in options])
            case {"type": "array", "items": items}:
                kind = f"list[{self._kind(items, sent=sent)}]"
            case {"type": "object", "additionalProperties": dict(values)}:
                return f"dict[str, {self._kind(values, sent=sent)}]"
            case {"type": "object"}:
                return "dict[str, Any]"
            case {"type": "string", "format": "date-time"}:
                return "datetime"
            case _:
                kind = _SCALARS[schema["type"]]
        bounds = {name: schema[key] for key, name in _BOUNDS.items() if key in schema}
        if not sent or not bounds:
            return kind
        texts = [f"{name}={value!r}" for name, value in bounds.items()]
        if kind != "str":
            return f"Annotated[{kind}, Meta({', '.join(texts)})]"
        if "pattern" in schema:
            pattern = 'r"' + schema["pattern"].encode("unicode_escape").decode().replace("\\\\", "\\") + '"'
            texts.append(f"pattern={self._texts.setdefault(pattern, 'PRINTABLE')}")
        name = "_".join(["Text", *map(str, bounds.values())])
        return self._texts.setdefault(f"Annotated[str, Meta({', '.join(texts)})]", name)


def models_of(document: Schema) -> str:
    """The source of `reco_client/models.py`, before `ruff format`."""
    module = Module(document)
    module.add(SENT, sent=True)
    module.add(RECEIVED, sent=False)
    return module.source()


if __name__ == "__main__":
    sys.stdout.write(models_of(json.load(sys.stdin)))
