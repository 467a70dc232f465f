"""The most popular items, of all or of one category: candidates for every user."""

from typing import Final

from msgspec import Struct


class Popular(Struct, frozen=True):
    """Item numbers (int32), each once, of the items that are most popular by any half-life.

    `scores` (float32) are the popularities by the week, in purchases. `log_ms`: the time of the latest event, by which
    all that ages goes.
    """

    numbers: bytes = b""
    scores: bytes = b""
    log_ms: int = 0


NO_POPULAR: Final = Popular()
