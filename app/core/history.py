"""A user's latest events and hashes of all earlier items; the result does not depend on the order of arrival.

A history is a function of its events, each of which is inserted once. It keeps the latest entry of each item and kind,
down to the newest entry of the 50th item. Adding entries only moves that bound forward: an entry that is dropped once
would be dropped by every later state. What the other events of an item and kind weighed is kept as a sum, while the
history holds the item.

Items beyond those 50 are kept as 32-bit hashes, so that a heavy user is not shown last year's films again. The union of
the sets, cut to the 1,000 smallest hashes, is a join as well. Those whose offer the user has ended are kept in the same
way beside them.

A cancellation is inserted as an event of the same time and kind with the opposite weight. Whichever of the two comes
first, the entry that is left weighs nothing, and `standing` leaves it out. A sum does not tell which cancellations are
in it, so the history keeps a number of each of the latest 100.
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
MAX_ENDED_HASHES: Final = 1_000
MAX_TAKEN_BACK: Final = 100

NO_PAIRS: Final = 1
ENDS_OFFER: Final = 2
CANCELS: Final = 4
"""Bits of `Entry.flags`: it makes no pairs; the user is not offered the item again; its latest event is a
cancellation.
"""
_CANCELLED: Final = 8
"""And: there is a cancellation among its events."""
_NOTHING: Final = 1e-9
_HASH_BITS: Final = 22
_LATEST_MS: Final = 2**42 - 1


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One thing a user did with an item. `kind`: a `signals.Kind`, or the number of an event type. `weight`: a purchase
    is 1; below 0: disliked. `flags`: bits, see `NO_PAIRS` and those after it.

    `other_weight`: the weights of the user's other events of this item and kind, decayed to `at_ms` with the half-life
    of popularity. It is the integer 0 where there are none, which takes one byte of a stored history instead of nine.
    """

    item_id: str
    at_ms: int
    kind: int
    weight: float
    other_weight: int | float = 0
    flags: int = 0

    @property
    def stands(self) -> bool:
        """False when all of its events have been taken back."""
        if self.flags < CANCELS:
            return True
        return not self.flags & CANCELS and abs(self.weight + self.other_weight) > _NOTHING


class History(msgspec.Struct, array_like=True, frozen=True, dict=True):
    """`seen_hashes` is empty until there are more items than entries can hold.

    Entries are newest first; equal times by item id, kind and weight, so the order is total.
    `seen_hashes` (ascending) cover all items of the user so far, those in `entries` included. `ended_hashes`
    (ascending): of items that are not in `entries` any more, and that the user is not offered again. `taken_back`
    (descending): the cancellations of the user's latest events that are counted, each as `cancellation_number` has it.
    Beside its fields it has room (`__dict__`) for what is computed from it.
    """

    entries: tuple[Entry, ...] = ()
    seen_hashes: tuple[int, ...] = ()
    ended_hashes: tuple[int, ...] = ()
    taken_back: tuple[int, ...] = ()

    def __len__(self) -> int:
        return len(self.entries)

    def has_taken_back(self, number: int) -> bool:
        """Whether it counts this cancellation, or has forgotten whether it does."""
        known = self.taken_back
        return number in known or (len(known) >= MAX_TAKEN_BACK and number < known[-1])

    def may_have_taken_back(self, at_ms: int) -> bool:
        """Whether it counts a cancellation of an event of this time, or has forgotten whether it does."""
        least = cancellation_number(at_ms, bytes(3))
        return self.has_taken_back(least) or any(
            number >> _HASH_BITS == least >> _HASH_BITS for number in self.taken_back
        )


NO_HISTORY: Final = History()

_item_id: Final = attrgetter("item_id")
_flags: Final = attrgetter("flags")
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(History)


def encode_history(history: History) -> bytes:
    """A history as it is stored and cached: MessagePack, some 32 bytes an entry and 5 a hash."""
    return _encoder.encode(history)


def decode_history(data: bytes) -> History:
    """Raises `msgspec.DecodeError` if `data` is not an encoded history."""
    return _decoder.decode(data)


def seen_hash(item_id: str) -> int:
    """A 32-bit hash of the item: two of a user's items collide once in millions of users."""
    return crc32(item_id.encode())


def cancellation_number(at_ms: int, key: bytes) -> int:
    """A number for a cancellation: in its upper 42 bits the time of the event that it takes back, below them 22 bits of
    the `key`, a hash of its own event id.
    """
    return (min(at_ms, _LATEST_MS) << _HASH_BITS) | (int.from_bytes(key[:3], "big") >> (24 - _HASH_BITS))


