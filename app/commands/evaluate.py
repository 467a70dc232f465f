"""`reco evaluate`: how good the recommendations would have been on a log."""

import os
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

from app.commands.evaluate_output import EvaluateResult, SavedWeights, print_tables
from app.core import synthetic
from app.core.content import Content, terms_of
from app.core.evaluation import Score, Trial, play, tests_in
from app.core.events import MESSAGE_VERSION
from app.core.messages import ActionMessage, ClickMessage, Message, PurchaseMessage, ViewMessage, WatchMessage
from app.core.model import MODEL, Model
from app.core.named_weights import checked, from_named, named
from app.core.rankers import LEARNED, MODELS, Ranker, ablated, learning, standard, unchanged, varied
from app.core.rolling_figures import LENGTH
from app.core.weights import Weights
from app.errors import UserError
from app.importing.counts import Counts, ImportCounts, refuse_hopeless
from app.importing.inputs import files_argument, found_files
from app.importing.mapping import ImportOptions
from app.importing.options import COLUMN_OPTIONS, column_options, refuse_options
from app.importing.reader import BadRow, ItemRow, Row, detect, detect_items, read_items, read_rows
from app.importing.records import RowIds
from app.importing.screen import ImportScreen, describe
from app.importing.streams import packed_size

_LEAST_TESTS = 10
_SHOW_EVERY_ROWS = 10_000


@click.command()
@files_argument(required=False)
@column_options
@click.option(
    "--synthetic", "seed", type=int, metavar="SEED", help="Play a synthetic log with a known structure instead."
)
@click.option(
    "--kind",
    type=click.Choice(list(synthetic.WORLDS)),
    default=synthetic.SHOP,
    show_default=True,
    help="The structure of the synthetic log.",
)
@click.option(
    "--last",
    type=click.FloatRange(0.0, 1.0, min_open=True, max_open=True),
    default=0.2,
    show_default=True,
    help="The share of the events, at the end, that is tested.",
)
@click.option("--k", type=click.IntRange(1, 200), default=LENGTH, show_default=True, help="How many are recommended.")
@click.option(
    "--items",
    "items_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The catalogue, as `reco import --items` reads it: items are placed by their content as well.",
)
@click.option(
    "--weights",
    "weights_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Also the weights of this file, as --save-weights writes it, without learning.",
)
@click.option(
    "--save-weights",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write what was learned to this file, with the figures.",
)
@click.option("--ablate", is_flag=True, help="Also learned without each feature in turn.")
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Also with each feature's weights, the learning rate and each constant lower and higher. The constants take a "
    "pass of their own each.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on stdout.")
@click.pass_context
def evaluate(
    context: click.Context,
    files: tuple[str, ...],
    options: ImportOptions,
    seed: int | None,
    kind: str,
    last: float,
    k: int,
    items_file: Path | None,
    weights_file: Path | None,
    save_weights: Path | None,
    ablate: bool,
    sensitivity: bool,
    as_json: bool,
) -> None:
    """Play a log of events in time order: recommend before each event, count the hits, then learn from it.

    FILEs are read as by `reco import`. Needs no server. Prints the figures
    of learned weights, fixed weights, popularity and VS-kNN. With --items, those of items with fewer than five
    events apart. docs/ranking.md says how to read them.
    """
    if bool(files) == (seed is not None):
        raise UserError("give FILEs, or --synthetic SEED for a synthetic log, but not both")
    if files:
        refuse_options(context, ["kind"], "for a synthetic log only, not with FILEs")
    else:
        refuse_options(context, COLUMN_OPTIONS, "for FILEs only, not with --synthetic")
    if save_weights is not None and not os.access(save_weights.absolute().parent, os.W_OK):
        raise UserError(f"--save-weights {save_weights}: its folder does not exist, or cannot be written to")
    if save_weights is not None and k != LENGTH:
        raise UserError(f"--save-weights keeps figures of {LENGTH} places, as those of the service are: leave --k out")
    console = Console(stderr=True)
    rankers = standard()
    if weights_file is not None:
        rankers[f"weights of {weights_file.name}"] = unchanged(_weights(weights_file))
    rankers |= ablated() if ablate else {}
    rankers |= varied(rankers[LEARNED]) if sensitivity else {}
    if files:
        messages, counts = _read(console, files, options)
    else:
        messages, counts = list(synthetic.log(synthetic.WORLDS[kind], random.Random(seed).random)), ImportCounts()
    if (tests := tests_in(messages, last=last)) < _LEAST_TESTS:
        raise UserError(
            f"{len(messages)} events are too few: of the share --last {last:g}, {tests} say that a user wanted an "
            f"item, and at least {_LEAST_TESTS} are needed; hides and dislikes test nothing"
        )
    catalogue, items = ({}, Counts()) if items_file is None else _catalogue(console, items_file)
    models: dict[str, Model] = {LEARNED: MODEL, **(MODELS if sensitivity else {})}
    result = _run(console, messages, rankers, models, catalogue, last=last, k=k)
    result.bad_rows, result.duplicate_rows = counts.rejected + items.rejected, counts.duplicates
    if save_weights is not None:
        saved = SavedWeights(named(rankers[LEARNED].learner.weights), result.scores, len(messages))
        save_weights.write_bytes(msgspec.json.format(msgspec.json.encode(saved)) + b"\n")
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    else:
        print_tables(Console(), result, with_items=items_file is not None)
    if counts.duplicates:
        console.print(f"{counts.duplicates} rows are events that other rows are as well, and count once.", style="dim")
    for count, rows in ((counts.rejected, "events"), (items.rejected, "items")):
        if count:
            console.print(
                f"{count} rows are not valid {rows} and were left out; `reco import` keeps them.", style="yellow"
            )
    if counts.mostly_rejected() or items.mostly_rejected():
        sys.exit(1)


