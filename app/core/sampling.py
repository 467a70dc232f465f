"""Which events teach: of one user no more than a few an hour, whoever sends how many."""

from typing import Final, NamedTuple

from app.core.signals import HOUR_MS

OF_ONE_USER: Final = 10
"""Events of one user that teach in any hour. With `learning.RATE` this bounds what one user can move: a weight by 1.0
in an hour, and by less than a third of that once some thousand events of others have taught."""

_SPACING: Final = 1.5
"""Of one user the events 1, 2, 3, 5, 8, 12, 18, 27, 41 and 62 of an hour teach. The first ten alone would teach how
visits begin, and a long visit goes on differently: of a dense log that costs 2 % of the hits."""

_MOST: Final = 10.0
"""An event stands for no more events than so many, so that none has most of the say."""

_MAX_USERS: Final = 100_000


class _User(NamedTuple):
    """In an hour that began with an event: how many events, which of them taught last, and when events taught."""

    began_ms: int
    events: int = 0
    last: int = 0
    taught_ms: tuple[int, ...] = ()


class Sampling:
    """Remembers the users of this hour of the clock and of the one before, and at most 100,000 new ones an hour; then
    nobody new teaches until the hour ends.
    """

    def __init__(self) -> None:
        self._hour = 0
        self._users: dict[str, _User] = {}
        self._of_hour_before: dict[str, _User] = {}

    def takes(self, user_id: str, now_ms: int) -> float:
        """As `is_due`, of an event that teaches if it is."""
        stands_for = self.is_due(user_id, now_ms)
        if stands_for:
            self.taught(user_id, now_ms)
        return stands_for

    def is_due(self, user_id: str, now_ms: int) -> float:
        """How many of the user's events this one stands for: itself, and those since the last one that taught. 0: it
        does not teach. `now_ms`: of a clock that users cannot set, but where a log is played.
        """
        user = self._user(user_id, now_ms)
        if user is None:
            return 0.0
        events = user.events + 1
        self._users[user_id] = user._replace(events=events)
        if len(user.taught_ms) >= OF_ONE_USER or events < _SPACING * user.last:
            return 0.0
        return min(_MOST, float(events - user.last))

    def taught(self, user_id: str, now_ms: int) -> None:
        """The user's event that was due counts among those that teach. Without this the next one is due.

        The hour may have ended since it was due.
        """
        user = self._user(user_id, now_ms)
        if user is not None:
            self._users[user_id] = user._replace(last=user.events, taught_ms=(*user.taught_ms, now_ms))

    def _user(self, user_id: str, now_ms: int) -> _User | None:
        """None: there are too many."""
        hour = now_ms // HOUR_MS
        if hour != self._hour:
            self._hour = hour
            self._of_hour_before, self._users = self._users, {}
        user = self._users.get(user_id)
        if user is None:
            if len(self._users) == _MAX_USERS:
                return None
            user = self._of_hour_before.get(user_id) or _User(now_ms)
        # Of any hour, not of each: or twice as many would teach around its end. A clock that was set back ends it, too.
        taught_ms = tuple(at_ms for at_ms in user.taught_ms if abs(now_ms - at_ms) < HOUR_MS)
        if abs(now_ms - user.began_ms) >= HOUR_MS:
            return _User(now_ms, taught_ms=taught_ms)
        return user if len(taught_ms) == len(user.taught_ms) else user._replace(taught_ms=taught_ms)
