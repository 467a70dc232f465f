"""Features in Postgres: what the consumer adds in its transaction, and what the API reads.

Inside a transaction the tables are always locked in one order (dedupe rows, histories, items, pairs) and the rows of
each in key order, so any number of consumers may share the work without deadlocks.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct

from app.adapters import sql
from app.adapters.arrays import joined_texts, number_array
from app.adapters.history_cache import Versioned
from app.adapters.keyed_pairs import KEYED_PAIR, in_key_order, keyed_pairs
from app.core.history import NO_HISTORY, History, decode_history
from app.core.item_features import SUMS
from app.core.model import MODEL, Model
from app.core.neighbours import ItemSums, Values, evidence

if TYPE_CHECKING:
    from app.adapters.postgres import Connection
    from app.core.features import ItemDelta
    from app.core.folded_pairs import FoldedPairs

_SQL = sql.load(__file__)

_MAX_KNOWN_KEYS: Final = 500_000
# So many items are looked at in a statement.
_PART: Final = 10_000
# Of a category with more items, the popular ones are read in parts.
_LARGE: Final = 50_000
_LAST_KEY: Final = 2**31 - 1


class ItemPairs(Struct, frozen=True):
    """The sums of an item, and those of its strongest pairs: the other items' ids, and a number for each of them."""

    item: ItemSums
    ids: list[str]
    weights: Values
    met: Values
    follows: Values


class ItemsRemoved(Exception):
    """Keys that were read before this transaction may be those of items that are gone. Begin it again."""


class ItemKeys:
    """Item id → the integer key that `item_pairs` stores. Keys never change, so they are cached without expiry.

    A promoted standby may lack the newest items and give their keys to others: each new session may be one to it.
    Items that are gone are removed with their keys: `check` says so.
    """

    def __init__(self) -> None:
        self._known: dict[str, int] = {}
        self._session = 0
        self._removals = 0

    def forget_before(self, session: int) -> None:
        """Forgets what was read before the latest session of the pool, which is the one with this number."""
        if session != self._session:
            self._known.clear()
            self._session = session

    def check(self, removals: int) -> None:
        """`removals`: how often items were removed, read in the transaction that counts.

        Raises `ItemsRemoved` when that happened since the keys were read. They are forgotten then.
        """
        if removals != self._removals:
            self._known.clear()
            self._removals = removals
            raise ItemsRemoved

    async def existing(self, connection: "Connection", item_ids: Iterable[str]) -> Mapping[str, int]:
        """The keys of those of these items that have one, and maybe of others. Also inside of a transaction."""
        wanted = set(item_ids)
        if missing := self._missing(wanted):
            await self._read(connection, missing)
        return self._known

    async def of(self, connection: "Connection", item_ids: Iterable[str]) -> Mapping[str, int]:
        """The keys of these items; new items get one.

        Call it outside any transaction: its statements commit at once, so a cached key exists in the database even if
        the batch fails.
        """
        wanted = set(item_ids)
        if missing := self._missing(wanted):
            await self._read(connection, missing)
            # Those alone: an item that is there already would use up a key as well, and a key has 31 bits.
            if new := [item_id for item_id in missing if item_id not in self._known]:
                await connection.execute(_SQL["create_items"], new)
                await self._read(connection, new)
        return self._known

    async def _read(self, connection: "Connection", item_ids: Sequence[str]) -> None:
        self._known.update((item_id, key) for item_id, key in await connection.fetch(_SQL["item_keys"], item_ids))

    def _missing(self, wanted: set[str]) -> list[str]:
        """Those of these items whose keys are not known; all of them are known when this is empty."""
        missing = [item_id for item_id in wanted if item_id not in self._known]
        if missing and len(self._known) + len(missing) > _MAX_KNOWN_KEYS:
            self._known.clear()
            return list(wanted)
        return missing


async def consume(connection: "Connection", event_ids: Sequence[str]) -> set[str]:
    """Writes the dedupe rows; returns the ids that are new."""
    return {row[0] for row in await connection.fetch(_SQL["consume"], joined_texts(event_ids))}


async def unconsume(connection: "Connection", event_ids: Sequence[str]) -> None:
    """Takes dedupe rows of this transaction back."""
    await connection.execute(_SQL["unconsume"], event_ids)


async def lock_histories(connection: "Connection", user_ids: Sequence[str]) -> dict[str, Versioned]:
    """Locks the histories of these users, each named once, until the transaction ends, and returns them; users without
    one get one.

    They are read by a statement of its own, without the ids that are joined into them: one that has waited for a lock
    may not see the latest.
    """
    users = joined_texts(user_ids)
    await connection.execute(_SQL["lock_histories"], users)
    rows = await connection.fetch(_SQL["read_locked_histories"], users)
    return {user_id: Versioned(version, history) for user_id, version, history in rows}


async def write_histories(connection: "Connection", histories: Mapping[str, bytes]) -> None:
    """Writes histories locked by `lock_histories`, and increments their versions."""
    await connection.execute(_SQL["write_histories"], joined_texts(histories), list(histories.values()))


