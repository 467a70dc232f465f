"""The most popular items that may be served, among those in memory."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from app.core.model import MODEL
from app.serving.loaded_items import LoadedItems

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_FIRST_LOOK: Final = 2 * MODEL.popular
_ITEMS_A_TURN: Final = 2_000
# Each further look takes this many times as many items.
_DEEPER: Final = 4


async def most_popular(
    connection: "Connection", items: LoadedItems, are_servable: Callable[[Sequence[str]], Awaitable[Sequence[bool]]]
) -> NDArray[np.int32]:
    """The numbers of the most popular by each half-life, each number once. Looks as deep as it takes to find these."""
    table, depth = items.table, _FIRST_LOOK
    servable: dict[int, bool] = {}
    while True:
        best = table.best(depth)
        numbers = best.tolist()
        new = [number for number in numbers if number not in servable]
        for begin in range(0, len(new), _ITEMS_A_TURN):
            part = new[begin : begin + _ITEMS_A_TURN]
            servable.update(zip(part, await are_servable([table.index.ids[one] for one in part]), strict=True))
            await asyncio.sleep(0)
        kept = np.array([servable[number] for number in numbers], np.bool_)
        by_half_life = table.most_popular(best, depth)
        too_few = [bool(kept[places].sum() < MODEL.popular) for places in by_half_life]
        if any(few and len(places) == depth for few, places in zip(too_few, by_half_life, strict=True)):
            depth *= _DEEPER
        elif not await items.has_read_more(connection, too_few):
            return table.best(MODEL.popular, best[kept])
