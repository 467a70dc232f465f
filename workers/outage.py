"""How long the relay and the consumer wait while a dependency is away."""

import random
from typing import Final

from app.core.retry import backoff

_BASE_SEC: Final = 0.25
_MAX_SEC: Final = 3.0


def delay(failures: int) -> float:
    """Seconds until the next try after so many failures in a row."""
    return backoff(failures, base_sec=_BASE_SEC, max_sec=_MAX_SEC, chance=random.random())
