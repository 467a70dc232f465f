"""The named schemas of the OpenAPI document: msgspec's, with what those do not say.

* Formats: `int64` and `double`, without which some generators take 32 bits; the type of each enum.
* A decoder of one tagged struct takes it without its tag, a decoder of several does not. So the tag is optional in the
  struct, with its value as the default, and required where one of several structs is taken.
* An answer has every field, whether the struct has a default for it or not, unless the struct leaves defaults out.
* Ids may be integers and times have several spellings in what is taken, and one each in what is answered.
* A default of null is left out: it says what the field's absence says, and makes it required in TypeScript's types.
"""

from collections.abc import Iterator, Sequence
from inspect import cleandoc
from typing import Any, Final

import msgspec
from msgspec import NODEFAULT, inspect

from app.core.spellings import MARK, OTHER_SPELLINGS

REF: Final = "#/components/schemas/{name}"
_FORMATS: Final = {"integer": "int64", "number": "double"}

Schema = dict[str, Any]


def component_schemas(taken: Sequence[Any], answered: Sequence[Any]) -> tuple[list[Schema], dict[str, Schema]]:
    """A schema for each type that is taken and then for each that is answered, and the components they refer to."""
    kinds = [*taken, *answered]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    taken_structs = _structs(taken)
    for schema in (*schemas, *components.values()):
        _complete(schema)
    for name, schema in components.items():
        _spell(schema, taken=name in taken_structs)
    for name, struct in _structs(kinds).items():
        if struct.tag_field is not None:
            _set_tag(components[name], struct)
        if name not in taken_structs:
            _require_sent(components[name], struct)
    return list(schemas), components


def fields(kind: type[msgspec.Struct]) -> tuple[dict[str, Schema], list[str]]:
    """The schemas of a struct's fields, and the names of those that are required."""
    _, components = msgspec.json.schema_components([kind], ref_template=REF)
    schema = components[kind.__name__]
    _complete(schema)
    _spell(schema, taken=False)
    return schema["properties"], schema["required"]


def plain_text(text: str) -> str:
    """A docstring with a line for each paragraph."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in cleandoc(text).split("\n\n"))


def _complete(schema: Schema) -> None:
    """Adds what the schema and those inside of it lack, in place."""
    if schema.get("type") in _FORMATS:
        schema["format"] = _FORMATS[schema["type"]]
    if "enum" in schema:
        schema["type"] = "string"
    if "default" in schema and schema["default"] is None:
        del schema["default"]
    if "discriminator" in schema:
        schema["required"] = [schema["discriminator"]["propertyName"]]
    if "description" in schema:
        schema["description"] = plain_text(schema["description"])
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
    for part in (*schema.get("properties", {}).values(), *inner):
        if isinstance(part, dict):
            _complete(part)


def _spell(schema: Schema, *, taken: bool) -> None:
    """Adds to ids and times in what is taken how else they may be written, in place. In a URL everything is text."""
    inner = [schema.get("items"), schema.get("additionalProperties"), *schema.get("anyOf", ())]
    for part in (*schema.get("properties", {}).values(), *inner):
        if isinstance(part, dict):
            _spell(part, taken=taken)
    others = OTHER_SPELLINGS.get(schema.pop(MARK, ""), [])
    if taken and others:
        about: Schema = {key: schema.pop(key) for key in ("description", "default") if key in schema}
        one = dict(schema)
        schema.clear()
        schema |= {"anyOf": [one, *others], **about}
    if "anyOf" in schema:
        schema["anyOf"] = [option for part in schema["anyOf"] for option in _flat(part)]


def _flat(schema: Schema) -> list[Schema]:
    return schema["anyOf"] if schema.keys() <= {"anyOf", "description"} else [schema]


def _set_tag(schema: Schema, struct: inspect.StructType) -> None:
    name = struct.tag_field
    schema["properties"][name] = {"type": "string", "const": struct.tag, "default": struct.tag}
    schema["required"] = [field for field in schema["required"] if field != name]


def _require_sent(schema: Schema, struct: inspect.StructType) -> None:
    for field in schema["properties"].values():
        field.pop("default", None)
    if not struct.cls.__struct_config__.omit_defaults:
        schema["required"] = [field.encode_name for field in struct.fields if not _may_be_unset(field)]


def _may_be_unset(field: inspect.Field) -> bool:
    return not field.required and field.default is NODEFAULT and field.default_factory is NODEFAULT


def _structs(kinds: Sequence[Any]) -> dict[str, inspect.StructType]:
    found: dict[str, inspect.StructType] = {}
    for info in inspect.multi_type_info(kinds):
        _collect(info, found)
    return found


def _collect(info: inspect.Type, found: dict[str, inspect.StructType]) -> None:
    if isinstance(info, inspect.StructType):
        name = info.cls.__name__
        known = found.setdefault(name, info)
        if known.cls is not info.cls:
            raise ValueError(f"{known.cls} and {info.cls} would both be {name} in the OpenAPI document; rename one")
        if known is info:
            for field in info.fields:
                _collect(field.type, found)
        return
    for inner in _parts(info):
        _collect(inner, found)


def _parts(info: inspect.Type) -> Iterator[inspect.Type]:
    match info:
        case inspect.Metadata(type=inner):
            yield inner
        case inspect.UnionType(types=types):
            yield from types
        case inspect.DictType(value_type=inner):
            yield inner
        case inspect.CollectionType(item_type=inner):
            yield inner
