"""The tables of the generation that `reco rebuild` makes, in a schema of their own beside those that serve.

In it they have the same names, so the statements of `app.adapters.features` add to either: the search path of the
connection decides. What is added commits together with how far the rebuild is, so it may die at any time.
"""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Final

import asyncpg
from msgspec import Struct

from app.adapters import building_histories, features, generations, rebuild_locks, sql
from app.adapters.building_schema import SCHEMA, live_names, live_schema
from app.adapters.postgres import set_for_session
from app.adapters.postgres_connect import Connector
from app.adapters.postgres_errors import is_outage, reason_of
from app.core.event_numbers import EventNumbers
from app.core.model import Model
from app.errors import DependencyDown, UserError

if TYPE_CHECKING:
    from app.adapters.postgres import Connection
    from app.core.features import Fold

_SQL: Final = sql.load(__file__)

_TABLES: Final = ("item_stats", "user_history", "item_pairs")
_CONNECT_SEC: Final = 10.0
# Adding up the pairs of a long log is one statement.
_STATEMENT_SEC: Final = 6 * 3600.0
_LIMITS: Final[Mapping[str, str]] = {
    "jit": "off",
    # A limit that the role or the database has is for the statements of the service.
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "lock_timeout": "10000",
    # A process that is stopped in the middle of a transaction must not keep its locks.
    "idle_in_transaction_session_timeout": "300000",
    # The session that keeps others from rebuilding, and retention from deleting, waits for hours while Spark works.
    "idle_session_timeout": "0",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "3",
    "tcp_keepalives_count": "3",
}


class SliceProgress(Struct, frozen=True):
    """How far a share of the users is: rows of the files, and events received before `events_until`.

    `rejected`: rows of the files that are no events, and the first of them with the reason.
    """

    number: int
    file_rows: int
    files_done: bool
    events_until: datetime
    events_done: bool
    events: int
    rejected: int
    first_rejected: str | None


class RejectedRows(Struct, frozen=True):
    """Rows of files that are no events. `first`: the place of the first one, and why."""

    count: int = 0
    first: str | None = None


@asynccontextmanager
async def connection(url: str, *, building: bool = False) -> AsyncIterator["Connection"]:
    """A connection of its own, with time for long statements. `building`: its tables are those of the new generation.

    Errors of an outage are raised as `DependencyDown`; those of files and of other servers unchanged.
    """
    opened: Connection | None = None
    try:
        opened = await Connector(url).connect(
            timeout=_CONNECT_SEC, command_timeout=_STATEMENT_SEC, server_settings={"application_name": "reco rebuild"}
        )
        await set_for_session(opened, _LIMITS)
        if building:
            live = await live_schema(opened)
            await opened.execute("SELECT set_config('search_path', $1, false)", f"{SCHEMA}, {live}")
        yield opened
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
        # The driver's OSErrors end the connection, but for a statement that takes too long.
        is_of_others = isinstance(error, OSError) and not (
            isinstance(error, TimeoutError) or opened is None or opened.is_closed()
        )
        if is_outage(error) and not is_of_others:
            raise DependencyDown("postgres", reason_of(error)) from error
        raise
    finally:
        if opened is not None:
            opened.terminate()


async def create(connection: "Connection", slices: int, first: datetime) -> None:
    """Makes the schema and its tables, with the keys of all items. In a transaction.

    `first`: the first time of receipt. Raises `UserError` for a tablespace without the right to create in it.
    """
    if closed := [name for (name,) in await connection.fetch(_SQL["closed_tablespaces"])]:
        raise UserError(
            f"The tables or their indexes are in the tablespace {', '.join(closed)}, where this user may not create "
            "the new ones. Run GRANT CREATE ON TABLESPACE, and the same command again"
        )
    await connection.execute(_SQL["make_tables"].format(owner=await connection.fetchval(_SQL["owner"])))
    for table in _TABLES:
        await _run(connection, "settings_of", table)
        await _run(connection, "privileges_of", table)
    await connection.execute(_SQL["copy_keys"])
    for table in ("item_stats", "user_history"):
        await _add_indexes(connection, table)
    await connection.execute(_SQL["make_slices"], slices, first)


async def schemas(connection: "Connection") -> list[str]:
    """Those of rebuilds that there are: of an unfinished one, and of the tables that one has swapped out."""
    return [name for (name,) in await connection.fetch(_SQL["schemas"])]


async def drop(connection: "Connection") -> None:
    """Drops what earlier rebuilds left. In a transaction, or not."""
    await connection.execute(_SQL["drop_retired"])
    await connection.execute(_SQL["drop_building"])


async def drop_former(connection: "Connection") -> None:
    """As `drop`, after a swap; but whoever has begun another rebuild meanwhile keeps its tables."""
    await connection.execute(_SQL["drop_retired"])
    async with connection.transaction():
        await connection.execute(_SQL["let_none_begin"])
        if await generations.building(connection) is None:
            await connection.execute(_SQL["drop_building"])


async def complete(connection: "Connection") -> None:
    """Adds what a rebuild that an earlier release began lacks."""
    await connection.execute(_SQL["complete"].format(owner=await connection.fetchval(_SQL["owner"])))


