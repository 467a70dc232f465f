"""What a user did last, and which items there ever were: the same whatever order the events arrive in.

A history is a function of the *set* of entries behind it. Of each item and kind the latest entry is kept, and of those
the ones that do not come after the newest entry of the 50th item. Taking entries in only ever moves that bound
forward, so merging is the join of a semilattice: what was dropped once would be dropped by every later state.

Beyond those 50 the user's items are remembered as 32-bit hashes, so that a heavy user is not shown last year's films
again: the union of sets, cut to the least 1,000 hashes, is a join as well.
"""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import Final
from zlib import crc32

import msgspec

MAX_ITEMS: Final = 50
# 99 of 100 users of a dense movie log have fewer than 450 items. Beyond this some are forgotten; no more than 5 KB
# a user are stored.
MAX_SEEN_HASHES: Final = 1_000


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One thing a user did with an item. `kind` is a `signals.Kind`, `weight` what it said: purchase 1, below 0 no."""

    item_id: str
    at_ms: int
    kind: int
    weight: float


class History(msgspec.Struct, array_like=True, frozen=True):
    """Iterating gives the entries. `seen_hashes` is empty until there are more items than entries can hold.

    Entries are newest first; equal times by item id, kind and weight, so the order is total and needs no arbiter.
    `seen_hashes` (ascending) are those of all items there ever were, the ones in `entries` included.
    """

    entries: tuple[Entry, ...] = ()
    seen_hashes: tuple[int, ...] = ()

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


NO_HISTORY: Final = History()

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(History)


def encode_history(history: History) -> bytes:
    """A history as it is stored and cached: MessagePack, some 30 bytes an entry and 5 a hash."""
    return _encoder.encode(history)


def decode_history(data: bytes) -> History:
    """Raises `msgspec.DecodeError` if `data` is no encoded history."""
    return _decoder.decode(data)


def seen_hash(item_id: str) -> int:
    """32 bits that stand for an item: two of a user's items share them once in millions of users."""
    return crc32(item_id.encode())


def merge_history(history: History, entries: Iterable[Entry]) -> History:
    """The history with `entries` taken in; `history` itself if they change nothing."""
    builder = HistoryBuilder(history)
    for entry in entries:
        builder.insert(entry)
    return builder.finish()


class HistoryBuilder:
    """A history that is being changed; `entries` are in a history's order."""

    def __init__(self, history: History) -> None:
        self._before = history
        self._seen_hashes: set[int] | None = set(history.seen_hashes) if history.seen_hashes else None
        self.entries = list(history.entries)

    def finish(self) -> History:
        """The history as it is now; the one it was made of if nothing changed."""
        seen_hashes = () if self._seen_hashes is None else tuple(sorted(self._seen_hashes)[:MAX_SEEN_HASHES])
        result = History(tuple(self.entries), seen_hashes)
        return self._before if result == self._before else result

    def insert(self, entry: Entry) -> None:
        entries = self.entries
        item_id, kind = entry.item_id, entry.kind
        if self._seen_hashes is not None:
            self._seen_hashes.add(seen_hash(item_id))
        for index, other in enumerate(entries):
            if other.item_id == item_id and other.kind == kind:
                if _order(other) <= _order(entry):
                    return
                del entries[index]
                break
        if not entries or entry.at_ms > entries[0].at_ms:
            entries.insert(0, entry)
        else:
            entries.insert(bisect_left(entries, _order(entry), key=_order), entry)
        if len(entries) > MAX_ITEMS:
            self._drop_old()

    def _drop_old(self) -> None:
        """Drops what comes after the newest entry of the last item that has a place."""
        entries = self.entries
        seen: set[str] = set()
        for index, entry in enumerate(entries):
            seen.add(entry.item_id)
            if len(seen) == MAX_ITEMS:
                end = index + 1
                # What the user did with that item at that very moment has one place in the order, whatever its kind.
                while end < len(entries) and _place(entries[end]) == _place(entry):
                    end += 1
                if self._seen_hashes is None and any(other.item_id not in seen for other in entries[end:]):
                    self._seen_hashes = {seen_hash(other.item_id) for other in entries}
                del entries[end:]
                return


def _place(entry: Entry) -> tuple[int, str]:
    return entry.at_ms, entry.item_id


def _order(entry: Entry) -> tuple[int, str, int, float]:
    return -entry.at_ms, entry.item_id, -entry.kind, -entry.weight
