"""Visits to the demo's shop, made up by a generator: what was shown, and what came of it. The same each time.

A visitor looks for the items of one real invoice, and one in twenty for those of the README's example. A list has some
of these among popular items, and is clicked at the upper places and at what the visitor looks for. What was hardly ever
sold stays out of the visits, so that there are cold items to look at. A visitor clicks half as often again where the
list is of the variant `latest` of the demo's experiment, so that its figures have something to find.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from msgspec import Struct

from app.core.buckets import BUCKETS, CONTROL_BUCKET, moved
from app.core.content import COLD_EVENTS
from app.core.events import Action, Click, DirectEvent, Impression, Purchase, ShownItem, View
from app.core.experiments import ExperimentBody, VariantBody, buckets_layer, token
from app.demo.shop import Line

EXPERIMENT: Final = ExperimentBody(
    name="demo-latest",
    hypothesis="What a user did last says more than all that was before.",
    variants=[VariantBody(name="latest", share=0.5, weights={"seeds": 1})],
    primary="ctr",
    guards=["conversion"],
    window_days=1,
)
CONCLUSION: Final = "More clicks, and no fewer purchases. The demo's visits are made up: decide by your own."
BEGAN: Final = timedelta(days=12)
ENDED: Final = timedelta(days=2)
"""The experiment began and ended so long before the last purchase of the log."""

OWN_TYPE: Final = "wishlist"
MERGED: Final = ("visitor-0001", "12748")
"""A visitor, and the account that the visitor turns out to be."""

_SEED: Final = 22_086
_VISITORS: Final = 900
_MAX_VISITS: Final = 2
_PLACES: Final = 10
_WANTED: Final = 3
_EXAMPLE: Final = ("22086", "22910")
_SHARE_OF_EXAMPLE: Final = 0.05
_POPULAR: Final = 300
_PLACEMENTS: Final = {"home": 6, "product-page": 3, "mail": 1}
_CLICKS_WANTED, _CLICKS_OTHER = 0.3, 0.05
_CLICKS_OF_VARIANT: Final = 1.5
_CARTS, _BUYS, _WISHES = 0.3, 0.5, 0.1
_STEP: Final = timedelta(seconds=20)


class ExperimentUser(Struct):
    """What one user's lists of the experiment led to. `shown` and `clicked`: places."""

    user_id: str
    variant: str
    exposed_at: datetime
    shown: int = 0
    clicked: int = 0
    purchases: int = 0


class _Shop(Struct, frozen=True):
    baskets: Sequence[Sequence[str]]
    popular: Sequence[str]
    prices: Mapping[str, float]


def visits(lines: Sequence[Line], end: datetime) -> list[DirectEvent]:
    """The events in time order, each with an id and a time; the last one is just before `end`."""
    chance = Random(_SEED)
    sold = Counter(line.item_id for line in lines)
    baskets: dict[str, list[str]] = {}
    for line in lines:
        if sold[line.item_id] >= COLD_EVENTS:
            baskets.setdefault(line.basket, []).append(line.item_id)
    distinct = [list(dict.fromkeys(items)) for items in baskets.values()]
    shop = _Shop(
        [items for items in distinct if len(items) > 1],
        [item_id for item_id, _ in sold.most_common(_POPULAR)],
        {line.item_id: line.price for line in lines},
    )
    layer = buckets_layer(EXPERIMENT, 1, moved([CONTROL_BUCKET] * BUCKETS, {"latest": 0.5}))
    found: list[DirectEvent] = []
    for number in range(1, _VISITORS + 1):
        visitor = f"visitor-{number:04}"
        for visit in range(chance.randint(1, _MAX_VISITS)):
            at = end - BEGAN * chance.random() - timedelta(minutes=10)
            variant = layer.variants.of(visitor).name if at < end - ENDED else None
            found += _visit(chance, shop, visitor, f"demo-{number:04}-{visit}", at, variant)
    anonymous, account = MERGED
    known = View(user_id=account, anonymous_id=anonymous, session_id="demo-log-in", item_id=shop.popular[0])
    found.append(_dated(known, "demo-log-in", 0, end))
    return sorted(found, key=lambda event: (_time_of(event), str(event.event_id)))


