"""A cached history as bytes: the cache epoch, the version of the row, and the history as `user_history` holds it.

The head has a fixed size, so that a script in Redis compares epochs for equality and versions by their bytes.
"""

from typing import Final

EPOCH_BYTES: Final = 16
_VERSION_BYTES: Final = 8
_HEAD_BYTES: Final = EPOCH_BYTES + _VERSION_BYTES


def encode(epoch: bytes, version: int, history: bytes) -> bytes:
    return epoch + version.to_bytes(_VERSION_BYTES, "big") + history


def decode(entry: bytes | None, epoch: bytes) -> tuple[int, bytes] | None:
    """Version and history of an entry of this epoch; None for any other value."""
    if entry is None or len(entry) < _HEAD_BYTES or not entry.startswith(epoch):
        return None
    return int.from_bytes(entry[EPOCH_BYTES:_HEAD_BYTES], "big"), entry[_HEAD_BYTES:]
