"""Whether all reads go to the primary, since a replica is behind what earlier ones have shown."""

from typing import Final

LONGEST_SEC: Final = 5.0


class CatchingUp:
    """A replica must have all that was shown before it is read again. A read of the primary shows more than it has. So
    one whose lag is longer than the time between two reads never catches up with those of the primary.

    Times are seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        self._since: float | None = None

    def begins(self, now: float, *, is_behind: bool) -> None:
        """A read begins, of the primary if the replica is behind."""
        if not is_behind:
            self._since = None
        elif self._since is None:
            self._since = now

    def takes_too_long(self, now: float) -> bool:
        """Whether it is behind at each read for `LONGEST_SEC` by now."""
        return self._since is not None and now - self._since >= LONGEST_SEC

    def end(self) -> None:
        """What earlier reads have shown is no longer asked for."""
        self._since = None
