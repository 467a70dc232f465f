"""Query parameters read into structs, and the OpenAPI document made of the same structs.

Handlers take raw bodies and decode them with msgspec alone, which is fast and tells "not JSON" from "not valid"; so
what the framework would read from signatures stands beside each handler as `opt=call(…)`.
"""

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import parse_qsl

import msgspec
from litestar.handlers import HTTPRouteHandler
from litestar.types import Scope
from msgspec import Meta, Struct

from app.api.problems import MEDIA_TYPE, Problem
from app.core import events
from app.core.events import Fault, InvalidEvent, fault_of

_OPT: Final = "call"
_REF: Final = "#/components/schemas/{name}"
_JSON: Final = "application/json"

_Q = TypeVar("_Q", bound=Struct)


class Batch(Struct):
    """The body of `/log/batch`."""

    events: Annotated[list[events.AnyEvent], Meta(min_length=1, max_length=events.MAX_BATCH_EVENTS)]


class Call(Struct, frozen=True):
    """What one call takes and answers: query and body as types, answers as types by status."""

    answers: Mapping[int, Any]
    query: type[Struct] | None = None
    body: Any = None


def call(*, answers: Mapping[int, Any], query: type[Struct] | None = None, body: Any = None) -> dict[str, Any]:
    """The `opt` of a handler."""
    return {_OPT: Call(answers, query, body)}


def problems(*statuses: int) -> dict[int, Any]:
    return dict.fromkeys(statuses, Problem)


def query_of(scope: Scope, kind: type[_Q]) -> _Q:
    """The query string as a struct: unknown, repeated and bad parameters are `InvalidEvent` with the parameter's name.

    A parameter whose type is a tuple may be given several times or with commas.
    """
    values: dict[str, Any] = {}
    lists = {field.name for field in msgspec.structs.fields(kind) if field.type == tuple[events.Id, ...]}
    for name, value in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name in lists:
            values.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in values:
            raise InvalidEvent(Fault(f"$.{name}", "given twice"))
        else:
            values[name] = value
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise InvalidEvent(fault_of(error)) from None


def document(handlers: Iterable[HTTPRouteHandler], *, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the handlers that carry a `call`."""
    calls = [(handler, handler.opt[_OPT]) for handler in handlers if _OPT in handler.opt]
    kinds = [kind for _, item in calls for kind in (item.body, item.query, *item.answers.values()) if kind is not None]
    refs, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    schemas = dict(zip(map(id, kinds), refs, strict=True))
    paths: dict[str, Any] = {}
    for handler, item in calls:
        for path in handler.paths:
            for method in handler.http_methods:
                entry = _operation(handler, item, schemas, components, path)
                paths.setdefault(_template(path), {})[str(method).lower()] = entry
    return {
        "openapi": "3.1.0",
        "info": {"title": "Reco", "version": version, "description": "Events in, recommendations out."},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components},
    }


def _operation(
    handler: HTTPRouteHandler, item: Call, schemas: Mapping[int, Any], components: Mapping[str, Any], path: str
) -> dict[str, Any]:
    text = inspect.getdoc(handler.fn) or handler.handler_name
    operation: dict[str, Any] = {
        "operationId": handler.handler_name,
        "summary": text.partition(".")[0],
        "description": text,
        "responses": {str(status): _response(status, kind, schemas) for status, kind in sorted(item.answers.items())},
    }
    parameters = [
        {"name": name.partition(":")[0], "in": "path", "required": True, "schema": {"type": "string"}}
        for name in (part[1:-1] for part in path.split("/") if part.startswith("{"))
    ]
    if item.query is not None:
        shape = components[item.query.__name__]
        parameters += [
            {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": field}
            for name, field in shape["properties"].items()
        ]
    if parameters:
        operation["parameters"] = parameters
    if item.body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": schemas[id(item.body)]}}}
    return operation


def _response(status: int, kind: Any, schemas: Mapping[int, Any]) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if kind is not None:
        response["content"] = {MEDIA_TYPE if kind is Problem else _JSON: {"schema": schemas[id(kind)]}}
    return response


def _template(path: str) -> str:
    return "/".join(f"{{{part[1:-1].partition(':')[0]}}}" if part.startswith("{") else part for part in path.split("/"))
