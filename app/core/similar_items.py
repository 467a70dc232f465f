"""What goes with an item that has few neighbours."""

from collections.abc import Collection
from typing import Final

import numpy as np
from numpy.typing import NDArray

from app.core.content_index import Alike
from app.core.item_index import ItemIndex
from app.core.ranked import Ranked

# What is alike by content scores less than each neighbour does.
_BEHIND: Final = 0.99


def with_alike(index: ItemIndex, near: NDArray[np.void], alike: Alike, exclude: Collection[str]) -> tuple[Ranked, int]:
    """The neighbours (entries of `NEIGHBOUR`), behind them what is alike by content, and how many are neighbours: they
    come first among the rows.
    """
    neighbours = zip(near["number"].tolist(), near["similarity"].tolist(), strict=True)
    scores = {index.ids[number]: score for number, score in neighbours if index.ids[number] not in exclude}
    first, least = len(scores), min(scores.values(), default=1.0)
    for item_id, similarity in zip(alike.item_ids, alike.similarities, strict=True):
        if item_id not in exclude:
            scores.setdefault(item_id, _BEHIND * least * similarity)
    found = ItemIndex()
    return Ranked(found, found.number([*scores]), np.fromiter(scores.values(), np.float32, len(scores))), first
