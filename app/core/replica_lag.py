"""How old what a replica shows is, by positions in the primary's log and one clock: ours."""

from collections import deque
from typing import Final

_KEPT: Final = 600
_STEPS: Final = 200
"""In the time that a replica may be behind."""


class ReplicaLag:
    """Remembers the length of the primary's log for three times `limit_sec` at least, by any monotonic clock."""

    def __init__(self, *, limit_sec: float) -> None:
        self._limit_sec = limit_sec
        self.step_sec = limit_sec / _STEPS
        """By so much what is told may be too long, besides the time between two calls of `primary_at`."""
        self._positions: deque[tuple[float, int]] = deque(maxlen=_KEPT)
        self._last = 0

    def primary_at(self, position: int, now: float) -> bool:
        """Records that the log of the primary had this length at `now`. Returns whether it is another log than before:
        another server was promoted, or a backup restored.
        """
        is_another = position < self._last
        if is_another:
            self._positions.clear()
        self._last = position
        if not self._positions or now - self._positions[-1][0] >= self.step_sec:
            self._positions.append((now, position))
        return is_another

    def seconds(self, replayed: int, now: float) -> float | None:
        """For how long at most the replica lacks changes. None: for longer than is remembered."""
        for at, position in reversed(self._positions):
            if position <= replayed:
                return now - at
        return None

    def needed(self, now: float) -> int:
        """What a replica has replayed, if it lacks nothing for longer than `limit_sec` and a step; 0 while that is not
        known of any position.
        """
        longest = now - self._limit_sec - self.step_sec
        return next((position for at, position in reversed(self._positions) if at <= longest), 0)
