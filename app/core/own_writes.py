"""A user's own writes: events that are committed and that the stored history may not count yet.

They are laid over the history that an answer is made from. A history keeps the latest event of each item and kind, and
the latest cancellations, so it tells by itself what it has counted: an own write whose item and kind it holds with the
same time or a later one adds nothing, and neither does a cancellation that it names. One case is different: where all
that it holds of that item and kind was taken back, a write adds something unless one of its own time was taken back. So
it does no harm when own writes outlive their count, arrive in any order, or are there twice.

As bytes, a record is: its length (2 bytes), the event's key (8), the number of the last erasure when the event was
stored (4), and the entry as MessagePack. A log is any number of records.
"""

import hashlib
from collections.abc import Collection, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from app.core import entries
from app.core.history import CANCELS, ENDS_OFFER, Entry, History, HistoryBuilder, cancellation_number
from app.core.messages import ImpressionMessage, decode_message
from app.core.model import Model

KEY_BYTES: Final = 8
MAX_LOG_BYTES: Final = 8 * 1024
"""The most that is kept of one user: the latest 50 to 150 own writes."""

_LENGTH_BYTES: Final = 2
_NUMBER_BYTES: Final = 4
_ENTRY_FROM: Final = KEY_BYTES + _NUMBER_BYTES


class OwnWrite(Struct, frozen=True):
    """`key`: of the event. `erasures`: the number of the last erasure of any user when it was stored; 0: none."""

    key: bytes
    erasures: int
    entry: Entry


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(Entry)


def key_of(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode(), digest_size=KEY_BYTES).digest()


def keys_of(event_ids: Iterable[str]) -> bytes:
    return b"".join(map(key_of, event_ids))


def entry_of(payload: str) -> Entry:
    """The history entry that the consumer makes of this message, which is not an impression."""
    message = decode_message(payload.encode())
    assert not isinstance(message, ImpressionMessage)
    return entries.entry_of(message)


def encode(write: OwnWrite) -> bytes:
    record = write.key + write.erasures.to_bytes(_NUMBER_BYTES, "big") + _encoder.encode(write.entry)
    return len(record).to_bytes(_LENGTH_BYTES, "big") + record


def decode(log: bytes, *, erasures: int = 0) -> list[OwnWrite]:
    """The own writes of a log, each once, without those of before the erasure with this number. What follows a damaged
    record is left out: the stored history brings it once it is counted.
    """
    found: dict[bytes, OwnWrite] = {}
    at = 0
    while at < len(log):
        begin = at + _LENGTH_BYTES
        at = begin + int.from_bytes(log[at:begin], "big")
        number = int.from_bytes(log[begin + KEY_BYTES : begin + _ENTRY_FROM], "big")
        if number >= erasures:
            key = log[begin : begin + KEY_BYTES]
            try:
                found[key] = OwnWrite(key, number, _decoder.decode(log[begin + _ENTRY_FROM : at]))
            except msgspec.DecodeError:
                break
    return list(found.values())


def uncounted(history: History, writes: Collection[OwnWrite]) -> list[OwnWrite]:
    """Those that the history does not hold and would hold."""
    items = {write.entry.item_id for write in writes}
    held = {(entry.item_id, entry.kind): entry for entry in history.entries if entry.item_id in items}
    # A history with hashes has dropped what was older than its last entry.
    oldest = history.entries[-1].at_ms if history.seen_hashes and history.entries else -1

    def adds(write: OwnWrite) -> bool:
        entry = write.entry
        if not entry.flags & CANCELS:
            if entry.at_ms < oldest:
                return False
            latest = held.get((entry.item_id, entry.kind))
            if latest is None or entry.at_ms > latest.at_ms:
                return True
            # If it were counted, and not taken back, something would stand.
            return not latest.stands and not history.may_have_taken_back(entry.at_ms)
        # Of an event that ended an offer, a hash is left when its entry is dropped.
        known = entry.at_ms >= oldest or entry.flags & ENDS_OFFER
        return bool(known) and not history.has_taken_back(cancellation_number(entry.at_ms, write.key))

    return list(filter(adds, writes))


def laid_over(history: History, writes: Collection[OwnWrite], counted: Model) -> History:
    """The history, made with the parameters of `counted`, with what it has not counted yet."""
    left = sorted(uncounted(history, writes), key=_at_ms)
    if not left:
        return history
    builder = HistoryBuilder(history, counted)
    for write in left:
        builder.insert(write.entry, builder.held(write.entry.item_id))
    return builder.finish()


def _at_ms(write: OwnWrite) -> int:
    return write.entry.at_ms