async def drop_empty_histories(connection: "Connection", user_ids: Sequence[str]) -> None:
    """Removes the rows of these users that hold nothing. They are locked by `lock_histories`."""
    await connection.execute(_SQL["drop_empty_histories"], user_ids)


async def add_to_items(
    connection: "Connection", deltas: "Mapping[str, ItemDelta]", keys: Mapping[str, int], model: Model
) -> None:
    """`model`: the one that made the deltas."""
    rows = [
        (
            delta.popular_ms,
            delta.popular_hours,
            delta.popular_day,
            delta.popular_week,
            delta.frequency,
            delta.repeat_weight,
            delta.events,
            delta.users,
            delta.first_ms,
            delta.impressions,
            delta.views,
            delta.clicks,
            delta.purchases,
            delta.watches,
            delta.watch_ms,
            delta.other_events,
        )
        for delta in deltas.values()
    ]
    await connection.execute(
        _SQL["add_to_items"],
        number_array([keys[item_id] for item_id in deltas]),
        joined_texts(deltas),
        *map(number_array, zip(*rows, strict=True)),
        *model.popularity_half_lives_ms,
    )


async def add_to_pairs(connection: "Connection", pairs: "FoldedPairs", keys: Mapping[str, int]) -> None:
    found = in_key_order(keyed_pairs(pairs, keys))
    columns = (found[name] for name in KEYED_PAIR.names or ())
    await connection.execute(_SQL["add_to_pairs"], *(number_array(numbers.tolist()) for numbers in columns))


async def read_histories(connection: "Connection", user_ids: Sequence[str]) -> dict[str, Versioned]:
    """With the ids that are joined into them."""
    rows = await connection.fetch(_SQL["read_histories"], user_ids)
    return {user_id: Versioned(version, history, tuple(joined or ())) for user_id, version, history, joined in rows}


async def read_pairs(
    connection: "Connection", item_ids: Sequence[str], *, log_ms: int, model: Model = MODEL
) -> dict[str, ItemPairs]:
    """The strongest pairs of each item at `log_ms`; items without pairs are left out."""
    rows = await connection.fetch(
        _SQL["read_neighbours"],
        item_ids,
        model.neighbours + model.followers // 2,
        model.seed_power,
        model.candidate_power,
        evidence(log_ms, model),
    )
    return {
        item_id: ItemPairs(ItemSums(frequency, events, users), ids, _floats(weights), _floats(met), _floats(follows))
        for item_id, frequency, events, users, ids, weights, met, follows in rows
    }


async def read_sums(connection: "Connection", item_ids: Sequence[str]) -> tuple[list[str], Values]:
    """Those of these items that have sums, and a row of `item_table.SUMS` for each."""
    (row,) = await connection.fetch(_SQL["read_sums"], item_ids)
    ids, sums = row
    return ids or [], _floats(sums or b"").reshape(-1, len(SUMS))


async def read_popular(
    connection: "Connection",
    limit: int,
    category: str | None = None,
    *,
    model: Model,
    catalogue_only: bool = False,
) -> list[str]:
    """The `limit` most popular servable items by each half-life, in no order: of all, or of a category.

    Without a category, the item of the latest event and the most popular one by each half-life are among them,
    servable or not. All items are looked at then, and with a large category, so many a statement that none takes long.
    `catalogue_only`: what the catalogue does not have is not servable.
    """
    half_lives_ms = model.popularity_half_lives_ms
    if category is None:
        return await _read_popular_by_parts(connection, "read_popular", limit, half_lives_ms, catalogue_only)
    rows = await connection.fetch(_SQL["read_popular_of_category"], limit, *half_lives_ms, category, _LARGE)
    if any(item_id is None for (item_id,) in rows):
        return await _read_popular_by_parts(connection, "read_popular_of_part", limit, half_lives_ms, category)
    return [item_id for (item_id,) in rows]


async def _read_popular_by_parts(
    connection: "Connection", statement: str, limit: int, half_lives_ms: Sequence[float], among: str | bool
) -> list[str]:
    """From the newest items to the oldest: few of those rank above what was found before."""
    # By each half-life; the latest; the first by each half-life, servable or not.
    best: list[list[tuple[float, str]]] = [[] for _ in range(7)]
    end, begin = _LAST_KEY, 1
    while begin > 0:
        begin = await connection.fetchval(_SQL["begin_of_part"], end, _PART) or 0
        least = [-ranked[-1][0] if len(ranked) == limit else -inf for ranked in best[:3]]
        of_part = (limit, *half_lives_ms, among, begin, end, *least)
        for number, item_id, rank in await connection.fetch(_SQL[statement], *of_part):
            best[number].append((-rank, item_id))
        best = [sorted(ranked)[: limit if number < 3 else 1] for number, ranked in enumerate(best)]
        end = begin - 1
    return list({item_id for ranked in best for _, item_id in ranked})


def _floats(sent: bytes) -> Values:
    """From what `float8send` makes."""
    return np.frombuffer(sent, ">f8").astype(np.float64)


def history_of(stored: Versioned | None) -> History:
    return decode_history(stored.history) if stored is not None and stored.history else NO_HISTORY
