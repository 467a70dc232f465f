"""What a user did last: the 50 most recent items, whatever order the events arrive in.

A history is a function of the *set* of entries behind it. Of each item and kind the latest entry is kept, and of those
the ones that do not come after the newest entry of the 50th item. Taking entries in only ever moves that bound
forward, so `merge_history` is the join of a semilattice: what was dropped once would be dropped by every later state.
"""

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

import msgspec

MAX_ITEMS: Final = 50


class Entry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One thing a user did with an item: `kind` is a `signals.Kind`, `weight` what it said (purchase 1, below 0: no)."""

    item_id: str
    at_ms: int
    kind: int
    weight: float


History = tuple[Entry, ...]
"""Newest first; equal times by item id, kind and weight, so the order is total and needs no other arbiter."""

_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(History)


def encode_history(history: History) -> bytes:
    """A history as it is stored and cached: MessagePack, some 30 bytes an entry."""
    return _encoder.encode(history)


def decode_history(data: bytes) -> History:
    """Raises `msgspec.DecodeError` if `data` is no encoded history."""
    return _decoder.decode(data)


def merge_history(history: History, entries: Iterable[Entry]) -> History:
    """The history with `entries` taken in; `history` itself if they change nothing."""
    merged = list(history)
    for entry in entries:
        insert(merged, entry)
    result = tuple(merged)
    return history if result == history else result


def insert(entries: list[Entry], entry: Entry) -> None:
    """Takes one entry into a history that is being built (a list in a history's order)."""
    item_id, kind = entry.item_id, entry.kind
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
        _drop_old(entries)


def _order(entry: Entry) -> tuple[int, str, int, float]:
    return -entry.at_ms, entry.item_id, -entry.kind, -entry.weight


def _drop_old(entries: list[Entry]) -> None:
    """Drops what comes after the newest entry of the last item that has a place."""
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        seen.add(entry.item_id)
        if len(seen) == MAX_ITEMS:
            end = index + 1
            # What the user did with that item at that very moment has one place in the order, whatever its kind.
            while end < len(entries) and entries[end].item_id == entry.item_id and entries[end].at_ms == entry.at_ms:
                end += 1
            del entries[end:]
            return
