"""The OpenAPI 3.1 document, made of the same structs that read the requests and write the answers."""

import inspect
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import msgspec
from litestar.handlers import HTTPRouteHandler

from app.core.events import Id
from app.http.problems import MEDIA_TYPE, Problem
from app.http.responses import JSON
from app.http.schema import Call, call_of

_REF: Final = "#/components/schemas/{name}"
_METHODS: Final = ("GET", "PUT", "POST", "DELETE")
_ABOUT: Final = """\
Events in, recommendations out.

An event may be sent again with the same `event_id`: the same content is a duplicate (200), other content a conflict \
(409). After a 5xx or no answer at all, send it again; nothing is counted twice. Errors are problem details (RFC 9457).
"""
_IDS: Final = {
    "X-Request-ID": {
        "description": "As sent, or made here; it stands in the log.",
        "required": True,
        "schema": {"type": "string"},
    },
    "X-Correlation-ID": {
        "description": "As sent, or the request's id.",
        "required": True,
        "schema": {"type": "string"},
    },
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait.", "required": True, "schema": {"type": "string"}}
}
_SENT_IDS: Final = [
    {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in (
        ("X-Request-ID", "Up to 128 printable characters; echoed and logged, made here when left out or unusable."),
        ("X-Correlation-ID", "As X-Request-ID, for what spans several requests."),
    )
]


def document(
    handlers: Iterable[HTTPRouteHandler],
    *,
    version: str,
    keys: bool = False,
    limited: bool = False,
    examples: Mapping[type, Any] = MappingProxyType({}),
    key_in_query: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The document of the handlers that carry a `call`. `keys`, `limited`: whether calls need API keys here, and
    whether there is a rate limit. `examples`: one for each type that has one.
    """
    refusals = (*((401, 403) if keys else ()), *((429,) if limited else ()))
    calls = [(handler, found) for handler in handlers if (found := call_of(handler)) is not None]
    kinds = [
        kind
        for _, item in calls
        for kind in (item.body, item.query, *item.other_bodies.values(), *item.answers.values())
    ]
    kinds = [kind for kind in kinds if kind is not None and not isinstance(kind, str)]
    kinds.append(Problem)
    refs, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    refs_by_kind = dict(zip(map(id, kinds), refs, strict=True))
    paths: dict[str, Any] = {}
    for handler, item in calls:
        for path in handler.paths:
            for method in (name for name in _METHODS if name in handler.http_methods):
                entry = _operation(handler, item, refs_by_kind, components, path)
                if item.needs is not None:
                    answers = {str(status): _response(status, Problem, refs_by_kind) for status in refusals}
                    entry["responses"] = dict(sorted((entry["responses"] | answers).items()))
                    if keys:
                        entry["security"] = _security(in_query=path in key_in_query)
                paths.setdefault(_template(path), {})[method.lower()] = entry
    for kind, example in examples.items():
        if kind.__name__ in components:
            components[kind.__name__]["examples"] = [example]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reco",
            "version": version,
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components} | ({"securitySchemes": _SCHEMES} if keys else {}),
    }


_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "Authorization: Bearer <key>"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "query": {"type": "apiKey", "in": "query", "name": "key", "description": "For navigator.sendBeacon."},
}


def _security(*, in_query: bool) -> list[dict[str, list[str]]]:
    names = ["bearer", "header", *(["query"] if in_query else [])]
    return [{name: []} for name in names]


def _operation(
    handler: HTTPRouteHandler, item: Call, refs: Mapping[int, Any], components: Mapping[str, Any], path: str
) -> dict[str, Any]:
    text = inspect.getdoc(handler.fn) or handler.handler_name
    operation: dict[str, Any] = {
        "operationId": handler.handler_name,
        "summary": " ".join(text.partition(".")[0].split()),
        "description": text,
        "tags": [item.tag],
        "parameters": [*_path_parameters(path), *_query_parameters(item, components), *item.headers, *_SENT_IDS],
        "responses": {str(status): _response(status, kind, refs) for status, kind in sorted(item.answers.items())},
    }
    if item.needs is not None:
        operation["description"] += f"\n\nThe key needs the scope `{item.needs}`, where keys are asked for."
    if item.body is not None:
        schema = refs[id(item.body)]
        content: dict[str, Any] = {JSON: {"schema": schema}}
        for media_type, kind in item.other_bodies.items():
            content[media_type] = {"schema": refs[id(kind)]}
        operation["requestBody"] = {"required": True, "content": content}
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{")]
    schema = msgspec.json.schema(Id)
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name in names]


def _query_parameters(item: Call, components: Mapping[str, Any]) -> list[dict[str, Any]]:
    if item.query is None:
        return []
    shape = components[item.query.__name__]
    return [
        {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": field}
        for name, field in shape["properties"].items()
    ]


def _response(status: int, kind: Any, refs: Mapping[int, Any]) -> dict[str, Any]:
    headers = _IDS | (_RETRY_AFTER if status in (429, 503) and kind is Problem else {})
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": headers}
    if isinstance(kind, str):
        response["content"] = {kind: {"schema": {"type": "string"}}}
    elif kind is not None:
        response["content"] = {MEDIA_TYPE if kind is Problem else JSON: {"schema": refs[id(kind)]}}
    return response


def _template(path: str) -> str:
    return "/".join(f"{{{part[1:-1].partition(':')[0]}}}" if part.startswith("{") else part for part in path.split("/"))
