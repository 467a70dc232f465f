"""The pages of a list that come after all that is ranked: the rest of the catalogue, newest first."""

from collections.abc import Collection, Generator, Mapping
from typing import Any, Final

from msgspec import Struct

from app.core.catalogue import Card
from app.core.explained_places import Reason, explain_counted, name_rules
from app.core.history import ENDS_OFFER, History
from app.core.needs import CardsOf, CatalogueAfter, CurrentRules, Need
from app.core.own_items import own_exclusions
from app.core.page_cursor import CataloguePosition, PageCursor
from app.core.recommendation import Recommendation, RecommendationRequest, RecommendedItem
from app.core.rules import Rules
from app.core.slate import CATALOGUE, PageConstraints, Slate

_LOOK: Final = 500
# Rules and exclusions may leave out many: one page looks at no more than this.
_MOST_LOOKS: Final = 20
_NEXT: Final = Reason("It is the next of the catalogue, newest first: nothing is known that speaks for another item")


class CataloguePage(Struct, frozen=True):
    """`cursor`: where the next page begins; None: the catalogue has ended."""

    found: Recommendation
    cursor: PageCursor | None


def catalogue_page(
    history: History,
    request: RecommendationRequest,
    cursor: PageCursor,
    model_version: str,
    *,
    seen: Collection[int] | None = None,
) -> Generator[Need, Any, CataloguePage]:
    """Up to `request.k` servable items behind the cursor that were not shown, and that the user does not have, or did
    not do one of the things in `seen` with.
    """
    rules: Rules = yield CurrentRules()
    own = {entry.item_id for entry in history.entries}
    left_out = own_exclusions(history, own, request.repeats, seen, cursor.hashes.union(history.ended_hashes))
    cards: dict[str, Card] = {}
    constraints = PageConstraints(
        k=request.k,
        now_ms=request.now_ms,
        category=request.category,
        exclude=request.exclude.union(entry.item_id for entry in history.entries if entry.flags & ENDS_OFFER),
        max_per_category=request.max_per_category,
    )
    slate = Slate(constraints, cards)
    kept: set[str] = set()
    after, ended = cursor.after, request.repeats == "only" or request.among is not None
    for _ in range(_MOST_LOOKS):
        if ended or not slate.missing:
            break
        rows: list[CataloguePosition] = yield CatalogueAfter(request.category, after, _LOOK)
        ended = len(rows) < _LOOK
        item_ids = [row.item_id for row in rows]
        cards.update((yield CardsOf(item_ids)))
        if request.filter is not None:
            kept = {*request.filter.kept(item_ids, cards, request.now_ms)}
        for row in rows:
            if not slate.missing:
                ended = False
                break
            after = row
            item_id = row.item_id
            if request.filter is not None and item_id not in kept:
                continue
            if item_id not in left_out and _may_be_served(item_id, rules, cards, request):
                slate.offer([item_id], CATALOGUE)
    items = [
        RecommendedItem(item_id, 0.0, CATALOGUE, cards[item_id].title, cards[item_id].picture_url)
        for item_id in slate.item_ids()
    ]
    if request.explain:
        yield from explain_counted(items, lambda _: _NEXT, None)
        yield from name_rules(items, rules, request.now_ms, request.category)
    found = Recommendation(items, CATALOGUE if items else "none", model_version)
    return CataloguePage(found, None if ended else PageCursor(cursor.shown, True, after))


def _may_be_served(item_id: str, rules: Rules, cards: Mapping[str, Card], request: RecommendationRequest) -> bool:
    return not rules or rules.factor(item_id, cards[item_id], request.now_ms, request.category) > 0.0
