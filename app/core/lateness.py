"""How long reads stay away from a replica that is late, or fails them, again and again: each change of servers reloads
all lists.
"""

from typing import Final

FIRST_SEC: Final = 5.0
LONGEST_SEC: Final = 300.0
FORGOTTEN_SEC: Final = 600.0


class Lateness:
    """Once it keeps up, reads come back at once, and later each time that it is late again within `FORGOTTEN_SEC`.

    Times are seconds of any monotonic clock.
    """

    def __init__(self) -> None:
        self.wait_sec = 0.0
        """For how long it has to keep up before reads come back."""
        self._late_at = float("-inf")
        self._is_away = False
        self._waits = False

    def is_late(self, now: float) -> None:
        if not self._is_away:
            again = now - self._late_at <= FORGOTTEN_SEC
            self.wait_sec = min(max(FIRST_SEC, 2 * self.wait_sec), LONGEST_SEC) if again else 0.0
        self._late_at = now
        self._is_away, self._waits = True, False

    def asks(self) -> None:
        """It is asked now. Until it has answered, nobody knows whether it keeps up."""
        self._waits = False

    def keep_away(self, now: float) -> bool:
        """Of a replica that keeps up now."""
        self._is_away = self._waits = self._is_away and now < self._late_at + self.wait_sec
        return self._waits

    def end(self) -> bool:
        """Lets reads come back before their time. Whether they were kept away from a replica that kept up."""
        waited, self._waits = self._waits, False
        self._is_away = self._is_away and not waited
        return waited
