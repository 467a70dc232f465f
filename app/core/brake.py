"""When to stop storing dead letters: too many messages that were read and cannot be counted.

A client may send a few such messages. So many mean a fault of ours (in the fold, in a constraint), and the messages
are good.
"""

from collections import deque

from msgspec import Struct, field


class Brake(Struct):
    """Allows `max_in_row` dead letters in a row, and `max_in_window` among the last `window` messages."""

    max_in_row: int = 10
    max_in_window: int = 50
    window: int = 1000
    _in_row: int = 0
    _seen: int = 0
    _refused_at: deque[int] = field(default_factory=deque)

    def counted(self, messages: int) -> None:
        """So many messages were counted."""
        if messages:
            self._in_row = 0
            self._seen += messages
            self._forget()

    def refused(self) -> None:
        """A message became a dead letter."""
        self._in_row += 1
        self._seen += 1
        self._refused_at.append(self._seen)
        self._forget()

    def allows(self) -> bool:
        """Whether the next message may become a dead letter."""
        return self._in_row < self.max_in_row and len(self._refused_at) < self.max_in_window

    def _forget(self) -> None:
        # The next message makes the window whole.
        while self._refused_at and self._refused_at[0] <= self._seen + 1 - self.window:
            self._refused_at.popleft()
