"""Tokens for SASL OAUTHBEARER: from an identity provider by the client credentials grant (RFC 6749, 4.4), or from a
file that something else keeps fresh.

aiokafka asks for a token at each new connection, and never authenticates an open one again. A broker that bounds
sessions (`connections.max.reauth.ms`) closes the connection when its token expires; the client then opens another one.
"""

import asyncio
import base64
import contextlib
import http.client
import json
import math
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

from aiokafka.abc import AbstractTokenProvider
from aiokafka.errors import KafkaError
from msgspec import Struct

from app.errors import describe

_TIMEOUT_SEC: Final = 5.0
# A token is renewed after this share of its life, so that no connection is opened with one that is about to end.
_RENEW_AT: Final = 0.8
_NO_LIFE_SEC: Final = 60.0
"""For an answer without `expires_in`."""
_MAX_BYTES: Final = 1 << 20


class OAuthOptions(Struct, frozen=True, kw_only=True):
    """Either `token_file`, or the others. `scope` may be empty."""

    token_file: str = ""
    token_url: str = ""
    client_id: str = ""
    client_secret: str = ""
    scope: str = ""


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Shared by all clients of a process. One request at a time, which nobody waits for while the token that it
    replaces has not expired: a connection has less time than a provider that is silent takes.
    """

    def __init__(self, options: OAuthOptions) -> None:
        self._options = options
        self._token = ""
        self._renew_at = self._expires_at = 0.0
        self._renewal: asyncio.Task[None] | None = None

    async def token(self) -> str:
        """Raises `KafkaError` with what the file or the provider said."""
        if self._options.token_file:
            return _read(Path(self._options.token_file))
        if time.monotonic() >= self._renew_at:
            if self._renewal is None:
                self._renewal = asyncio.create_task(self._renew())
                self._renewal.add_done_callback(self._renewed)
            if time.monotonic() >= self._expires_at:
                await asyncio.shield(self._renewal)  # whoever gives up leaves the token to the next one
        return self._token

    async def _renew(self) -> None:
        asked = time.monotonic()
        try:
            async with asyncio.timeout(_TIMEOUT_SEC * 2):
                answer = await asyncio.to_thread(_ask, self._options)
            token, life_sec = answer.get("access_token"), _seconds(answer.get("expires_in") or _NO_LIFE_SEC)
            if not isinstance(token, str) or not token:
                raise ValueError("the answer has no access_token")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise KafkaError(f"KAFKA_OAUTH_TOKEN_URL gave no token: {_said(error)}") from error
        self._token = token
        self._expires_at = asked + life_sec
        self._renew_at = asked + life_sec * _RENEW_AT

    def _renewed(self, renewal: "asyncio.Task[None]") -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # told to those who wait, if anybody does


def _seconds(value: Any) -> float:
    """Some providers give them as a text."""
    with contextlib.suppress(TypeError, ValueError):
        if math.isfinite(seconds := float(value)):
            return seconds
    raise ValueError("expires_in of the answer is not a number of seconds")


def _read(file: Path) -> str:
    try:
        token = file.read_text().strip()
    except (OSError, ValueError) as error:
        raise KafkaError(f"KAFKA_OAUTH_TOKEN_FILE: {describe(error)}") from error
    if not token:
        raise KafkaError(f"KAFKA_OAUTH_TOKEN_FILE: {file} is empty")
    return token


def _ask(options: OAuthOptions) -> dict[str, Any]:
    credentials = ":".join(urllib.parse.quote(part, safe="") for part in (options.client_id, options.client_secret))
    fields = {"grant_type": "client_credentials"} | ({"scope": options.scope} if options.scope else {})
    request = urllib.request.Request(  # noqa: S310 - the settings allow http and https alone
        options.token_url,
        data=urllib.parse.urlencode(fields).encode(),
        headers={
            "Authorization": "Basic " + base64.b64encode(credentials.encode()).decode(),
            "Accept": "application/json",
        },
    )
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SEC) as answer:  # noqa: S310
        found = json.loads(answer.read(_MAX_BYTES))
    if not isinstance(found, dict):
        raise ValueError("the answer is not a JSON object")
    return found


def _said(error: Exception) -> str:
    """Of a refusal, the provider's own word too: `invalid_client` says more than 401."""
    if isinstance(error, urllib.error.HTTPError):
        return f"{error.code} {error.read(500).decode(errors='replace').strip()}"
    return describe(error)
