"""What an import has read and written so far, and who is told."""

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import Struct

from app.errors import UserError
from app.importing.backlog import IdSample
from app.importing.rows import BadRow
from app.importing.time_order import TimeOrder
from app.importing.user_sample import UserSample

_HOPELESS_ROWS: Final = 10_000


class Counts(Struct):
    """Counts of the rows so far. `pos`: bytes read of all files. `queued`: events that wait for a relay."""

    read: int = 0
    rejected: int = 0
    pos: int = 0
    queued: int = 0

    def notice(self) -> str:
        """What is remarkable about the rows, or an empty string."""
        return ""

    def mostly_rejected(self) -> bool:
        """Whether more than half of the rows were rejected."""
        return 2 * self.rejected > self.read

    def sums(self) -> list[tuple[str, int, str]]:
        """The totals of the accepted rows: name, number, and a remark or an empty string."""
        return []


class ImportCounts(Counts):
    """Counts of events."""

    imported: int = 0
    duplicates: int = 0
    erased: int = 0
    sample: IdSample = msgspec.field(default_factory=IdSample)
    users: UserSample = msgspec.field(default_factory=UserSample)
    order: TimeOrder = msgspec.field(default_factory=TimeOrder)

    def notice(self) -> str:
        return "\n".join(filter(None, (self.users.notice(), self.order.notice())))

    def sums(self) -> list[tuple[str, int, str]]:
        remark = "stored before, not counted again" if self.duplicates else ""
        left_out = "of before the erasure of their users, left out" if self.erased else ""
        return [
            ("imported", self.imported, ""),
            ("duplicates", self.duplicates, remark),
            ("erased", self.erased, left_out),
        ]


class Watcher:
    """Receives progress; the default ignores it."""

    def moved(self, counts: Counts) -> None:
        """A batch was written, or the import still waits for the relay (`counts.queued` > 0)."""

    def rejected(self, rows: Sequence[BadRow]) -> None:
        """These rows were rejected."""


def refuse_hopeless(counts: Counts) -> None:
    """Raises `UserError` once thousands of rows were read and none was good."""
    if counts.rejected == counts.read >= _HOPELESS_ROWS:
        raise UserError(
            f"All of the first {counts.read:,} rows were rejected, so the import stopped. "
            "Correct the options or the file by the reasons above, then run it again."
        )
