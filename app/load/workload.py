"""A world of users and items to draw events from: the same seed gives the same world and the same events.

It has what a recommender's load depends on: items are popular by Zipf's law, users prefer a cluster or two of
items (so that pairs of items repeat, as they do in real logs), some users do more than others, and the types of
events are mixed.
"""

import itertools
import random
from collections.abc import Iterator, Sequence
from typing import Any, Final

from msgspec import Struct

from app.core.events import Click, DirectEvent, Impression, Purchase, ShownItem, View, Watch

# Exponents of Zipf's law, weight = 1 / rank^s. Items: close to 1 in catalogues of media and shops (Breslau et al.,
# "Web Caching and Zipf-like Distributions", 1999: 0.64 to 0.83 for pages; shops and films are steeper). Users: milder.
ITEM_EXPONENT: Final = 0.9
USER_EXPONENT: Final = 0.5
ITEMS_PER_CLUSTER: Final = 50
# The rest of what a user does is drawn from all items: what is popular is popular with everybody.
SHARE_FROM_CLUSTERS: Final = 0.8
SHOWN_ITEMS: Final = 10
SEED_SPAN_MS: Final = 6 * 24 * 3600 * 1000  # the API takes events up to 7 days old

# Type → share. Each share of an impression stands for a list shown; the rest is what users then did with items.
MIX: Final = {"watch": 0.35, "view": 0.25, "click": 0.2, "impression": 0.15, "purchase": 0.05}

_DEVICES: Final = ("android", "ios", "web", "tv")
_PAGES: Final = ("home", "search", "detail", "playlist", "profile")


class Shape(Struct, frozen=True, kw_only=True):
    """How large the world is. `history`: events that `seed_events` gives each user, on average and at least 1."""

    users: int
    items: int
    history: int
    seed: int


class Population:
    """Draws users, items and events."""

    def __init__(self, shape: Shape, prefix: str = "") -> None:
        """`prefix`: of all ids."""
        self.shape = shape
        rng = random.Random(f"world-{shape.seed}")
        self._item_weights = _zipf(shape.items, ITEM_EXPONENT)
        self._user_weights = _zipf(shape.users, USER_EXPONENT)
        # Ids are dealt out at random, so that an id says nothing about rank.
        self.item_ids = [f"{prefix}item-{number:06d}" for number in rng.sample(range(shape.items), shape.items)]
        self.user_ids = [f"{prefix}user-{number:07d}" for number in rng.sample(range(shape.users), shape.users)]
        clusters = max(1, shape.items // ITEMS_PER_CLUSTER)
        # By rank modulo the number of clusters: every cluster has popular and unpopular items.
        self.clusters = [range(first, shape.items, clusters) for first in range(clusters)]
        self._cluster_weights = [
            list(itertools.accumulate(1.0 / (rank + 1) ** ITEM_EXPONENT for rank in cluster))
            for cluster in self.clusters
        ]
        self.tastes = [(rng.randrange(clusters), rng.randrange(clusters)) for _ in range(shape.users)]

    def user(self, rng: random.Random) -> int:
        """The index of a user, the busy ones more often."""
        return rng.choices(range(self.shape.users), cum_weights=self._user_weights)[0]

    def item(self, rng: random.Random, user: int) -> str:
        """The id of an item for this user: mostly of a favourite cluster, else of all."""
        if rng.random() >= SHARE_FROM_CLUSTERS:
            return self.item_ids[rng.choices(range(self.shape.items), cum_weights=self._item_weights)[0]]
        cluster = self.tastes[user][rng.random() < 0.3]
        rank = rng.choices(self.clusters[cluster], cum_weights=self._cluster_weights[cluster])[0]
        return self.item_ids[rank]

    def events(self, stream: str) -> Iterator[DirectEvent]:
        """Endless events without id and time; `stream` names the sequence, equal names give equal events."""
        rng = random.Random(f"{stream}-{self.shape.seed}")
        types, weights = list(MIX), list(itertools.accumulate(MIX.values()))
        while True:
            yield self._event(rng, rng.choices(types, cum_weights=weights)[0], self.user(rng))

    def seed_events(self, now_ms: int) -> Iterator[DirectEvent]:
        """The histories: `users` × `history` events, none an impression, in time order over the last days."""
        rng = random.Random(f"histories-{self.shape.seed}")
        types = [kind for kind in MIX if kind != "impression"]
        weights = list(itertools.accumulate(MIX[kind] for kind in types))
        total = self.shape.users * self.shape.history
        for index in range(total):
            event = self._event(rng, rng.choices(types, cum_weights=weights)[0], index % self.shape.users)
            event.ts_ms = now_ms - SEED_SPAN_MS + SEED_SPAN_MS * index // total
            yield event

    def popular_items(self, count: int) -> Sequence[str]:
        """The ids of the most popular items."""
        return self.item_ids[:count]

    def _event(self, rng: random.Random, kind: str, user: int) -> DirectEvent:
        who: dict[str, Any] = {
            "user_id": self.user_ids[user],
            "session_id": f"session-{user:07d}-{rng.randrange(1000):03d}",
            "context": {
                "device": rng.choice(_DEVICES),
                "page": rng.choice(_PAGES),
                "app_version": f"4.{rng.randrange(30)}.{rng.randrange(10)}",
                "locale": "en-GB",
            },
        }
        if kind == "impression":
            ids = dict.fromkeys(self.item(rng, user) for _ in range(SHOWN_ITEMS))
            items = [ShownItem(item_id=item_id, position=position) for position, item_id in enumerate(ids)]
            return Impression(items=items, **who)
        item_id = self.item(rng, user)
        if kind == "watch":
            percent = round(100 * rng.betavariate(0.7, 0.7), 1)
            return Watch(
                item_id=item_id,
                watch_time_sec=round(percent * rng.uniform(0.6, 36.0), 1),
                percent_watched=percent,
                ended=percent > 95,
                playback_speed=1.0,
                rebuffer_count=int(rng.expovariate(2.0)),
                **who,
            )
        if kind == "view":
            return View(item_id=item_id, **who)
        return Click(item_id=item_id, **who) if kind == "click" else Purchase(item_id=item_id, **who)


def _zipf(count: int, exponent: float) -> list[float]:
    """Cumulated weights of the ranks 1 to `count`, as `random.choices` takes them."""
    return list(itertools.accumulate(1.0 / rank**exponent for rank in range(1, count + 1)))
