"""Tells a draining backlog from a stalled one."""


class Stall:
    """`at` is told the number left, time after time. It may jump up, for what waits in one place is counted before what
    waits in the next; it stands still when it has not fallen from one reading to another for `patience_sec`.
    """

    def __init__(self, patience_sec: float, now: float) -> None:
        self._patience_sec = patience_sec
        self._fell_at = now
        self._last: int | None = None

    def at(self, left: int, now: float) -> bool:
        if self._last is None or left < self._last:
            self._fell_at = now
        self._last = left
        return now - self._fell_at > self._patience_sec
