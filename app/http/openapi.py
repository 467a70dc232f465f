"""The OpenAPI 3.1 document, generated from the structs that read the requests and write the answers.

The names in it (operations, schemas, schemes) are public: generated clients are made of them.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, Final

import msgspec
from litestar.handlers import HTTPRouteHandler

from app.core.events import Id
from app.core.keys import Scope
from app.core.spellings import MARK
from app.core.visitors import ID_FORM
from app.http.components import Schema, component_schemas, fields, plain_text
from app.http.etags import IF_NONE_MATCH
from app.http.paths import VERSION
from app.http.problems import MEDIA_TYPE, Problem
from app.http.responses import JSON
from app.http.schema import Call, call_of

_METHODS: Final = ("GET", "PUT", "PATCH", "POST", "DELETE")
_ABOUT: Final = """\
Events in, recommendations out.

An event may be sent again with the same `event_id`: the same content is a duplicate (200), other content a conflict \
(409). After a 5xx or no answer at all, send it again; nothing is counted twice. Errors are problem details (RFC 9457).

Each call but those of health, metrics and Segment's protocol is also at its path behind `/v1`, such as `/v1/reco`.

Bodies may be compressed, with `Content-Encoding: gzip` or `zstd`.

"""
_ABOUT_KEYS: Final = "Each call needs an API key with the scope that it names, unless it names none."
_ABOUT_NO_KEYS: Final = "No call needs an API key here. Where keys are on, each call names the scope that it needs."

# The order in which a reader meets them.
_TAGS: Final = {
    "events": "What users saw and did.",
    "recommendations": "What to show them.",
    "catalogue": "The items as the application describes them.",
    "rules": "Pinned, boosted, buried and excluded items.",
    "experiments": "Other weights for a share of the users, and what they change.",
    "users": "What is stored about a user, and its erasure.",
    "analytics": "Limits, targets and key figures.",
    "operations": "Health, metrics and this document, without a key; and dead letters.",
}
_SCHEMES: Final = {
    "BearerKey": {"type": "http", "scheme": "bearer", "description": "`Authorization: Bearer <key>`"},
    "HeaderKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "`X-API-Key: <key>`"},
    "BasicKey": {
        "type": "http",
        "scheme": "basic",
        "description": "The key as the user name, and no password, as Segment's libraries send it.",
    },
    "QueryKey": {
        "type": "apiKey",
        "in": "query",
        "name": "key",
        "description": "`?key=<key>`, for `navigator.sendBeacon`. Only where `API_KEYS_IN_QUERY` is on.",
    },
    "VisitorId": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Visitor-ID",
        "description": "Beside a key of the scope `browser`: whose browser it is. " + ID_FORM + "; a secret of the"
        " browser, which is the user `visitor:` and this id.",
    },
    "UserToken": {
        "type": "apiKey",
        "in": "header",
        "name": "X-User-Token",
        "description": "Beside a key of the scope `browser`: which user it is. A JWT with `sub` and `exp`, signed by"
        " the application's server with HS256 and a secret of `USER_TOKEN_SECRETS`.",
    },
}
_PUBLIC: Final[Scope] = "browser"
_REFUSALS: Final = (401, 403, 429)
_UNVERSIONED: Final = ({"url": "/"},)


def _header(description: str, *, required: bool, kind: str) -> dict[str, Any]:
    return {"description": description, "required": required, "schema": {"type": kind}}


_HEADERS: Final = {
    "X-Request-ID": _header("As sent, or made by the service; also in the log.", required=True, kind="string"),
    "X-Correlation-ID": _header("As sent, or the request's id.", required=True, kind="string"),
    "Retry-After": _header("Seconds to wait.", required=True, kind="integer"),
    "RateLimit-Limit": _header("Requests in a window, where there is a limit.", required=False, kind="integer"),
    "RateLimit-Remaining": _header("How many of them are left.", required=False, kind="integer"),
    "RateLimit-Reset": _header("Seconds until the window ends.", required=False, kind="integer"),
}
_IDS: Final = ("X-Request-ID", "X-Correlation-ID")
_LIMITS: Final = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")
_PARAMETERS: Final = {
    name: {"name": name, "in": "header", "required": False, "description": text, "schema": {"type": "string"}}
    for name, text in (
        ("X-Request-ID", "Up to 128 printable characters; echoed and logged, made here when left out or unusable."),
        ("X-Correlation-ID", "As `X-Request-ID`, for what spans several requests."),
        ("traceparent", "W3C trace context; it travels with the events of the request."),
        ("tracestate", "W3C trace context, up to 512 characters; it travels with `traceparent`."),
    )
}


def document(
    handlers: Iterable[HTTPRouteHandler],
    *,
    version: str,
    keys: bool = False,
    examples: Mapping[type, Any] = MappingProxyType({}),
    key_in_query: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """The document of the handlers that carry a `call`. `keys`: whether calls need API keys here. Where they do not,
    a key is optional, so that a client made from the document of a test service works with any other.
    `examples`: one for each type that has one. `key_in_query`: paths that take the key in the query.
    """
    calls = [(handler, found) for handler in handlers if (found := call_of(handler)).documented]
    calls.sort(key=lambda entry: list(_TAGS).index(entry[1].tag))
    taken = [item.body for _, item in calls if item.body is not None]
    parts = [kind for _, item in calls for kind in item.parts]
    answered = [kind for _, item in calls for kind in item.answers.values() if not isinstance(kind, str | None)]
    answered.append(Problem)
    refs, components = component_schemas([*taken, *parts], answered)
    refs_by_kind = dict(zip(map(id, (*taken, *parts, *answered)), refs, strict=True))
    for kind, example in examples.items():
        if kind.__name__ in components:
            components[kind.__name__]["examples"] = [example]
    paths: dict[str, Any] = {}
    statuses: set[int] = set()
    for handler, item in calls:
        statuses.update(_REFUSALS if item.needs is not None else ())
        statuses.update(status for status, kind in item.answers.items() if kind is Problem)
        for path in handler.paths:
            for method in (name for name in _METHODS if name in handler.http_methods):
                entry = _operation(handler, item, refs_by_kind, path, method)
                if item.needs is not None:
                    entry["security"] = _security(item, item.needs, optional=not keys, in_query=path in key_in_query)
                if not item.is_own:
                    entry["servers"] = _UNVERSIONED
                paths.setdefault(_template(path), {})[method.lower()] = entry
    problem = refs_by_kind[id(Problem)]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Reco",
            "version": version,
            "description": _ABOUT + (_ABOUT_KEYS if keys else _ABOUT_NO_KEYS),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [*_UNVERSIONED, {"url": VERSION, "description": "The same calls, with the version in their paths."}],
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": {f"Problem{status}": _problem(status, problem) for status in sorted(statuses)},
            "parameters": _PARAMETERS,
            "headers": _HEADERS,
            "securitySchemes": _SCHEMES,
        },
    }


def _security(item: Call, needs: Scope, *, optional: bool, in_query: bool) -> list[dict[str, list[Scope]]]:
    """A key in one of the schemes, with the scope as its role; or none, where a key is optional. A key for browsers
    comes with what tells the visitor.
    """
    names = ["BearerKey", "HeaderKey", "BasicKey", *(["QueryKey"] if in_query else [])]
    visitors = ["VisitorId", "UserToken"] if item.for_browsers else []
    return [
        *([{}] if optional else []),
        *({name: [needs]} for name in names),
        *({"BearerKey": [_PUBLIC], visitor: []} for visitor in visitors),
    ]


def _operation(
    handler: HTTPRouteHandler, item: Call, refs: Mapping[int, Schema], path: str, method: str
) -> dict[str, Any]:
    text = plain_text(handler.fn.__doc__ or handler.handler_name)
    shared = [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS]
    answers = {status: _response(status, kind, refs, item) for status, kind in item.answers.items()}
    if item.needs is not None:
        text += f"\n\nScope of the API key: `{item.needs}`"
        text += ", or `browser` for the visitor of the request." if item.for_browsers else "."
        answers |= {status: _problem_ref(status) for status in _REFUSALS}
    reads = method == "GET" and item.is_own and not item.is_personal
    if reads:
        answers[HTTPStatus.NOT_MODIFIED] = _response(HTTPStatus.NOT_MODIFIED, None, refs, item)
    operation: dict[str, Any] = {
        "operationId": handler.handler_name,
        "summary": text.partition(".")[0],
        "description": text,
        "tags": [item.tag],
        "parameters": [
            *_path_parameters(path),
            *_query_parameters(item),
            *item.headers,
            *([IF_NONE_MATCH] if reads else []),
            *shared,
        ],
        "responses": {str(status): answer for status, answer in sorted(answers.items())},
    }
    if item.body is not None:
        operation["requestBody"] = {"required": True, "content": {JSON: {"schema": refs[id(item.body)]}}}
    return operation


def _path_parameters(path: str) -> list[dict[str, Any]]:
    names = [part[1:-1].partition(":")[0] for part in path.split("/") if part.startswith("{")]
    schema = {key: value for key, value in msgspec.json.schema(Id).items() if key != MARK}
    text = "Percent-encoded, a slash as `%2F`."
    return [{"name": name, "in": "path", "required": True, "description": text, "schema": schema} for name in names]


def _query_parameters(item: Call) -> list[dict[str, Any]]:
    """The fields of the query, required ones first, but for the API key, which is a security scheme."""
    if item.query is None:
        return []
    schemas, required = fields(item.query)
    found = [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": schema.pop("description"),
            "schema": schema,
        }
        for name, schema in ((name, _not_null(schema)) for name, schema in schemas.items())
        if name != _SCHEMES["QueryKey"]["name"]
    ]
    return sorted(found, key=lambda parameter: not parameter["required"])


def _not_null(schema: Schema) -> Schema:
    """A query leaves a parameter out where a body could have null."""
    match schema:
        case {"anyOf": [dict(inner), {"type": "null"}]}:
            return inner
    return schema


def _response(status: int, kind: Any, refs: Mapping[int, Schema], item: Call) -> dict[str, Any]:
    if kind is Problem:
        return _problem_ref(status)
    headers = [*_IDS, *(_LIMITS if item.needs is not None else ())]
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase, "headers": _header_refs(headers)}
    if isinstance(kind, str):
        response["content"] = {kind: {"schema": {"type": "string"}}}
    elif kind is not None:
        response["content"] = {JSON: {"schema": refs[id(kind)]}}
    return response


def _problem(status: int, schema: Schema) -> dict[str, Any]:
    headers = [*_IDS, *_LIMITS, *(["Retry-After"] if status in (429, 503) else [])]
    return {
        "description": HTTPStatus(status).phrase,
        "headers": _header_refs(headers),
        "content": {MEDIA_TYPE: {"schema": schema}},
    }


def _problem_ref(status: int) -> dict[str, Any]:
    return {"$ref": f"#/components/responses/Problem{status}"}


def _header_refs(names: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


def _template(path: str) -> str:
    return "/".join(f"{{{part[1:-1].partition(':')[0]}}}" if part.startswith("{") else part for part in path.split("/"))
