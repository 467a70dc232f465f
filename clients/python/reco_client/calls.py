"""One request to the service and how its answer is read: the same for both clients."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, Generic, TypeVar, get_args

import httpx
import msgspec
from msgspec import Struct

from reco_client.models import Problem

# The service did not do it, or a proxy (a CDN answers 520 to 530) does not know whether it did. Every call may be made
# twice.
RETRIED: Final = frozenset({408, 429, 502, 503, 504, *range(520, 531)})
_STATE_CHANGED: Final = 412
_MAX_RETRY_AFTER_SEC: Final = 300.0

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Callable[..., Any])


class ApiError(Exception):
    """An answer that is an error. `problem` is its body, where it is one of the service's own."""

    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.problem: Problem | None = None
        with suppress(msgspec.DecodeError):
            self.problem = msgspec.json.decode(response.content, type=Problem)
        self.retry_after_sec = _retry_after_sec(response.headers.get("retry-after"))
        errors = "".join(f" {error.path}: {error.message}." for error in self.problem.errors) if self.problem else ""
        super().__init__(f"{self.status}: {self.problem.detail if self.problem else response.text[:200]}{errors}")

    @property
    def may_be_retried(self) -> bool:
        return self.status in RETRIED


class StateChanged(ApiError):
    """412: the item is not in the state that the change is for. Read it again, and change what you read.

    When an answer is lost, the change is tried again: then the state in the way may be that of the change itself.
    """


class Call(Struct, Generic[_T], frozen=True):
    """One request; `read` makes of an answer that is no error what the caller gets."""

    method: str
    path: str
    read: Callable[[httpx.Response], _T]
    params: Mapping[str, Any] = {}
    body: Any = None
    headers: Mapping[str, str] = {}

    def options(self) -> dict[str, Any]:
        """The arguments of `httpx.Client.request` beside method and path."""
        content = None if self.body is None else msgspec.json.encode(self.body)
        return {"params": self.params, "content": content, "headers": self.headers}

    def result(self, response: httpx.Response) -> _T:
        """Raises `ApiError` for an answer that is one."""
        if not response.is_success:
            raise StateChanged(response) if response.status_code == _STATE_CHANGED else ApiError(response)
        return self.read(response)


def body_of(kind: type[_T]) -> Callable[[httpx.Response], _T]:
    """Reads the JSON of an answer as this type."""
    decoder = msgspec.json.Decoder(kind)
    return lambda response: decoder.decode(response.content)


def nothing(response: httpx.Response) -> None:
    """Reads an answer that says no more than that it was done."""


def as_method(method: _M, build: Callable[..., Call[Any]]) -> _M:
    """The method of a client that makes the call which `build` describes, with its name, text and parameters."""
    signature = inspect.signature(build)
    own = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    (returns,) = get_args(signature.return_annotation)
    method.__name__, method.__qualname__, method.__doc__ = build.__name__, build.__qualname__, build.__doc__
    method.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[own, *signature.parameters.values()], return_annotation=returns
    )
    return method


def _retry_after_sec(value: str | None) -> float | None:
    """Seconds; the service sends no dates."""
    if value is None or not value.isdecimal():
        return None
    return min(float(value), _MAX_RETRY_AFTER_SEC)
