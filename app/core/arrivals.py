"""Whether events come in the order of their times."""

from bisect import bisect_left
from typing import Final

MOST_BEHIND_MS: Final = 3_600_000
"""An event that is so far behind one that was received before it teaches nothing: the sums hold what came after it, and
what foretells it best there is not known in time. So of a log in the order of its users hardly any event teaches (ADR
104).
"""
_STEP_MS: Final = 5 * 60_000
_KEPT: Final = 2_000


class Arrivals:
    """The latest time of all that was received until then. Partitions are read in turns, so what was received later may
    be seen first. Of what was received long ago, nothing is known.
    """

    def __init__(self) -> None:
        # Both rise: what was received later, and is of an earlier time, says nothing more.
        self._received: list[int] = []
        self._latest: list[int] = []

    def saw(self, received_ms: int, ts_ms: int) -> None:
        """An event, of a time that is at least some minutes after others, or it is not kept."""
        place = end = bisect_left(self._received, received_ms)
        if place and ts_ms < self._latest[place - 1] + _STEP_MS:
            return
        if place < len(self._received) and self._received[place] == received_ms and self._latest[place] >= ts_ms:
            return
        while end < len(self._latest) and self._latest[end] <= ts_ms:
            end += 1
        self._received[place:end] = [received_ms]
        self._latest[place:end] = [ts_ms]
        if len(self._received) > _KEPT:
            del self._received[: _KEPT // 2], self._latest[: _KEPT // 2]

    def behind_ms(self, received_ms: int, ts_ms: int) -> int:
        """By how much an event is behind one that was received before it; 0 for one that is not."""
        place = bisect_left(self._received, received_ms)
        return max(0, self._latest[place - 1] - ts_ms) if place else 0
