"""How often Python's collector looks for cycles, and how long one thread keeps the interpreter from the others."""

import gc
import sys
from typing import Final

# While a thread makes an index of 100,000 items, or reads the next rows of an import, the event loop waits so long for
# the interpreter at each of its turns. Python's 5 ms would be 30 ms for an answer.
_SWITCH_SEC: Final = 0.0005


def tune() -> None:
    """For a process with an event loop; call it once all is imported.

    A request makes some hundred objects and no cycles. By default the collector would run every few requests, and
    scan all objects every few hundred. Objects that exist at the start are exempted: they live as long as the process.
    """
    gc.collect()
    gc.freeze()
    # What survives is scanned a second time some 30,000 objects at once: while caches fill, no answer waits for more
    # than a few milliseconds.
    gc.set_threshold(10_000, 2, 1_000)
    sys.setswitchinterval(_SWITCH_SEC)
