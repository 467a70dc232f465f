"""Whether a standby ends so many reads, for what it replays, that another server has to answer them for a while."""

from collections import deque
from typing import Final

MOST: Final = 5
WITHIN_SEC: Final = 30.0
AWAY_SEC: Final = 60.0
# One change that is replayed ends all reads that it meets.
_ONE_CHANGE_SEC: Final = 0.2


class Interruptions:
    """Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._at: deque[float] = deque(maxlen=MOST)
        self._away_until = float("-inf")

    def add(self, now: float) -> bool:
        """Counts an interruption. True when it is one of `MOST` within `WITHIN_SEC`: then all of them are forgotten,
        and reads stay away for `AWAY_SEC`.
        """
        if not self._at or now - self._at[-1] >= _ONE_CHANGE_SEC:
            self._at.append(now)
        if len(self._at) < MOST or now - self._at[0] > WITHIN_SEC:
            return False
        self._at.clear()
        self._away_until = now + AWAY_SEC
        return True

    def keep_away(self, now: float) -> bool:
        return now < self._away_until

    def end(self, now: float) -> bool:
        """Lets reads come back before their time. Whether they were kept away."""
        was_away, self._away_until = self.keep_away(now), min(self._away_until, now)
        return was_away
