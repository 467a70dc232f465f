"""Which events teach: a share of all, and of one user no more than a few an hour, whoever sends how many."""

from typing import Final

from app.core.signals import HOUR_MS

OF_ONE_USER: Final = 10
"""Events of one user that teach in an hour. With `learning.RATE` this bounds what one user can move: a weight by 1.0
in an hour, and by about a sixth of that once some thousand events of others have taught."""

_MAX_USERS: Final = 100_000


class Sampling:
    """Every `stride`-th event teaches, as long as its user has not taught enough in this hour.

    Remembers the users of the current hour only, and at most 100,000 of them; then nobody new teaches until the hour
    ends.
    """

    def __init__(self, stride: int) -> None:
        self._stride = stride
        self._seen = 0
        self._hour = 0
        self._taught: dict[str, int] = {}

    def takes(self, user_id: str, now_ms: int) -> bool:
        """`now_ms`: of the log's clock."""
        self._seen += 1
        if self._seen % self._stride:
            return False
        hour = now_ms // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._taught.clear()
        taught = self._taught.get(user_id, 0)
        if taught == OF_ONE_USER or (not taught and len(self._taught) == _MAX_USERS):
            return False
        self._taught[user_id] = taught + 1
        return True
