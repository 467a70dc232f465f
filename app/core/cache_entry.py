"""Entries of the cache in Redis as bytes: the cache epoch, a number, and the content.

The head has a fixed size, so that a script in Redis compares epochs for equality and numbers by their bytes. The
content of a cached history begins with a checksum: damaged bytes count as missing, and cost their user no errors.
"""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import msgspec

EPOCH_BYTES: Final = 16
_NUMBER_BYTES: Final = 8
_HEAD_BYTES: Final = EPOCH_BYTES + _NUMBER_BYTES
_SUM_BYTES: Final = 4
# No MessagePack begins with this byte, so no history does. The joined ids follow, their length (2 bytes) first.
_HAS_JOINED: Final = b"\xc1"
_LENGTH_BYTES: Final = 2

_ids_decoder: Final = msgspec.msgpack.Decoder(tuple[str, ...])


def encode(epoch: bytes, number: int, content: bytes) -> bytes:
    return epoch + number.to_bytes(_NUMBER_BYTES, "big") + content


def decode(entry: bytes | None, epoch: bytes) -> tuple[int, bytes] | None:
    """Number and content of an entry of this epoch; None for any other value."""
    if entry is None or len(entry) < _HEAD_BYTES or not entry.startswith(epoch):
        return None
    return int.from_bytes(entry[EPOCH_BYTES:_HEAD_BYTES], "big"), entry[_HEAD_BYTES:]


def encode_history(epoch: bytes, version: int, history: bytes, joined: Sequence[str] = ()) -> bytes:
    """A history as `user_history` holds it, with the version of its row. `joined`: ids whose histories are joined."""
    if joined:
        ids = msgspec.msgpack.encode(joined)
        history = _HAS_JOINED + len(ids).to_bytes(_LENGTH_BYTES, "big") + ids + history
    return encode(epoch, version, _sum(history) + history)


def decode_history(entry: bytes | None, epoch: bytes) -> tuple[int, bytes, tuple[str, ...]] | None:
    """Version, history and joined ids of a whole entry of this epoch; None for any other value."""
    found = decode(entry, epoch)
    if found is None:
        return None
    version, content = found
    history = content[_SUM_BYTES:]
    if content[:_SUM_BYTES] != _sum(history):
        return None
    if not history.startswith(_HAS_JOINED):
        return version, history, ()
    begin = len(_HAS_JOINED) + _LENGTH_BYTES
    end = begin + int.from_bytes(history[len(_HAS_JOINED) : begin], "big")
    return version, history[end:], _ids_decoder.decode(history[begin:end])


def _sum(history: bytes) -> bytes:
    return crc32(history).to_bytes(_SUM_BYTES, "big")
