"""Reads the pairs of items that have too many, and deletes those that are not kept, waiting for nobody."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.adapters import sql
from app.adapters.arrays import number_array
from app.core.model import Model
from app.core.neighbours import Values, evidence
from app.core.pair_bounds import ItemEnd, JudgedPairs, judge_pairs

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)
_COLUMNS: Final = 7
_WEIGHT, _FOLLOWS, _FOLLOWED, _FREQUENCY, _EVENTS, _FLOOR, _YOUNG = range(_COLUMNS)


class CrowdedItem(Struct, frozen=True):
    """An item with more pairs than are kept: its key, the other items' keys, and a row of sums for each pair."""

    key: int
    frequency: float
    events: float
    log_ms: int
    others: NDArray[np.int32]
    sums: Values

    def judged(self, kept: int, model: Model) -> JudgedPairs:
        sums = self.sums
        return judge_pairs(
            ItemEnd(np.array([self.frequency]), np.array([self.events])),
            ItemEnd(sums[:, _FREQUENCY], sums[:, _EVENTS]),
            weights=sums[:, _WEIGHT],
            follows=sums[:, _FOLLOWS],
            followed=sums[:, _FOLLOWED],
            floors=sums[:, _FLOOR],
            young=sums[:, _YOUNG] > 0.0,
            kept=kept,
            evidence=evidence(self.log_ms, model),
            model=model,
        )


async def items_after(connection: "Connection", key: int, limit: int) -> list[int]:
    """The keys of the next items, in order."""
    return [found for (found,) in await connection.fetch(_SQL["items_after"], key, limit)]


async def read_crowded(
    connection: "Connection", keys: Sequence[int], *, kept: int, young_minutes: float
) -> list[CrowdedItem]:
    """Those of these items that have more than `kept` pairs, or had when they were judged last, by key."""
    return [
        CrowdedItem(
            key,
            frequency,
            events,
            log_ms,
            np.frombuffer(others, ">i4").astype(np.int32),
            np.frombuffer(sums, ">f8").astype(np.float64).reshape(-1, _COLUMNS),
        )
        for key, frequency, events, log_ms, others, sums in await connection.fetch(
            _SQL["read"], keys, kept, young_minutes
        )
    ]


async def prune(connection: "Connection", item: CrowdedItem, rows: NDArray[np.intp]) -> int:
    """Deletes the pairs in these rows of the item, but for those that were added to since they were read; returns how
    many.
    """
    others = item.others[rows]
    status: str = await connection.execute(
        _SQL["delete"],
        number_array([item.key] * len(others)),
        number_array(others.tolist()),
        number_array(item.sums[rows, _WEIGHT].tolist()),
    )
    return int(status.removeprefix("DELETE "))


async def set_floors(connection: "Connection", floors: Mapping[int, float]) -> None:
    """By item key."""
    await connection.execute(_SQL["set_floors"], list(floors), list(floors.values()))
