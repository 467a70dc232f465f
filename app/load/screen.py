"""Live progress on stderr: a line for each finished measurement, and below them what is going on."""

from types import TracebackType
from typing import Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from app.load.endurance import MinuteReading
from app.load.results import Sample


class LoadScreen(Protocol):
    """Where progress is shown."""

    def step(self, what: str) -> None:
        """Something begins."""

    def tick(self, done: float, total: float | None, note: str) -> None:
        """How far it is; `total` None when that is not known."""

    def measured(self, row: str, sample: Sample) -> None:
        """A row of this round is done."""

    def endured(self, minute: MinuteReading) -> None:
        """A minute of an endurance run is over."""


class RichScreen:
    """A context manager. Without a terminal only the lines are printed."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=20),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
            # The generator and the service need the processor more.
            refresh_per_second=2,
        )
        self._console = console
        self._task = self._progress.add_task("starting", total=None, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def step(self, what: str) -> None:
        self._progress.reset(self._task, total=None, description=what, note="")
        if not self._console.is_terminal:
            self._console.print(what)

    def tick(self, done: float, total: float | None, note: str) -> None:
        self._progress.update(self._task, completed=done, total=total, note=note)

    def measured(self, row: str, sample: Sample) -> None:
        values = sample.values
        parts = [f"{values['rate']:>10,.0f}/s"] if "rate" in values else [f"{'':>12}"]
        parts += [f"{name} {values[name]:.1f} ms" for name in ("p50", "p99") if name in values]
        parts += [f"{values['rss_mb']:.0f} MB" for _ in range(1) if "rss_mb" in values]
        errors = sum(sample.errors.values())
        self._console.print(f"  {row:<17}", *parts, *([f"[red]{errors:,} errors[/]"] if errors else []), sep="  ")

    def endured(self, minute: MinuteReading) -> None:
        self._console.print(
            f"  minute {minute.minute:<4} tables {minute.tables_mb:,.0f} MB, indexes {minute.indexes_mb:,.0f} MB, "
            f"{minute.dead_rows:,} dead rows, {minute.rss_mb:,.0f} MB RSS, {minute.lag:,.0f} events behind",
            soft_wrap=True,
        )
