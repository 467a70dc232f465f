"""`reco evaluate`: how good the recommendations would have been on a log."""

import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from app.core import synthetic
from app.core.ablations import ABLATIONS, AS_SERVED, POPULARITY, SENSITIVITY
from app.core.evaluation import Score, Trial, play
from app.core.events import MESSAGE_VERSION
from app.core.messages import ClickMessage, Message, PurchaseMessage, ViewMessage, WatchMessage
from app.core.model import MODEL, Model
from app.core.signals import LANDMARK_MS
from app.errors import UserError
from app.importing.mapping import ImportOptions
from app.importing.options import column_options
from app.importing.reader import BadRow, Row, detect, read_rows

_LEAST_TESTS = 10


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@column_options
@click.option(
    "--synthetic", "seed", type=int, metavar="SEED", help="Play a synthetic log with a known structure instead."
)
@click.option(
    "--last",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="The share of the events, at the end, that is tested.",
)
@click.option("--k", type=click.IntRange(1, 200), default=20, show_default=True, help="How many are recommended.")
@click.option("--frozen", is_flag=True, help="Learn only the first part; one list per user for the rest.")
@click.option("--ablate", is_flag=True, help="Also without each ingredient in turn.")
@click.option("--sensitivity", is_flag=True, help="Also with each constant lower and higher.")
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on stdout.")
def evaluate(
    file: Path | None,
    options: ImportOptions,
    seed: int | None,
    last: float,
    k: int,
    frozen: bool,
    ablate: bool,
    sensitivity: bool,
    as_json: bool,
) -> None:
    """Play a log of events in time order: recommend before each event, count the hits, then learn from it.

    FILE is CSV or JSON lines, gzipped or not, as for `reco import`. Needs no server. Prints the figures
    of the ranking as served, and those of popularity. docs/ranking.md says how to read them.
    """
    if (file is None) == (seed is None):
        raise UserError("give a FILE, or --synthetic SEED for a synthetic log, but not both")
    console = Console(stderr=True)
    if file is not None:
        messages, bad = _read(file, options)
    else:
        messages, bad = list(synthetic.log(synthetic.World(), random.Random(seed).random)), 0
    if len(messages) * last < _LEAST_TESTS:
        raise UserError(f"{len(messages)} events are too few: with --last {last:g} at least {_LEAST_TESTS} are tested")
    models: dict[str, Model] = {AS_SERVED: MODEL, POPULARITY: ABLATIONS[POPULARITY]}
    models |= ABLATIONS if ablate else {}
    models |= SENSITIVITY if sensitivity else {}
    scores = _run(console, messages, models, last=last, k=k, frozen=frozen)
    if as_json:
        sys.stdout.buffer.write(
            msgspec.json.encode({"events": len(messages), "bad_rows": bad, "k": k, "scores": scores})
        )
        sys.stdout.buffer.write(b"\n")
    else:
        Console().print(_table(scores, k, frozen=frozen))
    if bad:
        console.print(f"{bad} rows are not valid events and were left out; `reco import` says why.", style="yellow")


def _read(file: Path, options: ImportOptions) -> tuple[list[Message], int]:
    """The file's events by time (ties in the file's order), and the number of invalid rows.

    Only ages matter, so the log is shifted to end at the landmark of forward decay: its dates may lie outside the years
    that forward decay covers.
    """
    rows = list(read_rows(file, detect(file, options), latest_ms=time.time_ns() // 1_000_000))
    messages = [_message(row, number) for number, row in enumerate(rows) if isinstance(row, Row)]
    found = [message for message in messages if message is not None]
    moved_ms = LANDMARK_MS - max((message.ts_ms for message in found), default=LANDMARK_MS)
    for message in found:
        message.ts_ms += moved_ms
    return sorted(found, key=lambda message: message.ts_ms), sum(isinstance(row, BadRow) for row in rows)


def _message(row: Row, number: int) -> Message | None:
    """None for an impression, which is not a choice of the user."""
    fields: dict[str, Any] = {
        "v": MESSAGE_VERSION,
        "event_id": f"row-{number:08}",
        "user_id": row.user_id,
        "session_id": row.session_id,
        "ts_ms": row.ts_ms,
        "received_ms": row.ts_ms,
        "item_id": row.item_id,
    }
    if row.event_type == "watch":
        return WatchMessage(
            watch_time_sec=row.watch_time_sec or 0.0,
            percent_watched=row.percent_watched,
            ended=row.ended,
            **fields,
        )
    if row.event_type == "purchase":
        return PurchaseMessage(**fields)
    if row.event_type == "click":
        return ClickMessage(**fields)
    if row.event_type == "view":
        return ViewMessage(**fields)
    return None


def _run(
    console: Console, messages: list[Message], models: Mapping[str, Model], *, last: float, k: int, frozen: bool
) -> dict[str, Score]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    scores = {}
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(messages) * len(models))
        for number, (name, model) in enumerate(models.items()):
            progress.update(task, description=name)
            trial = Trial(model, k=k)
            for done in play(messages, trial, last=last, frozen=frozen):
                progress.update(task, completed=number * len(messages) + done)
            scores[name] = trial.score()
    return scores


def _table(scores: Mapping[str, Score], k: int, *, frozen: bool) -> Table:
    tested = "users, one list each" if frozen else "events, each before it was learnt"
    table = Table(title=f"{next(iter(scores.values())).tests:,} {tested}")
    table.add_column("model")
    for name in (f"hit rate@{k}", f"NDCG@{k}", f"coverage@{k}"):
        table.add_column(name, justify="right")
    for name, score in scores.items():
        figures = (f"{score.hit_rate:.4f}", f"{score.ndcg:.4f}", f"{score.coverage:.3f}")
        table.add_row(name, *figures, style="bold" if name == AS_SERVED else None)
    return table
