"""Fills the places of a list: from its candidates, as deep as it takes, and then from what nothing speaks for."""

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from msgspec import structs

from app.core.boosts import Boosts
from app.core.catalogue import Card
from app.core.needs import FALLBACK_LIMIT, LOOK, MOST_LOOKS, CardsOf, CatalogueAfter, Fallback, FallbackOf, Need
from app.core.page_cursor import CataloguePosition
from app.core.ranked import Ranked
from app.core.slate import CATALOGUE, PageConstraints, Slate

# Some of the best candidates may not be servable, so the first look takes some more than asked for; many more if a
# category, a bound or a rule decides.
_SPARE: Final = 4
_SPARE_WHEN_CHOOSY: Final = 200
# Each further look takes this many times as many candidates.
_DEEPER: Final = 4
# Where a category may have so many places, all categories may be full: so many looks at the catalogue tell.
_MOST_IN_VAIN: Final = 2

RestOf: TypeAlias = Callable[[slice], Sequence[str]]
"""Part of what fills the places that candidates leave, in order."""


def filled(
    constraints: PageConstraints,
    ranked: Ranked,
    boosts: Boosts | None,
    *,
    fallback: bool,
    among: RestOf | None = None,
) -> Generator[Need, Any, tuple[Slate, Mapping[str, Card]]]:
    """From the candidates, more of them as long as places are free, and then from the `fallback`, or from `among`."""
    cards: dict[str, Card] = {}
    if constraints.pins or constraints.explored:
        cards.update((yield CardsOf([*(item_id for _, item_id in constraints.pins), *constraints.explored.values()])))
    if boosts is not None and (constraints.pins or constraints.explored):
        pins = [(place, i) for place, i in constraints.pins if boosts.factor(i, cards[i]) > 0.0]
        explored = {place: i for place, i in constraints.explored.items() if boosts.factor(i, cards[i]) > 0.0}
        constraints = structs.replace(constraints, pins=pins, explored=explored)
    slate = Slate(constraints, cards)
    choosy = (
        boosts is not None
        or constraints.category is not None
        or (constraints.filter is not None and among is None)
        or constraints.max_per_category is not None
        or constraints.soft_max_per_category is not None
    )
    count, offered = constraints.k + (_SPARE_WHEN_CHOOSY if choosy else _SPARE), 0
    while slate.missing:
        best = ranked.best(count)
        fresh = best[offered:]
        cards.update((yield CardsOf(fresh)))
        is_last = len(best) < count
        slate.offer(fresh if boosts is None else boosts.due(fresh, cards, None if is_last else best[-1]))
        if is_last:
            break
        offered, count = len(best), count * _DEEPER
    if slate.missing:
        slate.relax()
    if slate.missing and fallback:
        yield from _fill_from_rest(slate, constraints, ranked, boosts, cards, among)
    return slate, cards


def _fill_from_rest(
    slate: Slate,
    constraints: PageConstraints,
    ranked: Ranked,
    boosts: Boosts | None,
    cards: dict[str, Card],
    among: RestOf | None,
) -> Generator[Need, Any, None]:
    """Looks as far as exclusions, rules and bounds make it. Adds to the `cards`."""
    after: CataloguePosition | None = None
    if among is None:
        first: Fallback = yield FallbackOf(constraints.category)
        part, after = first.item_ids, first.after
    else:
        part = among(slice(FALLBACK_LIMIT))
    in_vain = 0
    for look in range(1 + MOST_LOOKS):
        found = [item_id for item_id in ranked.exclusions.without(part) if item_id not in constraints.exclude]
        cards.update((yield CardsOf(found)))
        missing = slate.missing
        slate.offer(found if boosts is None else boosts.ordered(found, cards), CATALOGUE)
        slate.relax()
        if look and found and slate.missing == missing:
            in_vain += 1
        if not slate.missing or look == MOST_LOOKS:
            return
        if constraints.max_per_category is not None and in_vain == _MOST_IN_VAIN:
            return
        if among is not None:
            begin = FALLBACK_LIMIT + look * LOOK
            part = among(slice(begin, begin + LOOK))
        elif after is not None:
            rows: Sequence[CataloguePosition] = yield CatalogueAfter(constraints.category, after, LOOK)
            part = [row.item_id for row in rows]
            after = rows[-1] if len(rows) == LOOK else None
        else:
            return
        if not part:
            return
