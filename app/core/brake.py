"""When to stop storing dead letters: too many messages that were read and cannot be counted.

A client may send a few such messages, and all those of one user fail while that user's row is damaged or refused. So
many others mean a fault of ours (in the fold, in a constraint), and the messages are good.
"""

from collections import deque

from msgspec import Struct, field


class Brake(Struct):
    """Allows `max_in_row` dead letters in a row, and `max_in_window` among the last `window` messages.

    `user`, everywhere: whose rows alone are why a message fails; None: it would fail for others, too. The dead letters
    of such a user count once in a window.
    """

    max_in_row: int = 10
    max_in_window: int = 50
    window: int = 1000
    _seen: int = 0
    _counted_at: int = 0
    """Which message was the last that was counted."""
    _refused: deque[tuple[int, str | None]] = field(default_factory=deque)
    """Which messages of the window became dead letters that count, each with its user."""

    def counted(self, messages: int) -> None:
        """So many messages were counted."""
        if messages:
            self._seen += messages
            self._counted_at = self._seen
            self._forget()

    def refused(self, user: str | None) -> None:
        """A message became a dead letter."""
        self._seen += 1
        if not self.knows(user):
            self._refused.append((self._seen, user))
        self._forget()

    def allows(self, user: str | None) -> bool:
        """Whether a message may become a dead letter."""
        in_row = sum(number > self._counted_at for number, _ in self._refused)
        return self.knows(user) or (in_row < self.max_in_row and len(self._refused) < self.max_in_window)

    def knows(self, user: str | None) -> bool:
        """Whether a dead letter of this user counts already."""
        return user is not None and any(user == known for _, known in self._refused)

    def _forget(self) -> None:
        # The next message makes the window whole.
        while self._refused and self._refused[0][0] <= self._seen + 1 - self.window:
            self._refused.popleft()
