"""The minutes of an endurance run as tables, and what they say."""

from collections.abc import Sequence
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from app.load.endurance import LEAST_MINUTES, MinuteReading, Slope, TableSize, slopes


def minutes_table(minutes: Sequence[MinuteReading]) -> Table:
    table = Table(title="Each minute", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in (
        "minute", "events/s", "p99 ms", "/reco/s", "p99 ms", "behind", "tables MB", "indexes MB", "dead rows", "RSS MB",
    ):  # fmt: skip
        table.add_column(heading, justify="right", no_wrap=True)
    for one in minutes:
        table.add_row(
            str(one.minute),
            f"{one.events_per_sec:,.0f}",
            f"{one.event_p99:,.0f}",
            f"{one.reads_per_sec:,.0f}",
            f"{one.read_p99:,.0f}",
            f"{one.lag:,.0f}",
            f"{one.tables_mb:,.1f}",
            f"{one.indexes_mb:,.1f}",
            f"{one.dead_rows:,}",
            f"{one.rss_mb:,.0f}",
        )
    return table


def tables_table(sizes: Sequence[TableSize]) -> Table:
    table = Table(title="Tables at the end", title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("table", no_wrap=True)
    for heading in ("rows", "dead rows", "table MB", "indexes MB", "bytes a row"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in (size for size in sizes if size.live_rows or size.dead_rows):
        bytes_a_row = (one.table_bytes + one.index_bytes) / one.live_rows if one.live_rows else 0.0
        table.add_row(
            one.table,
            f"{one.live_rows:,}",
            f"{one.dead_rows:,}",
            f"{one.table_bytes / 1e6:,.1f}",
            f"{one.index_bytes / 1e6:,.1f}",
            f"{bytes_a_row:,.0f}",
        )
    return table


def verdict_lines(minutes: Sequence[MinuteReading]) -> list[Text]:
    """What grows and what does not."""
    found = slopes(minutes)
    if not found:
        return [
            Text(f"No verdict: it needs {LEAST_MINUTES} minutes or more, and here are {len(minutes)}.", style="yellow")
        ]
    return [_slope_line(slope) for slope in found]


_NAMES: Final = {
    "tables_mb": "the size of the tables",
    "indexes_mb": "the size of the indexes",
    "rss_mb": "the memory of the process",
    "lag": "the number of events not counted yet",
    "event_p99": "the p99 of events",
    "read_p99": "the p99 of /reco",
}


def _slope_line(slope: Slope) -> Text:
    word, style = ("flat", "green") if slope.passed else ("GROWS", "red")
    of = " of a minute's events" if slope.name == "lag" else ""
    said = f"{word}: {_NAMES[slope.name]} by {slope.rise:+.1%}{of} from the first third to the end"
    said += f" (limit {slope.limit:.0%})"
    if not slope.passed and slope.most:
        said += "; most of it " + ", ".join(f"{table} by {grown / 1e6:,.1f} MB" for table, grown in slope.most)
    return Text(said, style=style)