def standing(history: History) -> History:
    """The history without what was taken back; maybe without any entry, and with hashes all the same."""
    if max(map(_flags, history.entries), default=0) < CANCELS:
        return history
    entries = tuple(entry for entry in history.entries if entry.stands)
    return History(entries, history.seen_hashes, history.ended_hashes)


class HistoryBuilder:
    """A history that is being changed; `entries` are in a history's order."""

    def __init__(self, history: History, model: Model) -> None:
        self._model = model
        self._before = history
        self._seen_hashes: set[int] | None = set(history.seen_hashes) if history.seen_hashes else None
        self._ended_hashes: set[int] = set(history.ended_hashes)
        self._taken_back = history.taken_back
        self._flagged = any(map(_flags, history.entries))
        self.entries = list(history.entries)

    def finish(self) -> History:
        """The resulting history; the original object if nothing changed."""
        seen_hashes = () if self._seen_hashes is None else tuple(sorted(self._seen_hashes)[:MAX_SEEN_HASHES])
        ended_hashes = tuple(sorted(self._ended_hashes)[:MAX_ENDED_HASHES]) if self._ended_hashes else ()
        result = History(tuple(self.entries), seen_hashes, ended_hashes, self._taken_back)
        return self._before if result == self._before else result

    def had(self, item_id: str) -> bool:
        """Whether the item is among those that the entries do not hold any more."""
        return self._seen_hashes is not None and seen_hash(item_id) in self._seen_hashes

    def has_forgotten(self, entry: Entry) -> bool:
        """Whether the event comes after entries of its item were dropped, and would be dropped as well. Where there are
        more items than hashes, one that may be among them counts as one that is.
        """
        if self._seen_hashes is None or not self.entries or _order(entry) < _order(self.entries[-1]):
            return False
        return self.had(entry.item_id) or (
            len(self._seen_hashes) >= MAX_SEEN_HASHES and seen_hash(entry.item_id) > max(self._seen_hashes)
        )

    def held(self, item_id: str) -> list[Entry]:
        """The entries of the item, newest first."""
        return list(compress(self.entries, map(item_id.__eq__, map(_item_id, self.entries))))

    def pairing(self) -> list[Entry]:
        """The entries that make pairs, newest first."""
        if not self._flagged:
            return self.entries
        return [entry for entry in self.entries if not entry.flags & NO_PAIRS and entry.stands]

    def insert(self, entry: Entry, held: Iterable[Entry]) -> None:
        """`held`: the entries of its item."""
        entries = self.entries
        item_id, kind = entry.item_id, entry.kind
        if self._seen_hashes is not None:
            self._seen_hashes.add(seen_hash(item_id))
        self._flagged = self._flagged or entry.flags > 0
        if entry.flags & CANCELS and entry.flags & ENDS_OFFER:
            self._ended_hashes.discard(seen_hash(item_id))
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

    def note_cancellations(self, numbers: Iterable[int]) -> None:
        """Notes that these are counted."""
        self._taken_back = tuple(sorted({*self._taken_back, *numbers}, reverse=True)[:MAX_TAKEN_BACK])

    def add_all(self, other: History) -> None:
        """Inserts what another history holds, whose events are all others than those of this one."""
        self.note_cancellations(other.taken_back)
        self._ended_hashes.update(other.ended_hashes)
        if self._seen_hashes is not None or other.seen_hashes:
            known = set(map(seen_hash, map(_item_id, self.entries))) if self._seen_hashes is None else self._seen_hashes
            self._seen_hashes = known.union(other.seen_hashes)
        for entry in other.entries:
            self.insert(entry, self.held(entry.item_id))

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
        ended = [entry for entry in entries[end:] if entry.flags & ENDS_OFFER and entry.stands]
        self._ended_hashes.update(seen_hash(entry.item_id) for entry in ended)
        del entries[end:]


def _joined(one: Entry, other: Entry, half_life_ms: int) -> Entry:
    """The latest of two entries of one item and kind; the other one's weights go into its sum."""
    latest, earlier = (one, other) if _order(one) <= _order(other) else (other, one)
    decay = exp2((earlier.at_ms - latest.at_ms) / half_life_ms)
    other_weight = latest.other_weight + (earlier.weight + earlier.other_weight) * decay
    flags = latest.flags | _CANCELLED if (latest.flags | earlier.flags) >= CANCELS else latest.flags
    return Entry(latest.item_id, latest.at_ms, latest.kind, latest.weight, other_weight, flags)


def _place(entry: Entry) -> tuple[int, str]:
    return entry.at_ms, entry.item_id


def _order(entry: Entry) -> tuple[int, str, int, int, float]:
    """Of one time, what a cancellation takes back comes before it."""
    return -entry.at_ms, entry.item_id, -entry.kind, entry.flags & CANCELS, -entry.weight