def _visit(
    chance: Random, shop: _Shop, user_id: str, name: str, at: datetime, variant: str | None
) -> Iterator[DirectEvent]:
    """One event each twenty seconds."""
    for step, event in enumerate(_acts(chance, shop, {"user_id": user_id, "session_id": name}, variant)):
        yield _dated(event, name, step, at + step * _STEP)


def _acts(chance: Random, shop: _Shop, who: Mapping[str, Any], variant: str | None) -> Iterator[DirectEvent]:
    basket = _EXAMPLE if chance.random() < _SHARE_OF_EXAMPLE else chance.choice(shop.baskets)
    wanted = chance.sample(basket, min(_WANTED, len(basket)))
    others = [item_id for item_id in chance.sample(shop.popular, _PLACES + _WANTED) if item_id not in wanted]
    listed = [*wanted, *others][:_PLACES]
    chance.shuffle(listed)
    for item_id in wanted:
        yield View(**who, item_id=item_id)
    context: dict[str, Any] = {
        "feed_id": chance.choices(list(_PLACEMENTS), list(_PLACEMENTS.values()))[0],
        "model_version": "weights-1",
        "sources": ["covisitation" if item_id in wanted else "popular" for item_id in listed],
    }
    if variant is not None:
        context |= {"variant": variant, "experiment": token(EXPERIMENT.name, 1)}
    request = {**who, "request_id": who["session_id"]}
    items = [ShownItem(item_id=item_id, position=place) for place, item_id in enumerate(listed)]
    yield Impression(**request, items=items, context=context)
    for place, item_id in enumerate(listed):
        likely = (_CLICKS_WANTED if item_id in wanted else _CLICKS_OTHER) * (1.2 - place / _PLACES)
        if chance.random() >= likely * (_CLICKS_OF_VARIANT if variant == "latest" else 1.0):
            continue
        yield Click(**request, item_id=item_id)
        if chance.random() < _WISHES:
            yield Action(**who, item_id=item_id, event_type=OWN_TYPE)
        if chance.random() >= _CARTS:
            continue
        yield Action(**request, item_id=item_id, event_type="cart")
        if chance.random() < _BUYS:
            quantity = chance.randint(1, 6)
            value = round(quantity * shop.prices[item_id], 2)
            yield Purchase(**request, item_id=item_id, value=value, currency="GBP", quantity=quantity)


def _dated(event: DirectEvent, name: str, step: int, at: datetime) -> DirectEvent:
    event.event_id = f"{name}-{step:02}"
    event.ts_ms = (at - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
    return event


def _time_of(event: DirectEvent) -> datetime:
    assert isinstance(event.ts_ms, int)  # `_dated` gives each a time
    return datetime.fromtimestamp(event.ts_ms / 1000, UTC)


def experiment_users(events: Iterable[DirectEvent]) -> list[ExperimentUser]:
    """What the experiment counts of the visits, as it does by its window: from the first list on, for a day."""
    found: dict[str, ExperimentUser] = {}
    requests: set[str | None] = set()
    for event in events:
        at = _time_of(event)
        context = event.context or {}
        if isinstance(event, Impression) and "experiment" in context:
            requests.add(event.request_id)
            found.setdefault(event.user_id, ExperimentUser(event.user_id, context["variant"], at))
        user = found.get(event.user_id)
        if user is None or at >= user.exposed_at + timedelta(days=EXPERIMENT.window_days):
            continue
        if isinstance(event, Impression) and "experiment" in context:
            user.shown += len(event.items)
        elif isinstance(event, Click) and event.request_id in requests:
            user.clicked += 1
        elif isinstance(event, Purchase):
            user.purchases += 1
    return list(found.values())
