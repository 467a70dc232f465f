"""Limits and logs wrong API keys. A key that is right is never limited by it."""

import asyncio
from typing import Final

import structlog
from litestar.types import Scope

from app import metrics
from app.core.network_counts import NetworkCounts, network_of
from app.http.problem_codes import ProblemCode
from app.http.problems import retry_later

_log = structlog.get_logger(__name__)

MAX_A_MINUTE: Final = 60
_MINUTE_SEC: Final = 60.0
_MAX_LINES: Final = 20


def client_network(scope: Scope) -> str:
    client = scope.get("client")
    return network_of(client[0]) if client else "unknown"


class WrongKeys:
    """Counts the wrong keys of each address in a minute, which begins with the first of them."""

    def __init__(self) -> None:
        self._counts = NetworkCounts()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, scope: Scope) -> None:
        """Raises a 429 once the address has sent too many in this minute."""
        metrics.API_KEYS_REFUSED.inc()
        loop = asyncio.get_running_loop()
        if self._timer is None:
            self._timer = loop.call_later(_MINUTE_SEC, self.log)
        if self._counts.add(client_network(scope)) > MAX_A_MINUTE:
            left = max(1.0, self._timer.when() - loop.time())
            raise retry_later(
                ProblemCode.TOO_MANY_WRONG_KEYS,
                f"More than {MAX_A_MINUTE} wrong API keys in a minute from this address.",
                left,
            )

    def log(self) -> None:
        """Ends the minute with a line for each address, or one for all that are left."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for address, count in self._counts.clear(_MAX_LINES):
            _log.warning("api_keys_refused", address=address, count=count)
