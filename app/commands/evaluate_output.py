"""What `reco evaluate` prints and writes."""

from collections.abc import Mapping
from datetime import UTC, datetime

from msgspec import Struct
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from app.core.content import COLD_EVENTS
from app.core.evaluation import Score
from app.core.named_weights import NamedWeights
from app.core.rankers import LEARNED


class EvaluateResult(Struct):
    """`from_ms` and `to_ms`: the times of the first and the last event, between which the log's clock went.
    `duplicate_rows`: events that stood in the files before, by `reco import`'s ids.
    """

    events: int
    from_ms: int
    to_ms: int
    k: int
    scores: Mapping[str, Score]
    bad_rows: int = 0
    duplicate_rows: int = 0


class SavedWeights(Struct):
    """The learned weights, the figures of the evaluation that learned them, and the number of its events."""

    weights: NamedWeights
    figures: Mapping[str, Score]
    events: int


def print_tables(console: Console, result: EvaluateResult, *, with_items: bool) -> None:
    """One table each of all tests, of those whose item was new to the user, and of the others. `with_items`: also of
    those whose item was cold, and of the others.
    """
    k, clock = result.k, f"by the log's clock, {_day(result.from_ms)} to {_day(result.to_ms)}"
    of_all = next(iter(result.scores.values()))
    parts = [
        ("all", f"{of_all.all.tests:,} tests of {result.events:,} events, {clock}"),
        ("new", f"{of_all.new.tests:,} of an item that was new to the user"),
        ("repeated", f"{of_all.repeated.tests:,} of an item that the user had before"),
    ]
    if with_items:
        parts += [
            ("cold", f"{of_all.cold.tests:,} of an item with fewer than {COLD_EVENTS} events"),
            ("known", f"{of_all.known.tests:,} of an item with {COLD_EVENTS} events or more"),
        ]
    for part, tests in parts:
        table = Table(title=tests, title_justify="left")
        table.add_column("ranking", min_width=max(map(len, result.scores)))
        for name in (f"hit rate@{k}", f"NDCG@{k}", f"MRR@{k}", f"coverage@{k}"):
            table.add_column(name, justify="right")
        for name, score in result.scores.items():
            figures = getattr(score, part)
            shown = [f"{figures.hit_rate:.4f}", f"{figures.ndcg:.4f}", f"{figures.mrr:.4f}", f"{figures.coverage:.3f}"]
            table.add_row(escape(name), *shown, style="bold" if name == LEARNED else None)
        console.print(table)


def _day(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d}"
