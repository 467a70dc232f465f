"""Notices when one user has most of a log's rows: a guest account, a bot, or a column that does not name users."""

from collections import Counter
from collections.abc import Iterable
from itertools import islice
from typing import Final

_SAMPLED: Final = 10_000
_LEAST: Final = 100


class UserSample:
    """The users of the first rows."""

    def __init__(self) -> None:
        self._rows: Counter[str] = Counter()
        self._seen = 0

    def add(self, user_ids: Iterable[str]) -> None:
        if self._seen < _SAMPLED:
            taken = list(islice(user_ids, _SAMPLED - self._seen))
            self._rows.update(taken)
            self._seen += len(taken)

    def notice(self) -> str:
        """A warning if one user has more than half of the rows; else an empty string."""
        if self._seen < _LEAST:
            return ""
        ((user_id, rows),) = self._rows.most_common(1)
        if 2 * rows <= self._seen:
            return ""
        return (
            f"The user {user_id} has {rows:,} of the first {self._seen:,} rows. If that is a guest account or no "
            "user, leave its rows out (--where 'COLUMN!=VALUE'), or map another column: --map user_id=COLUMN."
        )
