"""How old what a replica shows is, by positions in the primary's log and one clock: ours."""

from collections import deque
from typing import Final

_KEPT: Final = 600


class ReplicaLag:
    """Remembers where the primary's log was at which time of any monotonic clock."""

    def __init__(self) -> None:
        self._positions: deque[tuple[float, int]] = deque(maxlen=_KEPT)

    def primary_at(self, position: int, now: float) -> bool:
        """Records that the log of the primary had this length at `now`. Returns whether it is another log than before:
        another server was promoted, or a backup restored.
        """
        is_another = bool(self._positions) and position < self._positions[-1][1]
        if is_another:
            self._positions.clear()
        self._positions.append((now, position))
        return is_another

    def seconds(self, replayed: int, now: float) -> float | None:
        """For how long at most the replica lacks changes. None: for longer than is remembered.

        In steps of the time between two calls of `primary_at`.
        """
        for at, position in reversed(self._positions):
            if position <= replayed:
                return now - at
        return None
