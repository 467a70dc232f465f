"""Exports events or impressions: all, or what came since the last time, in numbered files.

The file of progress names the mark where the run ends before the first file is written, and the position after each
file. So a run that was interrupted goes on with the same rows in the same files.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, get_args

import msgspec
import psycopg
from msgspec import Struct

from app.adapters import exported_events
from app.adapters.exported_events import Mark
from app.core.window_length import LONGEST_SEC, following, shortened
from app.exporting.files import table_rows, whole_file
from app.exporting.progress import ExportProgress, Run, load_progress, save_progress
from app.exporting.tables import EVENTS, IMPRESSIONS, ExportTable, FileFormat, event_rows, impression_rows

_WINDOW_ROWS: Final = 20_000
_INSTANT: Final = timedelta(microseconds=1)


class Exported(Struct, frozen=True):
    """What a run wrote. `since`: the end of the run before; `until`: of this one."""

    files: list[str]
    rows: int
    since: datetime | None
    until: datetime


def export_log(
    connection: psycopg.Connection,
    folder: Path,
    *,
    impressions: bool,
    file_format: FileFormat,
    file_rows: int,
    report: Callable[[Path, int], None],
) -> Exported:
    """Writes `000001.parquet` and so on to the folder, each of about `file_rows` rows, and tells `report` of each.

    Raises `UserError`, psycopg's errors and OSError; what was written is kept.
    """
    progress = load_progress(folder)
    since = progress.since
    if progress.run is None:
        progress = msgspec.structs.replace(progress, run=Run(exported_events.mark(connection)))
        save_progress(folder, progress)
    assert progress.run is not None
    upto = progress.run.upto
    _remove_unrecorded(folder, progress)
    begin = progress.run.reached or exported_events.begin_of(connection, since)
    windows = _Windows(
        connection, begin or upto.taken_at, since, upto, impressions=impressions, wanted=min(_WINDOW_ROWS, file_rows)
    )
    files: list[str] = []
    rows = 0
    while (first := next(windows, None)) is not None:
        path = folder / f"{progress.files + 1:06}.{file_format}"
        found = _write_file(path, IMPRESSIONS if impressions else EVENTS, first, windows, file_rows)
        progress = ExportProgress(progress.files + 1, since, Run(upto, windows.reached))
        save_progress(folder, progress)
        files.append(path.name)
        rows += found
        report(path, found)
    save_progress(folder, ExportProgress(progress.files, upto))
    return Exported(files, rows, since.taken_at.astimezone(UTC) if since else None, upto.taken_at.astimezone(UTC))


def _write_file(path: Path, table: ExportTable, first: list[tuple[Any, ...]], more: "_Windows", file_rows: int) -> int:
    """Writes the rows, and those of further windows while there is room. How many rows."""
    with whole_file(path) as out, table_rows(out, table, parquet=path.suffix == ".parquet") as add:
        add(first)
        written = len(first)
        while written < file_rows and (rows := next(more, None)) is not None:
            add(rows)
            written += len(rows)
    return written


def _remove_unrecorded(folder: Path, progress: ExportProgress) -> None:
    """Removes files that an interrupted run put in place and did not record. This run writes them again, perhaps in
    another format.
    """
    for path in folder.iterdir():
        numbered = path.suffix.removeprefix(".") in get_args(FileFormat) and path.stem.isdigit()
        if numbered and int(path.stem) > progress.files:
            path.unlink()


class _Windows(Iterator[list[tuple[Any, ...]]]):
    """The rows of one window of time after the other, without empty ones. `reached`: the end of the last one."""

    def __init__(
        self,
        connection: psycopg.Connection,
        begin: datetime,
        since: Mark | None,
        upto: Mark,
        *,
        impressions: bool,
        wanted: int,
    ) -> None:
        self.reached = begin
        self._connection = connection
        self._since = since
        self._upto = upto
        self._impressions = impressions
        self._wanted = wanted
        self._length_sec = LONGEST_SEC

    def __next__(self) -> list[tuple[Any, ...]]:
        last = self._upto.taken_at + _INSTANT
        to_rows = impression_rows if self._impressions else event_rows
        while self.reached < last:
            end = self._window(last)
            found = exported_events.read(
                self._connection,
                self.reached,
                end,
                since=self._since,
                upto=self._upto,
                impressions=self._impressions,
            )
            self.reached = end
            if found:
                return to_rows(found)
        raise StopIteration

    def _window(self, last: datetime) -> datetime:
        length_sec = min(self._length_sec, (last - self.reached).total_seconds())
        while True:
            end = self.reached + timedelta(seconds=length_sec)
            found = exported_events.count(self._connection, self.reached, end)
            shorter = shortened(length_sec, found, self._wanted)
            if shorter is None:
                self._length_sec = following(length_sec, found, self._wanted)
                return end
            length_sec = shorter
