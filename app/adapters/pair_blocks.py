"""The pairs that a rebuild has folded, in blocks of bytes until all of it is added up.

A block holds the pairs of one batch whose lesser key belongs to one part of the keys. So the parts are added up one by
one, in little memory and in as many processes as there are. As rows, pairs cost Postgres several times as much.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from app.adapters import sql
from app.adapters.copied_pairs import SUMS, copied_pairs
from app.core.pairing import BACK, FORTH, MET, WEIGHT, FoldedPairs, added_up

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

PARTS: Final = 64
"""A thousand million pairs are 600 MB a part."""
_PAIR: Final = np.dtype([("a", "<i4"), ("b", "<i4"), *((name, "<f8") for name in SUMS)])


async def put(connection: "Connection", pairs: FoldedPairs, keys: Mapping[str, int]) -> None:
    """Stores the pairs of a batch. In the transaction that adds the rest of the batch."""
    if not pairs:
        return
    found = _by_key(pairs, keys)
    found = found[np.argsort(found["a"] % PARTS, kind="stable")]
    ends = np.searchsorted(found["a"] % PARTS, np.arange(PARTS), side="right")
    blocks = {part: block.tobytes() for part, block in enumerate(np.split(found, ends[:-1])) if len(block)}
    await connection.executemany(_SQL["put"], blocks.items())


async def add_up(connection: "Connection", part: int) -> None:
    """Makes rows of the table of pairs from the blocks of a part, which go. In a transaction."""
    blocks = [block for (block,) in await connection.fetch(_SQL["take"], part)]
    if not blocks:
        return
    found = np.frombuffer(b"".join(blocks), _PAIR)
    pairs, row = np.unique(found["a"].astype(np.int64) << 32 | found["b"], return_inverse=True)
    sums = added_up(row, [found[name] for name in SUMS], len(pairs))
    source = BytesIO(copied_pairs(pairs >> 32, pairs & 0xFFFFFFFF, sums))
    await connection.copy_to_table("item_pairs", source=source, columns=["item_a", "item_b", *SUMS], format="binary")


def _by_key(pairs: FoldedPairs, keys: Mapping[str, int]) -> NDArray[np.void]:
    """The smaller key first."""
    key_of = np.array([keys[item_id] for item_id in pairs.ids])
    one, other, sums = key_of[pairs.one], key_of[pairs.other], pairs.sums
    in_order = one < other
    found = np.empty(len(pairs), _PAIR)
    found["a"], found["b"] = np.minimum(one, other), np.maximum(one, other)
    found["weight"], found["met"] = sums[:, WEIGHT], sums[:, MET]
    found["a_to_b"] = np.where(in_order, sums[:, FORTH], sums[:, BACK])
    found["b_to_a"] = np.where(in_order, sums[:, BACK], sums[:, FORTH])
    return found
