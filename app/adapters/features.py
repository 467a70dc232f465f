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
    """An item's own frequency and returns, and its strongest pairs: the others' ids, the weights, the others'
    frequencies.

    Weights, frequencies and repeat weights are forward-decayed sums.
    """

    frequency: float
    repeat_weight: float
    pairs: tuple[list[str], list[float], list[float]]


class ItemKeys:
    """Item id → the short key that `item_pairs` stores. A key never changes, so what was read once is kept."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    async def of(self, connection: "Connection", item_ids: Iterable[str]) -> Mapping[str, int]:
        """The keys of all these items; new ones are made. Outside any transaction: its own statements commit at once,
        so what is kept here is in the database whatever becomes of the batch.
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
    """Writes the dedupe rows, and returns the ids that were not there yet."""
    return {row[0] for row in await connection.fetch(_SQL["consume"], event_ids)}


async def lock_histories(connection: "Connection", user_ids: Sequence[str]) -> dict[str, Versioned]:
    """The histories of these users, locked until the transaction ends, their versions already raised."""
    rows = await connection.fetch(_SQL["lock_histories"], user_ids)
    return {user_id: Versioned(version, history) for user_id, version, history in rows}


async def write_histories(connection: "Connection", histories: Mapping[str, bytes]) -> None:
    """Writes histories that `lock_histories` has locked."""
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
    """Up to `limit` of the strongest pairs of each item, for those that have any.

    `evidence` is the candidate's frequency, forward-decayed, at which a similarity counts half.
    """
    rows = await connection.fetch(_SQL["read_neighbours"], item_ids, limit, frequency_power, evidence)
    return {
        item_id: ItemPairs(frequency, repeat_weight, (near_ids, weights, near_frequencies))
        for item_id, frequency, repeat_weight, near_ids, weights, near_frequencies in rows
    }


async def read_popular(connection: "Connection", limit: int, category: str | None = None) -> list[tuple[str, float]]:
    """The most popular items, of a category or of all, that may be served now: with their forward-decayed popularity,
    best first.
    """
    if category is None:
        rows = await connection.fetch(_SQL["read_popular"], limit)
    else:
        rows = await connection.fetch(_SQL["read_popular_of_category"], limit, category)
    return [(item_id, popularity) for item_id, popularity in rows]


def _array(numbers: Sequence[float]) -> str:
    """Numbers as Postgres reads an array. For a list asyncpg asks each of its elements whether it is a list too, which
    costs more than all the rest of a pair's way out of the process.
    """
    return f"{{{msgspec.json.encode(numbers)[1:-1].decode()}}}"


def history_of(stored: Versioned | None) -> History:
    return decode_history(stored.history) if stored is not None and stored.history else NO_HISTORY
