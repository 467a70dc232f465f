"""Ids in paths: an id reaches its handler exactly as the client wrote it, and only the exact path reaches a handler.

Litestar's router splits a path at slashes and normalises it before a handler sees it, so that `/users/bob`,
`/users//bob` and `/users/bob%2F` become one. An id may hold slashes, dots and percent signs, so it is taken from the
raw path instead (`app.http.path_ids` decodes it, once), and the router gets a path with a placeholder.

`/users/bob/recent` is a call of its own beside `/users/{user_id:path}`. So an id that ends with `/recent` reaches
itself where that slash is encoded, as in `/users/bob%2Frecent`.
"""

import re
from collections.abc import Awaitable, Iterable
from typing import Final, NamedTuple

from litestar.exceptions import NotFoundException
from litestar.types import ASGIApp, Receive, Scope, Send

from app.http import path_ids
from app.http.context import ROUTE, context_of
from app.http.problems import render

VERSION: Final = "/v1"
_VERSION_BYTES: Final = VERSION.encode()
_SEGMENT: Final = ":str}"
_PARAMETER: Final = re.compile(r"\{(\w+):path\}")
_ANY_PARAMETER: Final = re.compile(r"\{\w+:(?:path|str)\}")
_PLACEHOLDER: Final = "-"


class _IdPath(NamedTuple):
    """What stands before and behind the id, the id's name, and the path that the router gets."""

    before: bytes
    behind: bytes
    name: str
    routed: str
    template: str


def _template(path: str) -> str:
    """The path with the names of its ids, such as `/items/{item_id}`."""
    return _ANY_PARAMETER.sub(lambda found: found[0].partition(":")[0] + "}", path)


def routed(path: str) -> str:
    """The path that the router knows, with a placeholder for each id."""
    return _ANY_PARAMETER.sub(_PLACEHOLDER, path)


class Paths:
    """The paths of an application: plain ones, those with one id, such as `/users/{user_id:path}`, and those with ids
    between slashes, such as `/api/item/{item_id:str}/neighbors`. In those, a slash of an id is written `%2F`, and a
    slash at the end does not matter.

    Each of the `versioned` paths is the same with `/v1` before it.
    """

    def __init__(self, paths: Iterable[str], versioned: Iterable[str] = ()) -> None:
        known = sorted(set(paths))
        self._versioned = Paths(versioned) if versioned else None
        if taken := sorted({VERSION + path for path in versioned} & set(known)):
            raise ValueError(f"two calls would be at one path: {', '.join(taken)}")
        self._plain = frozenset(path.encode() for path in known if "{" not in path)
        found = [
            _IdPath(path[: name.start()].encode(), path[name.end() :].encode(), name[1], routed(path), _template(path))
            for path in known
            if (name := _PARAMETER.search(path)) is not None
        ]
        # What says more behind the id comes first.
        self._ids = tuple(sorted(found, key=lambda path: len(path.behind), reverse=True))
        self._segments: dict[int, list[_Segments]] = {}
        roots = {path.partition("/")[2].partition("/")[0] for path in known if _SEGMENT in path}
        for path in known:
            if path.split("/")[1] in roots:
                segments = _Segments(path)
                self._segments.setdefault(len(segments.parts), []).append(segments)

    def resolve(self, scope: Scope) -> bool:
        """Sets the path that the router gets, and keeps the ids as they were sent. False when nothing is at this
        path.
        """
        raw: bytes = scope["raw_path"]
        if self.match(scope, raw):
            return True
        if self._versioned is None or not raw.startswith(_VERSION_BYTES):
            return False
        unversioned = raw.removeprefix(_VERSION_BYTES)
        scope["path"] = unversioned.decode("latin-1")
        return self._versioned.match(scope, unversioned)

    def match(self, scope: Scope, raw: bytes) -> bool:
        """As `resolve`, for a raw path without a version."""
        if raw in self._plain:
            return True
        for before, behind, name, path, template in self._ids:
            end = len(raw) - len(behind)
            if end >= len(before) and raw.startswith(before) and raw.endswith(behind):
                path_ids.keep(scope, {name: raw[len(before) : end]})
                scope["path"] = path
                scope["state"][ROUTE] = template
                return True
        if self._segments:
            parts = raw.removesuffix(b"/").split(b"/")
            for segments in self._segments.get(len(parts), ()):
                if segments.match(parts):
                    path_ids.keep(scope, segments.ids(parts))
                    scope["path"] = segments.path
                    scope["state"][ROUTE] = segments.template
                    return True
        return False


class _Segments:
    """A path by what is between its slashes: bytes, or the name of an id."""

    def __init__(self, path: str) -> None:
        self.parts: list[bytes | str] = [
            part[1:].removesuffix(_SEGMENT) if part.endswith(_SEGMENT) else part.encode() for part in path.split("/")
        ]
        self.path = routed(path)
        self.template = _template(path)

    def match(self, given: list[bytes]) -> bool:
        return all(part == one if isinstance(part, bytes) else one for part, one in zip(self.parts, given, strict=True))

    def ids(self, given: list[bytes]) -> dict[str, bytes]:
        return {part: one for part, one in zip(self.parts, given, strict=True) if isinstance(part, str)}


def with_exact_paths(app: ASGIApp, known: Paths) -> ASGIApp:
    """Answers 404 to a request for any path that is not exactly one of those `known`."""

    def exact(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if known.resolve(scope):
            return app(scope, receive, send)
        absent = NotFoundException(detail="There is nothing at this path; /docs lists what there is.")
        return render(context_of(scope), absent)(scope, receive, send)

    return exact
