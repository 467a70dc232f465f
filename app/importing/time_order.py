"""Whether the rows of a log come in the order of time."""

import math
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from app.core.arrivals import MOST_BEHIND_MS

_TOLD_OF: Final = 20
"""One row in so many is worth a word."""
_REMEDY: Final = "and the ranking learns nothing from them: import a log in the order of time, the oldest event first."


class TimeOrder(Struct):
    """`behind`: how many of the `rows` are more than an hour behind what was received before them, as the learner sees
    it: a batch is received at one time.
    """

    rows: int = 0
    behind: int = 0
    latest_ms: float = -math.inf

    def add(self, times: Sequence[int]) -> None:
        """Of a batch."""
        due_ms = self.latest_ms - MOST_BEHIND_MS
        self.rows += len(times)
        self.behind += sum(at_ms < due_ms for at_ms in times)
        self.latest_ms = max(self.latest_ms, max(times, default=self.latest_ms))

    def notice(self) -> str:
        """What is to be said of it, or an empty string."""
        if self.behind * _TOLD_OF < self.rows or not self.behind:
            return ""
        return (
            f"{self.behind:,} of {self.rows:,} rows come after rows that are more than an hour later. They are "
            f"counted, {_REMEDY}"
        )
