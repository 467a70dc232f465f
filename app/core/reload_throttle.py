"""Bounds the share of time that reloads take."""

from msgspec import Struct


class ReloadThrottle(Struct):
    """After a reload of t seconds the next one may start `factor` times t later: reloads take 1 / (1 + factor) of the
    time at most. With a factor of 0 they follow each other at once. Times are seconds of any monotonic clock.
    """

    factor: float
    next_at: float = float("-inf")

    def ended(self, *, started: float, ended: float) -> None:
        """Records a reload."""
        self.next_at = ended + (ended - started) * self.factor

    def wait_sec(self, now: float) -> float:
        """How long to wait before the next reload; 0 when it may start."""
        return max(0.0, self.next_at - now)
