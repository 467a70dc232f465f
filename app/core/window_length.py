"""How long a window of time is that holds about as many rows as wanted."""

from typing import Final

LEAST_SEC: Final = 0.001
LONGEST_SEC: Final = 64 * 86_400.0


def shortened(length_sec: float, found: int, wanted: int) -> float | None:
    """The length to try after a window that holds `found` rows; None: this one will do."""
    if found <= wanted or length_sec <= LEAST_SEC:
        return None
    return max(LEAST_SEC, min(length_sec / 2, length_sec * (wanted / found)))


def following(length_sec: float, found: int, wanted: int) -> float:
    """The length to begin with after a window that was read."""
    return min(LONGEST_SEC, 2 * length_sec) if found < wanted / 2 else length_sec
