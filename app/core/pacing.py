"""How often a consumer begins a batch.

A batch of eight times as many messages costs three times as much: its statements are as many, and more of its pairs are
the same. So under load, a member lets messages gather while it would wait for Postgres otherwise.
"""

from typing import Final

_LONGEST_SEC: Final = 0.15
_SEC_A_MESSAGE: Final = 0.001


def interval_sec(messages: int) -> float:
    """The least time from one batch, of so many messages, to the next.

    At up to 1,000 messages a second the intervals become shorter from batch to batch until nothing waits; above, they
    grow to the longest.
    """
    return min(_LONGEST_SEC, messages * _SEC_A_MESSAGE)
