"""How long to wait before the next try."""


def backoff(attempt: int, *, base_sec: float, max_sec: float, chance: float) -> float:
    """Seconds before try number `attempt` + 1 (the first failure is attempt 1): doubling, capped, with jitter.

    `chance` in [0, 1) spreads the wait over the upper half of the step ("equal jitter", M. Brooker, "Exponential
    Backoff and Jitter", AWS Architecture Blog, 2015), so that clients that failed together do not retry
    together, and none retries at once.
    """
    if attempt < 1:
        raise ValueError(f"attempt is counted from 1, got {attempt}")
    step = min(max_sec, base_sec * 2.0 ** min(attempt - 1, 64))
    return step * (0.5 + 0.5 * chance)
