"""Calls of the service's HTTP API, one at a time, each timed."""

import time
from typing import Any, Final
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, urlsplit
from urllib.request import Request, urlopen

import msgspec
from msgspec import Struct

from app.errors import UserError, describe

_TIMEOUT_SEC: Final = 5.0


def split_service_url(url: str) -> SplitResult:
    """The parts of an http or https URL with a host and without query and fragment. Raises `UserError`."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    known = parts.scheme in ("http", "https") and parts.hostname and port != 0
    if not known or parts.query or parts.fragment or " " in url:
        raise UserError(f"{url!r} is not a valid service URL; for example http://127.0.0.1:8080")
    return parts


class HttpReply(Struct, frozen=True):
    """`status` 0 means that no answer came; `body` then says why. `body` is the decoded JSON, or text."""

    status: int
    body: Any
    ms: float

    def shown(self) -> str:
        """One line for the screen: the status, and the content of a problem document or of /readyz."""
        if self.status == 0:
            return str(self.body)
        if not isinstance(self.body, dict):
            return f"{self.status} without the service's JSON: check the URL, including its path"
        if down := [name for name, entry in self.body.get("dependencies", {}).items() if entry["state"] == "down"]:
            return f"{self.status} {self.body['status']}, down: {', '.join(down)}"
        detail = self.body.get("detail", "")
        hint = " Here: --key or RECO_API_KEY." if self.status == 401 else ""
        return f"{self.status} {detail}{hint}".rstrip()


class Client:
    """Raises `UserError` for an invalid URL; a service that does not answer gives an `HttpReply` too."""

    def __init__(self, url: str, key: str = "") -> None:
        split_service_url(url)
        self.url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json"} | ({"X-API-Key": key} if key else {})

    def call(self, method: str, path: str, body: object = None) -> HttpReply:
        data = None if body is None else msgspec.json.encode(body)
        request = Request(self.url + path, data, self._headers, method=method)  # noqa: S310 - http or https only
        started = time.perf_counter()
        try:
            with urlopen(request, timeout=_TIMEOUT_SEC) as response:  # noqa: S310
                status, raw = response.status, response.read()
        except HTTPError as error:
            status, raw = error.code, error.read()
        except (URLError, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            text = describe(reason) if isinstance(reason, BaseException) else str(reason)
            return HttpReply(0, f"no answer from {self.url}: {text}", _ms(started))
        return HttpReply(status, _decoded(raw), _ms(started))


def _decoded(raw: bytes) -> Any:
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return raw.decode(errors="replace")


def _ms(started: float) -> float:
    return (time.perf_counter() - started) * 1000
