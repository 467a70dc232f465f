"""A circuit breaker as a value: when to stop asking a dependency that fails, and when to try it again.

M. Nygard, "Release It!" (2nd edition, 2018), chapter 5: closed, open after some failures in a row, half open when one
call may try. Times are seconds of any monotonic clock.
"""

from msgspec import Struct


class Breaker(Struct):
    """Closed while `open_until` is 0. The caller asks `allows`, then reports `succeeded` or `failed`."""

    failures_to_open: int = 3
    open_sec: float = 1.0
    failures: int = 0
    open_until: float = 0.0

    def allows(self, now: float) -> bool:
        """True when closed, or when one trial call is due; that call delays the next trial."""
        if self.open_until == 0.0:
            return True
        if now < self.open_until:
            return False
        self.open_until = now + self.open_sec
        return True

    @property
    def is_open(self) -> bool:
        return self.open_until > 0.0

    def succeeded(self) -> None:
        self.failures = 0
        self.open_until = 0.0

    def failed(self, now: float) -> None:
        self.failures += 1
        if self.failures >= self.failures_to_open:
            self.open_until = now + self.open_sec
