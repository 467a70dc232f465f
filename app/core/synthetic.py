"""A synthetic log with a known structure: drifting tastes, new items, new users.

Each user has a taste, one group of items, and keeps to it most of the time; now and then the taste changes. Items of a
group are chosen by a popularity of their own, and new ones enter every group as time goes by. So it is
known what a ranking must learn: the taste, its changes, and the new items.
"""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct

from app.core.events import MESSAGE_VERSION
from app.core.exploration import Chance
from app.core.messages import ClickMessage, Message, PurchaseMessage, ViewMessage, WatchMessage
from app.core.signals import HOUR_MS, LANDMARK_MS


class World(Struct, frozen=True, kw_only=True):
    """Sizes and odds. `new_items`: share of the items that appear only during the log."""

    events: int = 20_000
    users: int = 800
    items: int = 600
    groups: int = 20
    new_items: float = 0.3
    drift: float = 0.01
    faithful: float = 0.85
    hours: float = 24.0 * 60


def log(world: World, chance: Chance) -> Iterator[Message]:
    """The events in time order. `chance` gives numbers in [0, 1), such as `random.Random(seed).random`.

    Users appear one after the other, so that there are new ones until the end. One watch in five is abandoned.
    """
    tastes: dict[int, int] = {}
    per_group = world.items // world.groups
    for number in range(world.events):
        past = number / world.events
        at_ms = LANDMARK_MS + round(past * world.hours * HOUR_MS)
        user = int(chance() * (1 + (world.users - 1) * (0.2 + 0.8 * past)))
        if user not in tastes or chance() < world.drift:
            tastes[user] = int(chance() * world.groups)
        group = tastes[user] if chance() < world.faithful else int(chance() * world.groups)
        there = max(1, round(per_group * (1.0 - world.new_items * (1.0 - past))))
        # The newest come first, and the square prefers the first: new items are in demand.
        place = there - 1 - int(there * chance() ** 2)
        yield _event(number, f"user-{user}", f"item-{group}-{place}", at_ms, chance)


def _event(number: int, user_id: str, item_id: str, at_ms: int, chance: Chance) -> Message:
    fields: dict[str, Any] = {
        "v": MESSAGE_VERSION,
        "event_id": f"synthetic-{number}",
        "user_id": user_id,
        "session_id": user_id,
        "ts_ms": at_ms,
        "received_ms": at_ms,
        "item_id": item_id,
    }
    kind = chance()
    if kind < 0.5:
        return ViewMessage(**fields)
    if kind < 0.75:
        return ClickMessage(**fields)
    if kind < 0.85:
        return PurchaseMessage(**fields)
    abandoned = chance() < 0.2
    return WatchMessage(
        watch_time_sec=2.0 if abandoned else 600.0, percent_watched=1.0 if abandoned else 80.0, **fields
    )
