"""What becomes of an outbox row that Kafka refused for the row's own sake, and where the next claim begins."""

from typing import Final

from app.core.retry import backoff

# Rows below the cursor (put back, released by a relay that died, committed late) wait at most this long.
RESTART_AFTER_SEC: Final = 1.0


def retry_delay(attempts: int, *, max_attempts: int, base_sec: float, max_sec: float, chance: float) -> float | None:
    """Seconds until the next try after attempt number `attempts` (from 1) failed; None when it was the last."""
    if attempts >= max_attempts:
        return None
    return backoff(attempts, base_sec=base_sec, max_sec=max_sec, chance=chance)


class ClaimCursor:
    """Where a claim begins to look, so that it need not walk over what is deleted, put back or claimed by others.

    In the index the places of deleted rows remain until vacuum comes, and for as long as any transaction is open that
    might see them; a claim from the start walks over all of them, more and more as a backlog drains. Rows below the
    cursor are found when it starts again from 0: when a claim comes short, after a fault, and once a second.
    """

    def __init__(self) -> None:
        self._after = 0
        self._started_at: float | None = None

    def begin(self, now: float) -> int:
        """The id after which to look. `now` in seconds of a monotonic clock."""
        if self._started_at is None or now - self._started_at >= RESTART_AFTER_SEC:
            self._after, self._started_at = 0, now
        return self._after

    def claimed(self, last_id: int) -> None:
        """A claim came back full; its greatest id."""
        self._after = max(self._after, last_id)

    def restart(self) -> None:
        """The next claim looks from the start."""
        self._after, self._started_at = 0, None
