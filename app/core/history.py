"""A user's latest events and hashes of all earlier items; the result does not depend on the order of arrival.

A history is a function of its events, each of which is inserted once. It keeps the latest entry of each item and kind,
down to the newest entry of the 50th item. Adding entries only moves that bound forward: an entry that is dropped once
would be dropped by every later state. What the other events of an item and kind weighed is kept as a sum, while the
history holds the item.

Items beyond those 50 are kept as 32-bit hashes, so that a heavy user is not shown last year's films again. The union of
the sets, cut to the 1,000 smallest hashes, is a join as well.
"""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import compress
from math import exp2
from operator import attrgetter
from typing import Final
from zlib import crc32

import msgspec

from app.core.model import Model

MAX_ITEMS: Final = 50
# 99 of 100 users of a dense movie log have fewer than 450 items. Beyond this some are forgotten: at most 5 KB
# are stored per user.
MAX_SEEN_HASHES: Final = 1_000


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One thing a user did with an item. `kind`: a `signals.Kind`. `weight`: purchase 1; below 0: disliked.

    `other_weight`: the weights of the user's other events of this item and kind, decayed to `at_ms` with the half-life
    of popularity. It is the integer 0 where there are none, which takes one byte of a stored history instead of nine.
    """

    item_id: str
    at_ms: int
    kind: int
    weight: float
    other_weight: int | float = 0


class History(msgspec.Struct, array_like=True, frozen=True):
    """`seen_hashes` is empty until there are more items than entries can hold.

    Entries are newest first; equal times by item id, kind and weight, so the order is total.
    `seen_hashes` (ascending) cover all items of the user so far, those in `entries` included.
    """

    entries: tuple[Entry, ...] = ()
    seen_hashes: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)


NO_HISTORY: Final = History()

_item_id: Final = attrgetter("item_id")
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(History)


def encode_history(history: History) -> bytes:
    """A history as it is stored and cached: MessagePack, some 31 bytes an entry and 5 a hash."""
    return _encoder.encode(history)


def decode_history(data: bytes) -> History:
    """Raises `msgspec.DecodeError` if `data` is not an encoded history."""
    return _decoder.decode(data)


def seen_hash(item_id: str) -> int:
    """A 32-bit hash of the item: two of a user's items collide once in millions of users."""
    return crc32(item_id.encode())


class HistoryBuilder:
    """A history that is being changed; `entries` are in a history's order."""

    def __init__(self, history: History, model: Model) -> None:
        self._model = model
        self._before = history
        self._seen_hashes: set[int] | None = set(history.seen_hashes) if history.seen_hashes else None
        self.entries = list(history.entries)

    def finish(self) -> History:
        """The resulting history; the original object if nothing changed."""
        seen_hashes = () if self._seen_hashes is None else tuple(sorted(self._seen_hashes)[:MAX_SEEN_HASHES])
        result = History(tuple(self.entries), seen_hashes)
        return self._before if result == self._before else result

    def had(self, item_id: str) -> bool:
        """Whether the item is among those that the entries do not hold any more."""
        return self._seen_hashes is not None and seen_hash(item_id) in self._seen_hashes

    def held(self, item_id: str) -> list[Entry]:
        """The entries of the item, newest first."""
        return list(compress(self.entries, map(item_id.__eq__, map(_item_id, self.entries))))

    def insert(self, entry: Entry, held: Iterable[Entry]) -> None:
        """`held`: the entries of its item."""
        entries = self.entries
        item_id, kind = entry.item_id, entry.kind
        if self._seen_hashes is not None:
            self._seen_hashes.add(seen_hash(item_id))
        for other in held:
            if other.kind == kind:
                del entries[bisect_left(entries, _order(other), key=_order)]
                entry = _joined(other, entry, self._model.weekly_half_life_ms)
                break
        if not entries or entry.at_ms > entries[0].at_ms:
            entries.insert(0, entry)
        else:
            entries.insert(bisect_left(entries, _order(entry), key=_order), entry)
        if len(entries) > MAX_ITEMS:
            self._drop_old()

    def _drop_old(self) -> None:
        """Drops the entries after the newest entry of the 50th item."""
        entries = self.entries
        ids = list(map(_item_id, entries))
        newest_first = list(dict.fromkeys(ids))
        if len(newest_first) < MAX_ITEMS:
            return
        last = newest_first[MAX_ITEMS - 1]
        index = ids.index(last)
        end = index + 1
        # Entries of that item with the same time belong together, whatever their kind.
        while end < len(entries) and _place(entries[end]) == _place(entries[index]):
            end += 1
        if self._seen_hashes is None and len(newest_first) > MAX_ITEMS:
            self._seen_hashes = set(map(seen_hash, newest_first))
        del entries[end:]


def _joined(one: Entry, other: Entry, half_life_ms: int) -> Entry:
    """The latest of two entries of one item and kind; the other one's weights go into its sum."""
    latest, earlier = (one, other) if _order(one) <= _order(other) else (other, one)
    decay = exp2((earlier.at_ms - latest.at_ms) / half_life_ms)
    other_weight = latest.other_weight + (earlier.weight + earlier.other_weight) * decay
    return Entry(latest.item_id, latest.at_ms, latest.kind, latest.weight, other_weight)


def _place(entry: Entry) -> tuple[int, str]:
    return entry.at_ms, entry.item_id


def _order(entry: Entry) -> tuple[int, str, int, float]:
    return -entry.at_ms, entry.item_id, -entry.kind, -entry.weight
