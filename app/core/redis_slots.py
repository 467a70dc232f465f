"""Which master of a Redis Cluster serves which of its 16,384 slots.

The cache has an epoch for each slot group: 256 slots that follow each other. It holds as long as the same servers serve
the same slots of the group.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

SLOTS: Final = 16_384
GROUPS: Final = 64
_GROUP_SLOTS: Final = SLOTS // GROUPS


class Master(Struct, frozen=True):
    """`node_id`: as the cluster names it. It stays the same when the server starts again."""

    node_id: str
    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class SlotRange(Struct, frozen=True):
    """From `first` up to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


class SlotMap:
    """The slots of each master. A slot that no master serves is missing."""

    def __init__(self, served: Mapping[Master, Sequence[SlotRange]]) -> None:
        self.served = served
        self._owners: list[Master | None] = [None] * SLOTS
        for master, ranges in served.items():
            for part in ranges:
                self._owners[part.first : part.last + 1] = [master] * (part.last + 1 - part.first)

    def master_of(self, slot: int) -> Master | None:
        return self._owners[slot]

    def missing(self) -> list[SlotRange]:
        at, found = 0, []
        for part in sorted((part for parts in self.served.values() for part in parts), key=lambda part: part.first):
            if part.first > at:
                found.append(SlotRange(at, part.first - 1))
            at = part.last + 1
        return found if at == SLOTS else [*found, SlotRange(at, SLOTS - 1)]

    def groups_of(self, master: Master) -> set[int]:
        """The slot groups of which it serves a part at least."""
        return {
            group
            for part in self.served.get(master, ())
            for group in range(group_of(part.first), group_of(part.last) + 1)
        }

    def servers_of_groups(self, servers: Mapping[Master, str]) -> dict[int, str]:
        """By slot group: which of its slots are served by which server. `servers`: the server that each master is now.
        A group is left out when no master serves a slot of it, or one that does has no server.
        """
        parts: dict[int, list[tuple[int, str]]] = {}
        unknown: set[int] = set()
        for master, ranges in self.served.items():
            if master not in servers:
                unknown |= self.groups_of(master)
                continue
            for part in ranges:
                for group in range(group_of(part.first), group_of(part.last) + 1):
                    within = SlotRange(
                        max(part.first, group * _GROUP_SLOTS), min(part.last, (group + 1) * _GROUP_SLOTS - 1)
                    )
                    parts.setdefault(group, []).append((within.first, f"{within} {servers[master]}"))
        return {
            group: ", ".join(text for _, text in sorted(found))
            for group, found in parts.items()
            if group not in unknown
        }


def group_of(slot: int) -> int:
    return slot // _GROUP_SLOTS


def parse(answer: Any, asked: str) -> SlotMap:
    """The answer to `CLUSTER SLOTS`. `asked`: the host that gave it, which stands for one that the answer does not
    name. Raises `ValueError` for anything else.
    """
    served: dict[Master, list[SlotRange]] = {}
    try:
        for first, last, (host, port, node_id, *_), *_replicas in answer:
            name = host.decode() if host else ""
            master = Master(node_id.decode(), asked if name in ("", "?") else name, int(port))
            served.setdefault(master, []).append(SlotRange(int(first), int(last)))
    except (TypeError, ValueError, AttributeError) as error:
        raise ValueError("CLUSTER SLOTS has an answer that cannot be read") from error
    return SlotMap(served)


def shown(ranges: Iterable[SlotRange]) -> str:
    """For a message: the ranges in their order."""
    return ", ".join(str(part) for part in sorted(ranges, key=lambda part: part.first))
