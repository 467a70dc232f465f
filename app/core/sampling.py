"""Which events teach: of one user no more than a few an hour, whoever sends how many."""

from typing import Final

from app.core.signals import HOUR_MS

OF_ONE_USER: Final = 10
"""Events of one user that teach in an hour. With `learning.RATE` this bounds what one user can move: a weight by 1.0
in an hour, and by less than a third of that once some thousand events of others have taught."""

_SPACING: Final = 1.5
"""Of one user the events 1, 2, 3, 5, 8, 12, 18, 27, 41 and 62 of an hour teach. The first ten alone would teach how
visits begin, and a long visit goes on differently: of a dense log that costs 2 % of the hits."""

_MOST: Final = 10.0
"""An event stands for no more events than so many, so that none has most of the say."""

_MAX_USERS: Final = 100_000


class Sampling:
    """Remembers the users of the current hour only, and at most 100,000 of them; then nobody new teaches until the hour
    ends.
    """

    def __init__(self) -> None:
        self._hour = 0
        self._of_user: dict[str, tuple[int, int, int]] = {}
        """In this hour: the user's events, which of them taught last, and how many taught."""

    def takes(self, user_id: str, now_ms: int) -> float:
        """As `is_due`, of an event that teaches if it is."""
        stands_for = self.is_due(user_id, now_ms)
        if stands_for:
            self.taught(user_id)
        return stands_for

    def is_due(self, user_id: str, now_ms: int) -> float:
        """How many of the user's events this one stands for: itself, and those since the last one that taught. 0: it
        does not teach. `now_ms`: of a clock that users cannot set, but where a log is played.
        """
        hour = now_ms // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._of_user.clear()
        events, last, taught = self._of_user.get(user_id, (0, 0, 0))
        if not events and len(self._of_user) == _MAX_USERS:
            return 0.0
        events += 1
        self._of_user[user_id] = events, last, taught
        if taught == OF_ONE_USER or events < _SPACING * last:
            return 0.0
        return min(_MOST, float(events - last))

    def taught(self, user_id: str) -> None:
        """The user's event that was due counts among those that teach. Without this the next one is due."""
        events, _, taught = self._of_user[user_id]
        self._of_user[user_id] = events, events, taught + 1
