"""What becomes of an outbox row that Kafka refused for the row's own sake."""

from app.core.retry import backoff


def retry_delay(attempts: int, *, max_attempts: int, base_sec: float, max_sec: float, chance: float) -> float | None:
    """Seconds until the next try after attempt number `attempts` (from 1) failed; None when it was the last."""
    if attempts >= max_attempts:
        return None
    return backoff(attempts, base_sec=base_sec, max_sec=max_sec, chance=chance)
