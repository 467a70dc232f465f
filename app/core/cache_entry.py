"""Entries of the cache in Redis as bytes: the cache epoch, a number, and the content.

The head has a fixed size, so that a script in Redis compares epochs for equality and numbers by their bytes. The
content of a cached history begins with a checksum: damaged bytes count as missing, and cost their user no errors.
"""

from typing import Final
from zlib import crc32

EPOCH_BYTES: Final = 16
_NUMBER_BYTES: Final = 8
_HEAD_BYTES: Final = EPOCH_BYTES + _NUMBER_BYTES
_SUM_BYTES: Final = 4


def encode(epoch: bytes, number: int, content: bytes) -> bytes:
    return epoch + number.to_bytes(_NUMBER_BYTES, "big") + content


def decode(entry: bytes | None, epoch: bytes) -> tuple[int, bytes] | None:
    """Number and content of an entry of this epoch; None for any other value."""
    if entry is None or len(entry) < _HEAD_BYTES or not entry.startswith(epoch):
        return None
    return int.from_bytes(entry[EPOCH_BYTES:_HEAD_BYTES], "big"), entry[_HEAD_BYTES:]


def encode_history(epoch: bytes, version: int, history: bytes) -> bytes:
    """A history as `user_history` holds it, with the version of its row."""
    return encode(epoch, version, _sum(history) + history)


def decode_history(entry: bytes | None, epoch: bytes) -> tuple[int, bytes] | None:
    """Version and history of a whole entry of this epoch; None for any other value."""
    found = decode(entry, epoch)
    if found is None:
        return None
    version, content = found
    history = content[_SUM_BYTES:]
    return (version, history) if content[:_SUM_BYTES] == _sum(history) else None


def _sum(history: bytes) -> bytes:
    return crc32(history).to_bytes(_SUM_BYTES, "big")
