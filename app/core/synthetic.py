"""Synthetic logs with a known structure, so that it is known what a ranking must learn.

Each user has a taste, one group of items, and keeps to it most of the time. What else is there depends on the kind of
log: new items, items that die within hours, tastes that change, items that come again, sessions.
"""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from app.core.events import MESSAGE_VERSION
from app.core.exploration import Chance
from app.core.messages import ClickMessage, Message, PurchaseMessage, ViewMessage, WatchMessage
from app.core.signals import HOUR_MS, LANDMARK_MS


class World(Struct, frozen=True, kw_only=True):
    """Sizes and odds. Users and items are spread over `groups`.

    `hours`: from the first event to the last. `new_items`: share of the items that appear during the log. `living`: how
    many of a group's items are taken at a time, the newest; None: all that are there. `session`: how many events a user
    stays for, on average; None: until the end. The odds in an event: `drift`: the taste changes; `faithful`: the item
    is of the taste; `repeats`: it is one of the user's last ten; `follows`: it is the one that all take next.
    """

    events: int = 20_000
    users: int = 800
    items: int = 600
    groups: int = 20
    hours: float = 24.0 * 60
    new_items: float = 0.3
    living: int | None = None
    drift: float = 0.01
    faithful: float = 0.85
    repeats: float = 0.0
    follows: float = 0.0
    session: float | None = None


SHOP: Final = "shop"
WORLDS: Final[dict[str, World]] = {
    SHOP: World(),
    "news": World(hours=24.0 * 10, items=2_000, groups=10, new_items=1.0, living=3, faithful=0.6),
    "repeats": World(new_items=0.1, drift=0.0, repeats=0.6),
    "drift": World(groups=30, new_items=0.0, drift=0.1, faithful=0.95),
    "sessions": World(hours=24.0 * 7, new_items=0.0, follows=0.5, session=5.0),
}
"""By kind. `news`: an item lives for a few hours. `repeats`: users come back to what they had. `drift`: tastes do not
last. `sessions`: a user comes once, for a few events, and items follow each other."""

_LATEST: Final = 10


class _User(Struct):
    name: str
    taste: int
    latest: list[tuple[int, int]]
    """The last items, by group and place, each once, the last one last."""


def log(world: World, chance: Chance) -> Iterator[Message]:
    """The events in time order. `chance` gives numbers in [0, 1), such as `random.Random(seed).random`.

    Users appear one after the other, so that there are new ones until the end. One watch in five is abandoned.
    """
    users: dict[int, _User] = {}
    came = 0
    for number in range(world.events):
        past = number / world.events
        at_ms = LANDMARK_MS + round(past * world.hours * HOUR_MS)
        place = int(chance() * (1 + (world.users - 1) * (0.2 + 0.8 * past)))
        user = users.get(place)
        if user is None or (world.session is not None and chance() < 1.0 / world.session):
            user = users[place] = _User(f"user-{came}", int(chance() * world.groups), [])
            came += 1
        if chance() < world.drift:
            user.taste = int(chance() * world.groups)
        item = _chosen(world, user, past, chance)
        if item in user.latest:
            user.latest.remove(item)
        user.latest = [*user.latest[1 - _LATEST :], item]
        yield _event(number, user.name, f"item-{item[0]}-{item[1]}", at_ms, chance)


def _chosen(world: World, user: _User, past: float, chance: Chance) -> tuple[int, int]:
    per_group = world.items // world.groups
    if user.latest and chance() < world.repeats:
        return user.latest[int(chance() * len(user.latest))]
    if user.latest and chance() < world.follows:
        group, place = user.latest[-1]
        return group, (place + 1) % per_group
    group = user.taste if chance() < world.faithful else int(chance() * world.groups)
    there = max(1, round(per_group * (1.0 - world.new_items * (1.0 - past))))
    living = there if world.living is None else min(there, world.living)
    # The newest come first, and the square prefers the first: new items are in demand.
    return group, there - 1 - int(living * chance() ** 2)


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
