"""Features in Postgres: what the consumer adds in its transaction, and what the API reads.

Inside a transaction the tables are always locked in one order (dedupe rows, histories, items, pairs) and the rows of
each in key order, so any number of consumers may share the work without deadlocks.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from app.adapters import sql
from app.adapters.history_cache import Versioned
from app.core.features import NO_HISTORY, History, ItemDelta, decode_history

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL = sql.load(__file__)

_MAX_KNOWN_KEYS: Final = 500_000


class ItemPairs(Struct, frozen=True):
    """An item's frequency and repeat weight, and its strongest pairs: the other items' ids, the pair weights, and the
    other items' frequencies.

    All weights and frequencies are forward-decayed sums.
    """

    frequency: float
    repeat_weight: float
    pairs: tuple[list[str], list[float], list[float]]


class ItemKeys:
    """Item id → the integer key that `item_pairs` stores. Keys never change, so they are cached without expiry.

    A promoted standby may lack the newest items and give their keys to others: each new session may be one to it.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._session = 0

    def forget_before(self, session: int) -> None:
        """Forgets what was read before the latest session of the pool, which is the one with this number."""
        if session != self._session:
            self._known.clear()
            self._session = session

    async def of(self, connection: "Connection", item_ids: Iterable[str]) -> Mapping[str, int]:
        """The keys of these items; new items get one.

        Call it outside any transaction: its statements commit at once, so a cached key exists in the database even if
        the batch fails.
        """
        wanted = set(item_ids)
        missing = [item_id for item_id in wanted if item_id not in self._known]
        if missing:
            if len(self._known) + len(missing) > _MAX_KNOWN_KEYS:
                self._known.clear()
                missing = list(wanted)
            found = await connection.fetch(_SQL["item_keys"], missing)
            if len(found) < len(missing):
                await connection.execute(_SQL["create_items"], missing)
                found = await connection.fetch(_SQL["item_keys"], missing)
            self._known.update((item_id, key) for item_id, key in found)
        return self._known


async def consume(connection: "Connection", event_ids: Sequence[str]) -> set[str]:
    """Writes the dedupe rows; returns the ids that are new."""
    return {row[0] for row in await connection.fetch(_SQL["consume"], event_ids)}


async def unconsume(connection: "Connection", event_ids: Sequence[str]) -> None:
    """Takes dedupe rows of this transaction back."""
    await connection.execute(_SQL["unconsume"], event_ids)


async def lock_histories(connection: "Connection", user_ids: Sequence[str]) -> dict[str, Versioned]:
    """Locks the histories of these users until the transaction ends, increments their versions, and returns them."""
    rows = await connection.fetch(_SQL["lock_histories"], user_ids)
    return {user_id: Versioned(version, history) for user_id, version, history in rows}


async def write_histories(connection: "Connection", histories: Mapping[str, bytes]) -> None:
    """Writes histories locked by `lock_histories`."""
    await connection.execute(_SQL["write_histories"], list(histories), list(histories.values()))


async def add_to_items(connection: "Connection", deltas: Mapping[str, ItemDelta], keys: Mapping[str, int]) -> None:
    columns = list(deltas.values())
    await connection.execute(
        _SQL["add_to_items"],
        [keys[item_id] for item_id in deltas],
        list(deltas),
        [delta.popularity for delta in columns],
        [delta.frequency for delta in columns],
        [delta.repeat_weight for delta in columns],
        [delta.impressions for delta in columns],
        [delta.views for delta in columns],
        [delta.clicks for delta in columns],
        [delta.purchases for delta in columns],
        [delta.watches for delta in columns],
        [delta.watch_ms for delta in columns],
    )


async def add_to_pairs(
    connection: "Connection", pairs: Mapping[tuple[str, str], float], keys: Mapping[str, int]
) -> None:
    await connection.execute(
        _SQL["add_to_pairs"],
        _array([keys[a] for a, _ in pairs]),
        _array([keys[b] for _, b in pairs]),
        _array(list(pairs.values())),
    )


async def read_histories(connection: "Connection", user_ids: Sequence[str]) -> dict[str, Versioned]:
    rows = await connection.fetch(_SQL["read_histories"], user_ids)
    return {user_id: Versioned(version, history) for user_id, version, history in rows}


async def read_pairs(
    connection: "Connection", item_ids: Sequence[str], *, limit: int, frequency_power: float, evidence: float
) -> dict[str, ItemPairs]:
    """Up to `limit` strongest pairs of each item; items without pairs are left out.

    `evidence`: the forward-decayed frequency of a candidate at which its similarity counts half.
    """
    rows = await connection.fetch(_SQL["read_neighbours"], item_ids, limit, frequency_power, evidence)
    return {
        item_id: ItemPairs(frequency, repeat_weight, (near_ids, weights, near_frequencies))
        for item_id, frequency, repeat_weight, near_ids, weights, near_frequencies in rows
    }


async def read_popular(
    connection: "Connection", limit: int, category: str | None = None, *, catalogue_only: bool = False
) -> list[tuple[str, float]]:
    """The most popular servable items of a category (None: of all), with forward-decayed popularity, best first."""
    if category is None:
        rows = await connection.fetch(_SQL["read_popular_of_catalogue" if catalogue_only else "read_popular"], limit)
    else:
        rows = await connection.fetch(_SQL["read_popular_of_category"], limit, category)
    return [(item_id, popularity) for item_id, popularity in rows]


def _array(numbers: Sequence[float]) -> str:
    """Numbers as a Postgres array literal. asyncpg checks each element of a list for nesting, which costs more than the
    rest of sending a pair.
    """
    return f"{{{msgspec.json.encode(numbers)[1:-1].decode()}}}"


def history_of(stored: Versioned | None) -> History:
    return decode_history(stored.history) if stored is not None and stored.history else NO_HISTORY
