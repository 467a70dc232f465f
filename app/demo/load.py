"""Loads the demo into Postgres: purchases, catalogue, visits, rules, an own event type and an experiment that ended."""

import asyncio
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from rich.console import Console

from app.adapters import attributes, catalogue, event_types, experiments, rule_changes, sql
from app.adapters.event_types import NewEventType
from app.adapters.ingest import insert_events
from app.adapters.rules import StoredRule
from app.clock import clock
from app.core import events
from app.core.events import Action, DirectEvent
from app.demo import shop
from app.demo.purchases import SAMPLE, find_shift, load_purchases
from app.demo.visits import BEGAN, CONCLUSION, ENDED, EXPERIMENT, OWN_TYPE, experiment_users, visits
from app.importing.counts import ImportCounts
from app.importing.database import open_database, patiently, prepare
from app.importing.screen import ImportScreen

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

_ACTOR: Final = "demo"
_RULES: Final = (
    StoredRule(rule_id="tea-first", action="pin", item_id="22423", position=1, within="kitchen", note="sells best"),
    StoredRule(rule_id="no-easter", action="boost", category="easter", factor=0.2, note="out of season"),
)
_BATCH: Final = 2_000


def load_demo(database_url: str) -> None:
    """Stores what is missing of the demo; does nothing if it is stored already.

    Applies missing migrations. The events wait in the outbox for the relay. Raises `UserError`.
    """
    prepare(database_url)
    console = Console(file=sys.stderr)
    counts = ImportCounts()
    with ImportScreen(console, [SAMPLE], rejects=None) as screen:
        made_up = asyncio.run(_load(database_url, counts, screen))
    console.print(
        f"Demo data: {counts.imported + counts.duplicates:,} purchases of a web shop, {counts.imported:,} of them new; "
        f"its catalogue; and {made_up:,} events of visits that a generator made up"
    )


async def _load(database_url: str, counts: ImportCounts, screen: ImportScreen) -> int:
    """The number of made-up events."""
    lines = shop.read_lines(SAMPLE)
    database = open_database(database_url)
    try:
        shift_ms = await patiently(database, lambda: find_shift(database, clock.host_ms()))
        shift = timedelta(milliseconds=shift_ms)
        await load_purchases(database, counts, screen, shift_ms=shift_ms)
        end = lines[-1].at + shift
        made_up = visits(lines, end)

        async def write() -> None:
            async with database.connection() as connection, connection.transaction():
                if not await connection.fetchval(_SQL["loaded"], made_up[0].event_id):
                    await _store_shop(connection, lines, shift)
                    await _store_visits(connection, made_up, clock.host_ms())
                    await _store_experiment(connection, made_up, end)

        await patiently(database, write)
    finally:
        await database.close(timeout_sec=1.0)
    return len(made_up)


async def _store_shop(connection: "Connection", lines: Sequence[shop.Line], shift: timedelta) -> None:
    for name, kind in shop.ATTRIBUTES.items():
        await attributes.declare(connection, name, kind)
    await catalogue.store(connection, shop.catalogue(lines, shift))
    for rule in _RULES:
        await rule_changes.store(connection, rule, actor=_ACTOR)
    own = NewEventType(name=OWN_TYPE, weight=0.6, meaning="interest", pairs=True, ends_offer=False, rating_scale=None)
    await event_types.store(connection, own)


async def _store_visits(connection: "Connection", made_up: Sequence[DirectEvent], now_ms: int) -> None:
    types = await event_types.read_types(connection)

    def record(event: DirectEvent) -> events.Record:
        kind = types.get(event.event_type) if isinstance(event, Action) else None
        counts = None if kind is None else kind.counts(None)
        return events.accept(event, counts=counts, now_ms=now_ms, entropy=b"", any_time=True)

    for first in range(0, len(made_up), _BATCH):
        await insert_events(connection, [record(event) for event in made_up[first : first + _BATCH]])


async def _store_experiment(connection: "Connection", made_up: Sequence[DirectEvent], end: datetime) -> None:
    """Starts and ends it by what the API does, and dates it back to the visits that it counts."""
    if await experiments.start(connection, EXPERIMENT) is None:
        return  # another one runs, of somebody who tries the service
    await experiments.stop(connection, EXPERIMENT.name, CONCLUSION)
    await connection.execute(_SQL["date_experiment"], EXPERIMENT.name, end - BEGAN, end - ENDED)
    users = experiment_users(made_up)
    columns = [
        [getattr(user, name) for user in users]
        for name in ("user_id", "variant", "exposed_at", "shown", "clicked", "purchases")
    ]
    await connection.execute(_SQL["add_experiment_users"], EXPERIMENT.name, *columns)
