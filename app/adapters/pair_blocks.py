"""The pairs that a rebuild has folded, in blocks of bytes until all of it is added up.

A block holds the pairs of one batch whose lesser key belongs to one part of the keys. So the parts are added up one by
one, in little memory and in as many processes as there are. As rows, pairs cost Postgres several times as much.
"""

from collections.abc import Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Final

import numpy as np

from app.adapters import sql
from app.adapters.copied_pairs import COLUMNS, SUMS, copied_pairs
from app.adapters.keyed_pairs import KEYED_PAIR, keyed_pairs
from app.core.folded_pairs import FoldedPairs
from app.core.pairing import added_up

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)

PARTS: Final = 64
"""A thousand million pairs are 600 MB a part."""


async def put(connection: "Connection", pairs: FoldedPairs, keys: Mapping[str, int]) -> None:
    """Stores the pairs of a batch. In the transaction that adds the rest of the batch."""
    if not pairs:
        return
    found = keyed_pairs(pairs, keys)
    found = found[np.argsort(found["a"] % PARTS, kind="stable")]
    ends = np.searchsorted(found["a"] % PARTS, np.arange(PARTS), side="right")
    blocks = {part: block.tobytes() for part, block in enumerate(np.split(found, ends[:-1])) if len(block)}
    await connection.executemany(_SQL["put"], blocks.items())


async def add_up(connection: "Connection", part: int) -> None:
    """Makes rows of the table of pairs from the blocks of a part, which go. In a transaction."""
    blocks = [block for (block,) in await connection.fetch(_SQL["take"], part)]
    if not blocks:
        return
    found = np.frombuffer(b"".join(blocks), KEYED_PAIR)
    pairs, row = np.unique(found["a"].astype(np.int64) << 32 | found["b"], return_inverse=True)
    sums = added_up(row, [found[name] for name in SUMS], len(pairs))
    source = BytesIO(copied_pairs(pairs >> 32, pairs & 0xFFFFFFFF, sums))
    await connection.copy_to_table("item_pairs", source=source, columns=COLUMNS, format="binary")
