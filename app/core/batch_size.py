"""How many rows to write at once: halved when Postgres gives up on a batch, doubled again when there is time to spare.

Multiplicative decrease as in TCP's congestion control (V. Jacobson, "Congestion Avoidance and Control", SIGCOMM 1988).
The increase needs no probing: the time that a full batch took says whether twice as many would fit.
"""

from typing import Final

from msgspec import Struct

# Twice the rows may take more than twice the time.
_SPARE: Final = 4.0


class BatchSize(Struct):
    """`limit` is between 1 and `largest`. `budget_sec`: the time that a batch may take."""

    largest: int
    budget_sec: float
    limit: int = 0

    def __post_init__(self) -> None:
        self.limit = self.limit or self.largest

    def too_large(self, count: int) -> None:
        """A batch of `count` was given up: the next ones are at most half as large."""
        self.limit = max(1, min(self.limit, count // 2))

    def fitted(self, count: int, took_sec: float) -> None:
        """A batch of `count` was written. Doubles the limit if the batch was full and took a quarter of the budget."""
        if count >= self.limit and took_sec * _SPARE <= self.budget_sec:
            self.limit = min(self.largest, self.limit * 2)

    def kept_pace(self, count: int, took_sec: float) -> None:
        """As `fitted`, for work that others wait for: one that took longer than the budget was too large."""
        if took_sec > self.budget_sec:
            self.too_large(count)
        else:
            self.fitted(count, took_sec)
