"""Histories that need not be made again, since what was read is that of a moment ago: a page has several lists of a
user.
"""

from collections.abc import Callable
from typing import Any, Final

from app.core.history import History

MOST_USERS: Final = 4_096
"""A history takes some 5 KB with what is computed from it, and what it was made of up to 10 KB."""


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
            return kept[1]
        found = make()
        if keep and found.entries:
            if len(self._kept) >= self._most_users:
                self._kept.clear()
            self._kept[user_id] = read, found
        return found

    def forget(self, user_id: str) -> None:
        self._kept.pop(user_id, None)
