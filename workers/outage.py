"""An outage as one loop of the relay or the consumer sees it: when it begins, when it ends, how long to wait."""

import random
from collections.abc import Sequence
from typing import Final

import structlog

from app import metrics
from app.core.retry import backoff
from app.errors import DependencyDown, describe

_log = structlog.get_logger(__name__)

_BASE_SEC: Final = 0.25
_MAX_SEC: Final = 3.0


class Outage:
    """The failures of one loop since it last worked. A dependency is down until a call to it has succeeded."""

    def __init__(self) -> None:
        self.failures = 0
        self.detail: str | None = None
        """What `/readyz` says of the loop; None when it works."""
        self._down: set[str] = set()

    def failed(self, error: Exception) -> bool:
        """Counts a failure. True when it is the first of its dependency or kind, which is worth a line in the log."""
        self.failures += 1
        self.detail = f"waiting: {describe(error)}"
        kind = kind_of(error)
        first = kind not in self._down
        self._down.add(kind)
        return first

    def worked(self, *dependencies: str) -> int:
        """Calls to these succeeded. Returns the number of failures when that ends an outage, else 0."""
        self._down.difference_update(dependencies)
        return 0 if self._down else self.ended()

    def ended(self) -> int:
        """All of it works. Returns the number of failures before."""
        failures, self.failures, self.detail = self.failures, 0, None
        self._down.clear()
        return failures


class PassedOver:
    """Partitions that take nothing while Kafka answers, as the relay's lanes see them."""

    def __init__(self) -> None:
        self.detail: str | None = None
        """What `/readyz` says of the first; None where there is none."""

    def note(self, down: Sequence[DependencyDown], *, over: bool) -> None:
        """After each batch. `down`: of rows that wait for that. `over`: the lane's producer passes over none."""
        if down:
            metrics.RELAY_ERRORS.labels(down[0].dependency).inc()
            if self.detail is None:
                _log.warning("relay_passes_over", error=down[0].reason)
            self.detail = f"rows wait: {describe(down[0])}"
        elif over and self.detail is not None:
            self.detail = None
            _log.info("relay_passes_over_none")


def kind_of(error: Exception) -> str:
    """The dependency that is down, or the type of the error: the label `kind` of the error metrics."""
    return error.dependency if isinstance(error, DependencyDown) else type(error).__name__


def delay(failures: int) -> float:
    """Seconds until the next try after so many failures in a row."""
    return backoff(failures, base_sec=_BASE_SEC, max_sec=_MAX_SEC, chance=random.random())
