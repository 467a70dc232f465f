"""Shows how far a rebuild is: a bar on a terminal, and a line every ten seconds elsewhere."""

import time
from types import TracebackType
from typing import Final, Self

from rich.console import Console

from app.importing.screen import bars
from app.rebuilding.processes import Report

_LINE_EVERY_SEC: Final = 10.0


class RebuildScreen:
    """A context manager; call it with each report."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._started = time.monotonic()
        self._said_at = 0.0
        self._stage = self._unit = ""
        self._at_first: int | None = None
        self._progress = bars(console, width=16)
        self._task = self._progress.add_task("Rebuilding", total=None, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def __call__(self, report: Report) -> None:
        now = time.monotonic()
        if self._at_first is None or report.unit != self._unit:
            # A rebuild that goes on has some already.
            self._at_first, self._started, self._unit = report.done, now, report.unit
        rate = (report.done - self._at_first) / max(now - self._started, 1e-3)
        # Nobody knows how many rows files hold before they are read.
        of_all = f" of {report.total:,}" if report.total else ""
        note = f"{report.done:,}{of_all} {report.unit}, {rate:,.0f}/s" if report.done or report.total else ""
        self._progress.update(
            self._task, description=report.stage, completed=report.done, total=report.total or None, note=note
        )
        if not self._console.is_terminal and (report.stage != self._stage or now - self._said_at >= _LINE_EVERY_SEC):
            self._console.print(f"{report.stage}: {note}" if note else report.stage, highlight=False, soft_wrap=True)
            self._said_at = now
        self._stage = report.stage
