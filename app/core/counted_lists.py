"""Lists that no weights rank: what goes with an item, what is popular, what a user did last.

As those of `app/core/serving.py`, they are generators of needs. Rules that boost act on them by the items' cards; pins,
new items and a fallback are for users' lists alone.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Final, Literal

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.baskets import Baskets
from app.core.boosts import Boosts
from app.core.content_index import Alike
from app.core.event_types import NO_OWN_TYPES, EventTypes
from app.core.explained_places import Reason, explain_counted, name_rules
from app.core.explanation import did_it
from app.core.filling import filled
from app.core.filter_index import Matches
from app.core.history import ENDS_OFFER, Entry, History, seen_hash
from app.core.item_index import ItemIndex
from app.core.kinds import kind_name
from app.core.needs import AlikeTo, BoughtWith, CurrentEventTypes, CurrentRules, MatchesOf, NeighboursOf, PopularIn
from app.core.neighbours import Neighbours
from app.core.popularity import Popular
from app.core.ranked import NOT_RANKED, Ranked
from app.core.recommendation import RecommendationRequest, RecommendedItem
from app.core.rules import Rules
from app.core.serving import Answering, SourcesOf, recommendation_of
from app.core.similar_items import with_alike
from app.core.slate import CONTENT, COVISITATION, POPULAR, REPEAT, PageConstraints

COUNTED_VERSION: Final = "counted-1"
"""The model version of these lists."""

Window = Literal["hour", "day", "week"]
"""By which half-life something is popular: two hours, a day, eight days."""

_SAYS: Final[Mapping[Window, str]] = {
    "hour": "Popular in the last hours",
    "day": "Popular today",
    "week": "Popular this week",
}
_COLUMNS: Final[Mapping[Window, int]] = {"hour": 0, "day": 1, "week": 2}


class CountedList(Struct, frozen=True):
    """What was ranked, and by its rows and items: the sources and the reasons."""

    ranked: Ranked
    sources_of: SourcesOf
    reason_of: Callable[[RecommendedItem], Reason]


def similar(item_id: str, request: RecommendationRequest, *, index: ItemIndex) -> Answering:
    """Up to `request.k` items that go with this one: its neighbours and, while it has few, what is alike by content."""
    near: Neighbours = yield NeighboursOf(item_id)
    exclude = request.exclude | {item_id}
    entries = near.neighbour_entries()
    exclude |= request.shown_among(index.ids[number] for number in entries["number"].tolist())
    says = {
        COVISITATION: Reason("Users take it together with", [item_id]),
        CONTENT: Reason("Its category, tags or title are like those of", [item_id]),
    }
    if request.shown or len(entries) < request.k:
        alike: Alike = yield AlikeTo(item_id)
        exclude |= request.shown_among(alike.item_ids)
        if alike.item_ids:
            ranked, neighbours = with_alike(index, entries, alike, exclude)
            found = CountedList(
                ranked,
                lambda rows: [COVISITATION if NOT_RANKED < row < neighbours else CONTENT for row in rows],
                lambda item: says[item.source],
            )
            return (yield from _listed(request, found))
    ranked = _ranked(index, entries["number"], entries["similarity"], exclude)
    found = CountedList(ranked, lambda rows: [COVISITATION] * len(rows), lambda item: says[item.source])
    return (yield from _listed(request, found))


def bought_together(item_id: str, request: RecommendationRequest) -> Answering:
    """Up to `request.k` items that were bought in one basket with this one. The score is the share of its baskets."""
    baskets: Baskets = yield BoughtWith(item_id)
    item_ids, counts = baskets.others()
    shared = dict(zip(item_ids, counts, strict=True))
    index = ItemIndex()
    numbers = np.array(index.number(item_ids), np.int32)
    scores = (np.array(counts, np.float64) / max(1, baskets.count)).astype(np.float32)
    exclude = request.exclude | request.shown_among(item_ids)
    found = CountedList(
        _ranked(index, numbers, scores, exclude),
        lambda rows: [COVISITATION] * len(rows),
        lambda item: Reason(f"In {shared[item.item_id]} of {baskets.count} baskets with", [item_id]),
    )
    return (yield from _listed(request, found))


def popular(request: RecommendationRequest, *, index: ItemIndex, window: Window = "week") -> Answering:
    """Up to `request.k` of what is popular now."""
    found: Popular = yield PopularIn(request.category)
    numbers, popularity = np.frombuffer(found.numbers, np.int32), found.by_half_life()
    if request.filter is not None:
        matches: Matches | None = yield MatchesOf(request.filter, request)
        if matches is not None:
            numbers, popularity = matches.numbers, matches.popularity
    exclude = request.exclude.union(request.shown_among(index.ids[number] for number in numbers.tolist()))
    where = "" if request.category is None else f" in {request.category}"
    reason = Reason(_SAYS[window] + where)
    ranked = _ranked(index, numbers, popularity[:, _COLUMNS[window]], exclude)
    return (yield from _listed(request, CountedList(ranked, lambda rows: [POPULAR] * len(rows), lambda _: reason)))


def recent(history: History, request: RecommendationRequest, kinds: Collection[int] | None = None) -> Answering:
    """Up to `request.k` of the user's items, by when the user last did something with them, or something of `kinds`
    (of `signals.Kind`). The score of the nth is 1/n.
    """
    types: EventTypes = (yield CurrentEventTypes()) if request.explain else NO_OWN_TYPES
    ended = {
        entry.item_id
        for entry in history.entries
        if entry.flags & ENDS_OFFER or (history.ended_hashes and seen_hash(entry.item_id) in history.ended_hashes)
    }
    latest: dict[str, Entry] = {}
    for entry in history.entries:
        if kinds is None or entry.kind in kinds:
            latest.setdefault(entry.item_id, entry)
    index = ItemIndex()
    numbers = np.array(index.number([*latest]), np.int32)
    exclude = request.exclude | request.shown_among(latest) | ended
    found = CountedList(
        _ranked(index, numbers, (1.0 / (1.0 + np.arange(len(latest)))).astype(np.float32), exclude),
        lambda rows: [REPEAT] * len(rows),
        lambda item: Reason(f"The user {did_it(kind_name(latest[item.item_id].kind, types))}"),
    )
    return (yield from _listed(request, found))


def _ranked(
    index: ItemIndex, numbers: NDArray[np.int32], scores: NDArray[np.float32], exclude: Collection[str]
) -> Ranked:
    kept = ~np.isin(numbers, index.numbers(exclude))
    return Ranked(index, numbers[kept], scores[kept])


def _listed(request: RecommendationRequest, found: CountedList) -> Answering:
    rules: Rules = yield CurrentRules()
    constraints = PageConstraints(
        k=request.k,
        now_ms=request.now_ms,
        category=request.category,
        exclude=request.exclude,
        filter=request.filter,
        max_per_category=request.max_per_category,
    )
    ranked = found.ranked
    boosts = Boosts(rules, ranked, {}, now_ms=request.now_ms, category=request.category) if rules else None
    slate, cards = yield from filled(constraints, ranked, boosts, fallback=False)
    answer = recommendation_of(slate, cards, ranked, found.sources_of, boosts, COUNTED_VERSION)
    if request.explain:
        yield from explain_counted(answer.items, found.reason_of, boosts)
        yield from name_rules(answer.items, rules, request.now_ms, request.category)
    return answer
