"""The local engine: each process reads all files, and folds its share of the users."""

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from app.adapters import counted_events
from app.importing.mapping import ImportOptions
from app.importing.reader import BadRow, read_rows
from app.importing.records import RowIds
from app.rebuilding.processes import Report, Show, in_processes, shown
from app.rebuilding.slices import Job, LogFile, fold_files

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

LOCAL: Final = "local"
_LOOKED_UP_AT_ONCE: Final = 2_000


class LocalLog(Struct, frozen=True):
    """The files in the order in which their events count, and what they are read by. `latest_ms`: later rows are no
    events.
    """

    files: Sequence[LogFile] = ()
    latest_ms: int = 0
    options: ImportOptions = ImportOptions()
    engine: str = LOCAL

    @property
    def tells_ids(self) -> bool:
        return all(file.layout.columns.tell_ids for file in self.files)

    def contents(self) -> tuple[tuple[str, int], ...]:
        return tuple((file.path.name, file.path.stat().st_size) for file in self.files)

    async def other_events(self, live: "Connection", wanted: int, show: Show) -> int:
        found = 0
        event_ids = self._other_event_ids()
        while found < wanted and (some := list(islice(event_ids, _LOOKED_UP_AT_ONCE))):
            show(Report("Looking for other types", found, wanted))
            found += len(some) - len(await counted_events.known_ids(live, some))
        return min(found, wanted)

    def _other_event_ids(self) -> Iterator[str]:
        for file in self.files:
            event_type = file.layout.columns.event_type
            if event_type is not None and file.layout.columns.known.get(event_type) is None:
                continue
            ids = RowIds()
            for row in read_rows(file.path, file.layout, latest_ms=self.latest_ms):
                if not isinstance(row, BadRow) and row.counts is not None:
                    yield ids.event_id(row)

    async def fold(self, live: "Connection", jobs: Sequence[Job], show: Show) -> None:
        _, total = await counted_events.span(live)
        async with shown("Files", live, total, show):
            await in_processes(fold_files, [structs.replace(job, files=self.files) for job in jobs])

    async def tidy_up(self, started: datetime) -> str | None:
        return None  # there is nothing
