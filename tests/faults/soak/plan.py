"""What a soak does to the service, drawn from a seed. Pure: no clock, no I/O."""

import random
from collections.abc import Iterator
from typing import Final, Literal

from msgspec import Struct

Action = Literal["kill", "freeze"]
Server = Literal["postgres", "redis", "kafka"]
Kind = Literal[
    "processes",
    "kafka killed",
    "kafka frozen",
    "postgres killed",
    "postgres frozen",
    "postgres silent",
    "postgres reset",
    "postgres delayed",
    "redis killed",
    "redis frozen",
    "redis flushed",
    "redis delayed",
]

# Seconds from the end of a fault until all that was sent is counted and the cache agrees. A fault of the table has the
# bound of its row; where processes die too, all of them have to come back and the group has to agree again.
BOUNDS: Final[dict[Kind, float]] = {
    "processes": 60.0,
    "kafka killed": 30.0,
    "kafka frozen": 30.0,
    "postgres killed": 30.0,
    "postgres frozen": 30.0,
    "postgres silent": 30.0,
    "postgres reset": 30.0,
    "postgres delayed": 30.0,
    "redis killed": 30.0,
    "redis frozen": 30.0,
    "redis flushed": 30.0,
    "redis delayed": 30.0,
}
_OTHERS: Final = tuple(kind for kind in BOUNDS if kind != "processes")
_FREEZES: Final = 0.15
_LONGEST_FREEZE_SEC: Final = 3.0
_LONGEST_DOWN_SEC: Final = 0.5
_FAULT_SEC: Final = (1.0, 8.0)
_STORM_SEC: Final = (20.0, 45.0)


class Strike(Struct, frozen=True):
    """A process is killed, and started again after `seconds`; or frozen for so long."""

    after_sec: float
    """Since the strike before."""
    action: Action
    process: int
    seconds: float


class Round(Struct, frozen=True):
    """One fault of a server or its network for `seconds`, or strikes against processes one after another."""

    kind: Kind
    seconds: float
    strikes: tuple[Strike, ...] = ()


def rounds(seed: int, *, processes: int, strikes_per_sec: float) -> Iterator[Round]:
    """Without end: strikes against processes in every second round."""
    chance = random.Random(seed)
    while True:
        yield _storm(chance, processes, strikes_per_sec)
        yield Round(chance.choice(_OTHERS), chance.uniform(*_FAULT_SEC))


def _storm(chance: random.Random, processes: int, strikes_per_sec: float) -> Round:
    seconds = chance.uniform(*_STORM_SEC)
    strikes: list[Strike] = []
    elapsed = 0.0
    while (after := chance.expovariate(strikes_per_sec)) + elapsed < seconds:
        elapsed += after
        freezes = chance.random() < _FREEZES
        longest = _LONGEST_FREEZE_SEC if freezes else _LONGEST_DOWN_SEC
        strikes.append(
            Strike(after, "freeze" if freezes else "kill", chance.randrange(processes), chance.uniform(0.0, longest))
        )
    return Round("processes", seconds, tuple(strikes))
