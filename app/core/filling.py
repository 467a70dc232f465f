"""Fills the places of a list: from its candidates, as deep as it takes, and then from what nothing speaks for."""

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final

from msgspec import structs

from app.core.boosts import Boosts
from app.core.catalogue import Card
from app.core.needs import CardsOf, FallbackOf, Need
from app.core.ranked import Ranked
from app.core.slate import CATALOGUE, PageConstraints, Slate

# Some of the best candidates may not be servable, so the first look takes some more than asked for; many more if a
# category, a bound or a rule decides.
_SPARE: Final = 4
_SPARE_WHEN_CHOOSY: Final = 200
# Each further look takes this many times as many candidates.
_DEEPER: Final = 4


def filled(
    constraints: PageConstraints,
    ranked: Ranked,
    boosts: Boosts | None,
    *,
    fallback: bool,
    among: Sequence[str] | None = None,
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
        found: Sequence[str] = (yield FallbackOf(constraints.category)) if among is None else among
        found = ranked.exclusions.without(found)
        cards.update((yield CardsOf(found)))
        slate.offer(found if boosts is None else boosts.ordered(found, cards), CATALOGUE)
        slate.relax()
    return slate, cards
