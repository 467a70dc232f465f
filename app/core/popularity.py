"""The most popular items, of all or of one category: candidates for every user."""

from collections.abc import Sequence
from typing import Final

import numpy as np
from msgspec import Struct, field

from app.core.item_index import ItemIndex
from app.core.model import MODEL, Model

POPULAR_LIMIT: Final = 500
"""So many of the most popular items are candidates."""


class Popular(Struct, frozen=True):
    """Items best first. `scores` are forward-decayed popularity; `prior` is each item's share of it, 0 to 1.

    `numbers` and `shares` are the items and their priors once more, in the layout of `Neighbours`.
    """

    ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    prior: dict[str, float] = field(default_factory=dict)
    numbers: bytes = b""
    shares: bytes = b""


NO_POPULAR: Final = Popular()


def popular_of(rows: Sequence[tuple[str, float]], *, index: ItemIndex, model: Model = MODEL) -> Popular:
    """From items with their forward-decayed popularity (above 0), best first."""
    if not rows:
        return NO_POPULAR
    highest = rows[0][1]
    prior = {item_id: (score / highest) ** model.prior_power for item_id, score in rows}
    return Popular(
        tuple(prior),
        tuple(score for _, score in rows),
        prior,
        index.number(list(prior)).tobytes(),
        np.fromiter(prior.values(), np.float32, len(prior)).tobytes(),
    )
