"""The local engine: each process reads all files, and folds its share of the users."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from app.adapters import counted_events
from app.rebuilding.processes import Show, in_processes, shown
from app.rebuilding.slices import Job, LogFile, fold_files

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

LOCAL: Final = "local"


class LocalLog(Struct, frozen=True):
    """The files in the order in which their events count."""

    files: Sequence[LogFile] = ()
    engine: str = LOCAL

    def contents(self) -> tuple[tuple[str, int], ...]:
        return tuple((file.path.name, file.path.stat().st_size) for file in self.files)

    async def fold(self, live: "Connection", jobs: Sequence[Job], show: Show) -> None:
        _, total = await counted_events.span(live)
        async with shown("Files", live, total, show):
            await in_processes(fold_files, [structs.replace(job, files=self.files) for job in jobs])
