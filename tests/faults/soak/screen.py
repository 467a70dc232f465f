"""The live screen: load, the fault that is on, backlog, violations. Without a terminal, a line for each round."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from tests.faults.soak.report import Report


class Screen:
    """A context manager."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=2, transient=True, auto_refresh=console.is_terminal)
        self._phase = "starting"

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def phase(self, what: str) -> None:
        """What is going on now."""
        self._phase = what

    def ended(self, line: str) -> None:
        """A round has ended."""
        self._console.print(line, highlight=False)

    def show(self, report: Report, *, left_sec: float, backlog: str) -> None:
        if not self._console.is_terminal:
            return
        table = Table.grid(padding=(0, 2))
        table.add_row("now", self._phase)
        table.add_row("left", f"{left_sec / 60:.1f} minutes")
        table.add_row("load", ", ".join(f"{name} {count}" for name, count in report.events.items()))
        table.add_row("answers", ", ".join(f"{name} {count}" for name, count in report.answers.items()))
        table.add_row("kills", str(sum(report.kills.values())))
        table.add_row("freezes", str(sum(report.freezes.values())))
        table.add_row("backlog", backlog)
        table.add_row("violations", str(len(report.violations)))
        self._live.update(table)
