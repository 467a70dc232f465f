"""Reads rows by ascending id when their transactions commit in another order."""

from collections.abc import Iterable

from msgspec import Struct, field


class Watermark(Struct):
    """Everything up to `low` is settled; of the ids above, `seen` have been read.

    A missing id in between belongs to an open transaction or to one that was rolled back: the reader waits
    `patience_sec` for it, then skips it.
    """

    low: int
    patience_sec: float = 60.0
    seen: dict[int, float] = field(default_factory=dict)
    """Id → when it was read (seconds of any monotonic clock)."""

    def advance(self, ids: Iterable[int], now: float) -> None:
        """Records the ids that were read at `now`."""
        for row_id in ids:
            self.seen[row_id] = now
        for row_id in sorted(self.seen):
            if row_id != self.low + 1 and self.seen[row_id] > now - self.patience_sec:
                break
            self.low = row_id
            del self.seen[row_id]
