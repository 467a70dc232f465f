"""When to retry an outbox row that Kafka refused, and where the next claim begins."""

from typing import Final

from app.core.retry import backoff

# Rows below the cursor (rescheduled, released by a relay that died, committed late) wait at most this long.
RESTART_AFTER_SEC: Final = 1.0


def retry_delay(attempts: int, *, max_attempts: int, base_sec: float, max_sec: float, chance: float) -> float | None:
    """Seconds until the next try after attempt number `attempts` (from 1) failed; None when it was the last."""
    if attempts >= max_attempts:
        return None
    return backoff(attempts, base_sec=base_sec, max_sec=max_sec, chance=chance)


class ClaimCursor:
    """The id where a claim starts its scan, so that it skips rows that are deleted, rescheduled or claimed by others.

    Index entries of deleted rows remain until vacuum removes them, and as long as an open transaction might see them. A
    claim from the start scans all of them, more and more as a backlog drains. The cursor restarts from 0 when a claim
    is not full, after an error, and once a second; that finds the rows below it.
    """

    def __init__(self) -> None:
        self._after = 0
        self._started_at: float | None = None

    def begin(self, now: float) -> int:
        """The id after which to scan. `now`: seconds of a monotonic clock."""
        if self._started_at is None or now - self._started_at >= RESTART_AFTER_SEC:
            self._after, self._started_at = 0, now
        return self._after

    def claimed(self, last_id: int) -> None:
        """Records a full claim and its greatest id."""
        self._after = max(self._after, last_id)

    def restart(self) -> None:
        """Makes the next claim scan from the start."""
        self._after, self._started_at = 0, None
