"""The most popular items, of all or of one category: candidates for every user."""

from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

HALF_LIVES: Final = 3


class Popular(Struct, frozen=True):
    """Item numbers (int32), each once, of the items that are most popular by any half-life.

    `scores` (float32) are the popularities in purchases, a row for each item: by the hour, by the day and by the week.
    `log_ms`: the time of the latest event, by which all that ages goes.
    """

    numbers: bytes = b""
    scores: bytes = b""
    log_ms: int = 0

    def by_half_life(self) -> NDArray[np.float32]:
        """The scores, a column for each half-life."""
        return np.frombuffer(self.scores, np.float32).reshape(-1, HALF_LIVES)


NO_POPULAR: Final = Popular()
