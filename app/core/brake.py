"""When to stop storing dead letters: too many messages that were read and cannot be counted.

A client may send a few such messages, and all those of one user fail while that user's row is damaged or refused. So
many of several users mean a fault of ours (in the fold, in a constraint), and the messages are good.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice

from msgspec import Struct, field

User = bytes | None
"""The key of a message; None: it has none, and nobody knows whose it is."""


class Brake(Struct):
    """Allows `max_in_row` dead letters in a row, and `max_in_window` among the last `window` messages.

    Those of one user, with none of others between, count once as long as others' messages are counted and none of that
    user's is: then the fault is that user's.
    """

    max_in_row: int = 10
    max_in_window: int = 50
    window: int = 1000
    _in_row: int = 0
    _row: set[User] = field(default_factory=set)
    """The users of the dead letters since the last message that was counted."""
    _seen: int = 0
    _refused: deque[tuple[int, User]] = field(default_factory=deque)
    _stuck: set[User] = field(default_factory=set)
    """Users with a dead letter in the window, none of whose messages was counted since."""
    _counted_at: dict[User, int] = field(default_factory=dict)
    """When messages of the latest two users were counted."""

    def counted(self, messages: int, users: Iterable[User]) -> None:
        """So many messages were counted, which are of these users."""
        if messages:
            users = set(users)
            self._in_row = 0
            self._row.clear()
            self._seen += messages
            self._stuck -= users
            for user in islice(users, 2):
                self._counted_at.pop(user, None)
                self._counted_at[user] = self._seen
            while len(self._counted_at) > 2:
                del self._counted_at[next(iter(self._counted_at))]
            self._forget()

    def refused(self, user: User) -> None:
        """A message became a dead letter."""
        is_the_users = self.blames(user)
        self._seen += 1
        self._row.add(user)
        if not is_the_users:
            self._in_row += 1
            self._refused.append((self._seen, user))
            if user is not None:
                self._stuck.add(user)
        self._forget()

    def allows(self, user: User) -> bool:
        """Whether the next message, which is of this user, may become a dead letter."""
        if self.blames(user):
            return True
        return self._in_row < self.max_in_row and len(self._refused) < self.max_in_window

    def blames(self, user: User) -> bool:
        """Whether messages of others can be counted, and those of this user cannot."""
        return (
            user in self._stuck
            and self._row <= {user}
            and any(other != user and at > self._seen - self.window for other, at in self._counted_at.items())
        )

    def _forget(self) -> None:
        # The next message makes the window whole.
        while self._refused and self._refused[0][0] <= self._seen + 1 - self.window:
            self._stuck.discard(self._refused.popleft()[1])
