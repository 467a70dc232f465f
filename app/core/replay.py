"""Which rows may be replayed."""

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

# Dedupe rows are kept at least this long (the settings refuse less): how far back a replay of events may reach.
DEDUPE_DAYS_LEAST: Final = 14
# How far back the service looks for events that were not counted, and a replay that is not told otherwise.
LOOK_BACK_DAYS: Final = 7


class Replayed(Protocol):
    @property
    def replays(self) -> int: ...


R = TypeVar("R", bound=Replayed)


def split_by_replays(rows: Sequence[R], max_replays: int | None) -> tuple[list[R], list[R]]:
    """Splits rows into those to replay and those already replayed `max_replays` times (None: no limit)."""
    if max_replays is None:
        return list(rows), []
    return [row for row in rows if row.replays < max_replays], [row for row in rows if row.replays >= max_replays]
