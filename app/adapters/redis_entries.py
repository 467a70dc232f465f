"""The keys of histories in Redis, and the parts of an entry that stand for nothing."""

from typing import Final

from app.core import cache_entry

HISTORIES: Final = "reco:history.v3:"
OWN_WRITES: Final = "reco:own.v1:"
"""The number in the head of an entry is that of the user's last erasure; the own writes follow."""
PROBES_TTL_MS: Final = 86_400_000

NO_EPOCH: Final = bytes(cache_entry.EPOCH_BYTES)
NO_ERASURE: Final = bytes(8)
NO_EVENT: Final = bytes(8)
"""The key of a counted event that nobody has sent: with it a probe runs all that a history may need."""