def _weights(file: Path) -> Weights:
    try:
        found = msgspec.json.decode(file.read_bytes())
        rows = checked(found.get("weights") if isinstance(found, dict) else None)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{file} is not a file of weights, as --save-weights writes it: {error}") from error
    return from_named(rows)


def _read(console: Console, files: tuple[str, ...], options: ImportOptions) -> tuple[list[Message], ImportCounts]:
    """The files' events by time (ties in the files' order), and the numbers of rows. Says what was guessed."""
    latest_ms = time.time_ns() // 1_000_000
    messages: list[Message] = []
    counts = ImportCounts()
    with found_files(files) as paths, ImportScreen(console, paths, rejects=None) as screen:
        layouts = [detect(path, options) for path in paths]
        for line in dict.fromkeys(describe(layout, layout.columns.event_type) for layout in layouts):
            console.print(line, style="dim", highlight=False, soft_wrap=True)
        played: set[str] = set()
        for path, layout in zip(paths, layouts, strict=True):
            before, ids = counts.pos, RowIds()
            for row in read_rows(path, layout, latest_ms=latest_ms):
                counts.read += 1
                if isinstance(row, BadRow):
                    counts.rejected += 1
                    screen.rejected([row])
                    refuse_hopeless(counts)
                    continue
                counts.users.add([row.user_id])
                event_id = ids.event_id(row)
                if event_id in played:
                    counts.duplicates += 1
                elif (message := _message(row, event_id)) is not None:
                    messages.append(message)
                played.add(event_id)
                if not counts.read % _SHOW_EVERY_ROWS:
                    counts.pos = before + row.pos
                    screen.moved(counts)
            counts.pos = before + packed_size(path)
        screen.close()
        if counts.rejected:
            console.print(screen.reasons(counts))
        if notice := counts.notice():
            console.print(notice, style="yellow", highlight=False, soft_wrap=True)
    return sorted(messages, key=lambda message: message.ts_ms), counts


def _catalogue(console: Console, file: Path) -> tuple[dict[str, Content], Counts]:
    """What the items are by their content, and the numbers of rows. Says what was guessed."""
    layout = detect_items(file, ImportOptions())
    console.print(describe(layout), style="dim", highlight=False, soft_wrap=True)
    rows = list(read_items(file, layout))
    items = [row for row in rows if isinstance(row, ItemRow) and not row.hidden]
    bad = [row for row in rows if isinstance(row, BadRow)]
    counts = Counts(read=len(rows), rejected=len(bad))
    if bad:
        screen = ImportScreen(console, [file], rejects=None)
        screen.rejected(bad)
        console.print(screen.reasons(counts))
    return {item.item_id: _content(item) for item in items}, counts


def _content(item: ItemRow) -> Content:
    published_ms, expires_ms = (
        None if at is None else round(at.timestamp() * 1000) for at in (item.published_at, item.expires_at)
    )
    return Content(
        terms_of(item.title, item.categories, item.tags),
        since_ms=published_ms or 0,
        published_ms=published_ms,
        expires_ms=expires_ms,
    )


def _message(row: Row, event_id: str) -> Message | None:
    """None for an impression, which is not a choice of the user."""
    fields: dict[str, Any] = {
        "v": MESSAGE_VERSION,
        "event_id": event_id,
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
    if row.counts is not None:
        return ActionMessage(event_type=row.event_type, counts=row.counts, **fields)
    return None


def _run(
    console: Console,
    messages: list[Message],
    rankers: Mapping[str, Ranker],
    models: Mapping[str, Model],
    catalogue: Mapping[str, Content],
    *,
    last: float,
    k: int,
) -> EvaluateResult:
    """`models`: the first is played with all rankers, each other one with a ranker that learns."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    scores: dict[str, Score] = {}
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(messages) * len(models))
        for number, (name, model) in enumerate(models.items()):
            progress.update(task, description=name)
            played = {name: learning()} if number else rankers
            trial = Trial(played, model=model, k=k, vsknn=not number, catalogue=catalogue)
            for done in play(messages, trial, last=last):
                progress.update(task, completed=number * len(messages) + done)
            scores |= trial.scores()
    return EvaluateResult(len(messages), messages[0].ts_ms, messages[-1].ts_ms, k, scores)
