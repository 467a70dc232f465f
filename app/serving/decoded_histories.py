"""Histories that need not be made again, since what was read is that of a moment ago: a page has several lists of a
user.
"""

from collections.abc import Callable
from typing import Any, Final

from app.core.history import History

MOST_USERS: Final = 4_096
"""A history of 10 items takes 4 KB with what is computed from it, one of 50 items 15 KB, one that has hashes of 1,000
items 60 KB; with own events that wait, 25 KB more.
"""


class DecodedHistories:
    """The histories that were made last, each with what it was made of."""

    def __init__(self, *, most_users: int = MOST_USERS) -> None:
        self._most_users = most_users
        self._kept: dict[str, tuple[Any, History]] = {}

    def of(self, user_id: str, read: Any, make: Callable[[], History], *, keep: bool) -> History:
        """The user's history, which `make` makes of `read`; the same object as before where `read` is equal. Without
        `keep` nothing of it stays here.
        """
        kept = self._kept.get(user_id)
        if kept is not None and kept[0] == read:
            if keep:
                self._kept[user_id] = read, kept[1]  # what others keep as well, so that it is there once
            return kept[1]
        found = make()
        if keep and found.entries:
            if len(self._kept) >= self._most_users:
                self._kept.clear()
            self._kept[user_id] = read, found
        return found

    def forget(self, user_id: str) -> None:
        self._kept.pop(user_id, None)
