"""When a consumer that is behind leaves out a part of the pairs.

Of a full history, pairs are most of what an event costs. Which of them count, and how much, is in `app.core.pairing`.
"""

from typing import Final

from msgspec import Struct

_ENDS_AT_SHARE: Final = 0.1


class Thinning(Struct):
    """Begins when `begins_at` messages wait, and ends when a tenth of them do, so that it does not change back and
    forth at a lag that stays about the same. `begins_at` 0: never.
    """

    begins_at: int
    is_on: bool = False

    def follow(self, waiting: int) -> bool:
        """`waiting`: the messages that wait now. Returns whether this changes `is_on`."""
        before = self.is_on
        limit = self.begins_at * _ENDS_AT_SHARE if before else self.begins_at
        self.is_on = self.begins_at > 0 and waiting >= limit
        return self.is_on != before
