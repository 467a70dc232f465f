"""Shows an import on the screen: progress with rate and time left, then the totals."""

import re
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from app.importing.counts import Counts, Watcher
from app.importing.reader import FileLayout
from app.importing.rejects import RejectFile
from app.importing.rows import BadRow
from app.importing.streams import packed_size

_SHOWN_REASONS: Final = 5
_REPORTED_REASONS: Final = 100
# What differs between reasons of one kind: values in quotes, and numbers.
_VARYING: Final = re.compile(r"""'(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?|--map-type (?:'[^']*'|\S+)|\d+""")
_COUNTED_REASONS: Final = 1_000
_SAY_EVERY_SEC: Final = 5.0


class ImportScreen(Watcher):
    """A context manager that shows progress bars, or a line now and then where stderr is no terminal."""

    def __init__(
        self,
        console: Console,
        paths: Sequence[Path],
        rejects: RejectFile | None,
        *,
        say_every_sec: float = _SAY_EVERY_SEC,
    ) -> None:
        self._say_every_sec = say_every_sec
        self._console = console
        self._rejects = rejects
        self._said = time.monotonic()
        self._total = sum(map(packed_size, paths))
        self._reasons: Counter[str] = Counter()
        self._examples: dict[str, str] = {}
        self._started = self._moved = time.monotonic()
        self._progress = bars(console, width=10)
        self._reading = self._progress.add_task("Importing", total=self._total, note="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Freezes the bars, so that other text can follow."""
        self._progress.stop()

    def begin(self, path: Path) -> None:
        """The rows from here on are of this file."""
        if self._rejects is not None:
            self._rejects.begin(path)

    def moved(self, counts: Counts) -> None:
        self._moved = time.monotonic()
        note = f"{counts.read:,} rows, {self._rate(counts):,.0f}/s"
        if counts.rejected:
            note += f", {counts.rejected:,} rejected"
        if counts.queued:
            note += f"; {counts.queued:,} events wait for a relay"
        self._progress.update(self._reading, completed=counts.pos, note=note)
        self._say(f"{counts.pos / max(self._total, 1):.0%}, {note}")

    def rejected(self, rows: Sequence[BadRow]) -> None:
        if self._rejects is not None:
            self._rejects.add(rows)
        for row in rows:
            kind = _VARYING.sub("…", row.reason)
            if kind in self._reasons or len(self._reasons) < _COUNTED_REASONS:
                self._reasons[kind] += 1
                self._examples.setdefault(kind, row.reason)

    def waiting(self, description: str) -> "WaitBar":
        say = partial(self._say, f"{description}: ")
        return WaitBar(self._progress, self._progress.add_task(description, total=None, note=""), say)

    def _say(self, *words: str) -> None:
        """Off a terminal, at most once in a while."""
        now = time.monotonic()
        if not self._console.is_terminal and now - self._said >= self._say_every_sec:
            self._said = now
            self._console.print(*words, sep="", highlight=False, soft_wrap=True)

    def summary(self, counts: Counts) -> Table:
        """The totals and the most frequent reasons; each row read is in exactly one total."""
        table = _table()
        table.add_row("rows read", f"{counts.read:,}", f"{self._rate(counts):,.0f}/s")
        for name, number, remark in counts.sums():
            table.add_row(name, f"{number:,}", remark)
        return self._with_reasons(table, counts)

    def report(self, counts: Counts) -> dict[str, Any]:
        """The totals and the reasons by kind, for a program."""
        reasons = [
            {"rows": times, "reason": self._examples[kind]}
            for kind, times in self._reasons.most_common(_REPORTED_REASONS)
        ]
        totals = {name: number for name, number, _ in counts.sums()}
        return {"read": counts.read, **totals, "rejected": counts.rejected, "reasons": reasons}

    def reasons(self, counts: Counts) -> Table:
        """The number of rejected rows and the most frequent reasons."""
        return self._with_reasons(_table(), counts)

    def _with_reasons(self, table: Table, counts: Counts) -> Table:
        where = f"see {self._rejects.path}" if self._rejects is not None and counts.rejected else ""
        table.add_row("rejected", f"{counts.rejected:,}", where)
        for kind, times in self._reasons.most_common(_SHOWN_REASONS):
            table.add_row("", f"{times:,}", Text(self._examples[kind]))
        return table

    def _rate(self, counts: Counts) -> float:
        return counts.read / max(self._moved - self._started, 1e-3)


def _table() -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(overflow="fold")
    return table


def bars(console: Console, *, width: int) -> Progress:
    """Bars with descriptions of so many characters and a field `note`; nothing off a terminal."""
    return Progress(
        TextColumn(f"{{task.description:<{width}}}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class WaitBar:
    """A bar for a wait: it fills as fewer events are left."""

    def __init__(self, progress: Progress, task: TaskID, say: Callable[[str], None]) -> None:
        self._say = say
        self._progress = progress
        self._task = task
        self._most = 0

    def __call__(self, left: int) -> None:
        self._most = max(self._most, left)
        done, total = self._most - left, max(self._most, 1)
        self._progress.update(
            self._task,
            total=total,
            completed=done if self._most else total,
            note=f"{left:,} events left" if left else "",
        )
        self._say(f"{left:,} events left")


def describe(layout: FileLayout[Any], event_type: str | None = None) -> str:
    """What was guessed: the preset, which column is used for which field, and which rows are taken."""
    fields = layout.columns.fields
    if fields.get("session_id") and fields.get("user_id") not in (None, fields["session_id"]):
        fields = fields | {"user_id": f"{fields['user_id']}, else {fields['session_id']}"}
    parts = [f"{field} ← {column}" for field, column in fields.items()]
    if event_type:
        parts.append(f"event_type = {event_type}")
    parts += [f"{one.name} ({one.type}) ← {one.column}" for one in getattr(layout.columns, "attributes", ())]
    if "%" in layout.columns.time_format:
        parts.append(f"times as {layout.columns.time_format}")
    if layout.columns.time_format == "excel":
        parts.append("times as Excel's day numbers (--time-format)")
    if layout.where:
        parts.append(f"only rows with {' and '.join(map(str, layout.where))}")
    if layout.left_out:
        parts.append(f"without the sheets {', '.join(layout.left_out)}, which have other columns")
    told = ", ".join(parts)
    if layout.preset is None:
        return told
    return f"{layout.preset.title}: {told} (--preset {layout.preset.name}; none reads it without)"
