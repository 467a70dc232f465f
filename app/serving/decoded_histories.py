"""Histories that need no decoding, since their bytes are those of a moment ago: a page has several lists of a user."""

from typing import Final

from app.core.history import NO_HISTORY, History, decode_history, standing

MOST_USERS: Final = 4_096
"""A decoded history takes some 5 KB with what is computed from it."""


class DecodedHistories:
    """The histories that were decoded last, each with the bytes that it was decoded from. They are without what was
    taken back.
    """

    def __init__(self, *, most_users: int = MOST_USERS) -> None:
        self._most_users = most_users
        self._kept: dict[str, tuple[bytes, History]] = {}

    def of(self, user_id: str, stored: bytes, *, keep: bool) -> History:
        """The user's history from its bytes; the same object as before where the bytes are the same. Without `keep`
        nothing of it stays here. Raises `msgspec.DecodeError` if `stored` is not an encoded history.
        """
        kept = self._kept.get(user_id)
        if kept is not None and kept[0] == stored:
            return kept[1]
        found = standing(decode_history(stored)) if stored else NO_HISTORY
        if keep and found.entries:
            if len(self._kept) >= self._most_users:
                self._kept.clear()
            self._kept[user_id] = stored, found
        return found

    def forget(self, user_id: str) -> None:
        self._kept.pop(user_id, None)