async def publications(connection: "Connection") -> list[str]:
    """Those that logical replicas of the tables that serve may follow, by name."""
    return [name for (name,) in await connection.fetch(_SQL["publications"])]


async def slices(connection: "Connection") -> list[SliceProgress]:
    return [SliceProgress(*row) for row in await connection.fetch(_SQL["slices"])]


async def advance_files(
    connection: "Connection",
    part: SliceProgress,
    *,
    rows: int,
    done: bool,
    events: int,
    rejected: RejectedRows,
) -> None:
    """In the transaction that adds the events. Raises `Overtaken`."""
    values = (rows, done, events, rejected.count, rejected.first)
    await _advance(connection, "advance_files", part.number, part.file_rows, *values)


async def advance_events(
    connection: "Connection", part: SliceProgress, *, until: datetime, done: bool, events: int
) -> None:
    """In the transaction that adds the events. Raises `Overtaken`."""
    await _advance(connection, "advance_events", part.number, part.events_until, until, done, events)


async def take_file_events(connection: "Connection", event_ids: Sequence[str]) -> set[str]:
    """Those of these rows of files that were not folded before; from this transaction on they are."""
    return {event_id for (event_id,) in await connection.fetch(_SQL["take_file_events"], event_ids)}


async def loaded_parts(connection: "Connection") -> set[str]:
    """The parts of what the Spark engine has made that are loaded, by name."""
    return {part for (part,) in await connection.fetch(_SQL["loaded_parts"])}


async def add_loaded_part(connection: "Connection", part: str) -> None:
    """In the transaction that loads it."""
    await connection.execute(_SQL["add_loaded_part"], part)


class Overtaken(Exception):
    """Another process has added the same events."""


async def add(connection: "Connection", folded: "Fold", keys: Mapping[str, int], model: Model, *, erasure: int) -> None:
    """Adds a fold to the new generation, apart from its pairs, in a transaction.

    `keys`: of all its items. `model`: the one that made the fold. `erasure`: the last one before the rebuild.
    """
    await building_histories.put(connection, folded.histories)
    # Two slices may have the same items, and the second waits for the first.
    if folded.items:
        await features.add_to_items(connection, folded.items, keys, model)
    await forget_erased(connection, folded.histories, erasure)


async def index_pairs(connection: "Connection") -> None:
    """Gives the table of pairs its indexes, when all of it is there. In a transaction."""
    await connection.execute("SELECT set_config('maintenance_work_mem', '256MB', true)")
    async with live_names(connection):
        await _add_indexes(connection, "item_pairs")


async def analyze(connection: "Connection") -> None:
    await connection.execute(_SQL["analyze"])


async def _add_indexes(connection: "Connection", table: str) -> None:
    await _run(connection, "indexes_of", table)
    await _run(connection, "index_places_of", table)


async def _run(connection: "Connection", statement: str, table: str) -> None:
    for (text,) in await connection.fetch(_SQL[statement], table, SCHEMA):
        await connection.execute(text)


async def _advance(connection: "Connection", statement: str, *values: object) -> None:
    if await connection.fetchval(_SQL[statement], *values) is None:
        raise Overtaken


async def last_erasure(connection: "Connection") -> int:
    """The number of the last erasure, when none is being committed. In a transaction."""
    await connection.execute(_SQL["await_erasures"])
    found: int = await connection.fetchval(_SQL["last_erasure"])
    return found


async def erased_since(connection: "Connection", number: int) -> list[str]:
    return [user_id for (user_id,) in await connection.fetch(_SQL["erased_since"], number)]


async def forget_erased(connection: "Connection", user_ids: Collection[str], number: int) -> None:
    """Removes the histories, among these that the transaction has put, of users who were erased after that erasure.

    Whoever made them may have read the events before the erasure. What came after it is folded when the tables are
    swapped. At the end of the transaction: an erasure waits for that.
    """
    if not user_ids:
        return
    await rebuild_locks.hold_erasures(connection)
    erased = set(await erased_since(connection, number)).intersection(user_ids)
    if erased:
        await building_histories.forget(connection, sorted(erased))


async def swap(connection: "Connection") -> None:
    """Puts the tables in place of those that serve. In a transaction that has locked those."""
    async with live_names(connection) as live:
        for table in _TABLES:  # some may have been granted or revoked meanwhile
            await _run(connection, "privileges_of", table)
        await connection.execute(_SQL["copy_new_items"])
        await connection.fetchval(_SQL["copy_sequence"])
        owner = await connection.fetchval(_SQL["owner"])
        await connection.execute(_SQL["swap_tables"].format(live=live, owner=owner))


async def counted(connection: "Connection") -> EventNumbers:
    """How many events the sums of this connection's tables hold."""
    row = await connection.fetchrow(_SQL["counted_in"])
    assert row is not None  # an aggregate
    return EventNumbers(*row)


async def counted_live(built: "Connection") -> EventNumbers:
    """The same of those that serve. In a transaction."""
    async with live_names(built):
        return await counted(built)
