"""The comparison of the stored sums with those of a fold of `events`."""

from collections.abc import Mapping, Sequence
from math import isclose
from typing import Final

import psycopg

from app.core.features import Fold, ItemDelta
from app.core.folded_pairs import FoldedPairs
from tests.support.folded_pairs import pairs_of

_TOLERANCE: Final = 1e-6
# Of the sums over all pairs, of some ten thousand terms.
_THINNED_TOLERANCE: Final = 0.1
# Sums that are the same in whatever order a user's events are counted; the others look at the items around an event,
# or at what the user had added before.
_OF_ITEMS: Final = ("popular_week",)
_OF_ITEMS_IN_ORDER: Final = ("popular_hours", "popular_day", "frequency", "repeat_weight", "events")
_ITEMS: Final = (
    "SELECT item_id, popular_ms, first_ms, popular_week, popular_hours, popular_day, frequency, returns, events "
    "FROM item_stats"
)
_PAIRS: Final = (
    "SELECT a.item_id, b.item_id, p.weight, p.met, p.a_to_b, p.b_to_a FROM item_pairs AS p "
    "JOIN item_stats AS a ON a.item_key = p.item_a JOIN item_stats AS b ON b.item_key = p.item_b"
)


def compare_sums(connection: psycopg.Connection, folded: Fold, *, in_order: bool, thinned: Fold | None = None) -> None:
    """`in_order`: `folded` took each user's events in the order in which the consumer counted them.

    `thinned`: the same fold with all pairs thinned, where some of the events were counted so. Sums of pairs are the
    same on average then.
    """
    _compare_items(connection, folded.items, in_order)
    if thinned is None:
        _compare_pairs(connection, folded.pairs.sums(), in_order)
    else:
        _compare_thinned(connection, folded.pairs.sums(), thinned.pairs.sums())


def ids_by_user(events: Sequence[tuple[str, str, str]]) -> dict[str, list[str]]:
    """User → the ids of the user's events, in their order. An event: its id, its user, its payload."""
    ids: dict[str, list[str]] = {}
    for event_id, user_id, _ in events:
        ids.setdefault(user_id, []).append(event_id)
    return ids


def _compare_items(connection: psycopg.Connection, folded: Mapping[str, ItemDelta], in_order: bool) -> None:
    names = _OF_ITEMS + (_OF_ITEMS_IN_ORDER if in_order else ())
    for item_id, popular_ms, first_ms, *sums in connection.execute(_ITEMS).fetchall():
        once = folded.get(item_id, ItemDelta())
        assert (popular_ms, first_ms) == (once.popular_ms, once.first_ms), f"times of {item_id} are not its events'"
        for name, found in zip(_OF_ITEMS + _OF_ITEMS_IN_ORDER, sums, strict=True):
            wanted = getattr(once, name)
            assert name not in names or _alike(found, wanted), f"{name} of {item_id} is {found}, its events': {wanted}"


def _compare_pairs(connection: psycopg.Connection, folded: FoldedPairs, in_order: bool) -> None:
    found, once = _stored_pairs(connection), pairs_of(folded)
    assert found.keys() == once.keys(), "pairs are not those of the events"
    for pair, sums in found.items():
        wanted = once[pair]
        assert sums[1] == wanted[1], f"{sums[1]} users met both of {pair}, by the events {wanted[1]}"
        assert not in_order or all(map(_alike, sums, wanted)), f"the sums of {pair} are {sums}, its events': {wanted}"


def _compare_thinned(connection: psycopg.Connection, folded: FoldedPairs, thinned: FoldedPairs) -> None:
    """What is kept of a thinned event is also among its pairs when all are counted."""
    found, whole = _stored_pairs(connection), pairs_of(folded)
    assert found.keys() <= whole.keys(), "pairs are not those of the events"
    assert found.keys() >= pairs_of(thinned).keys(), "pairs are missing that thinning keeps"
    for name, stored, wanted in zip(
        ("weight", "met", "follows", "follows back"), _totals(found), _totals(whole), strict=True
    ):
        assert isclose(stored, wanted, rel_tol=_THINNED_TOLERANCE), f"{name} is {stored} in all, by the events {wanted}"


def _stored_pairs(connection: psycopg.Connection) -> dict[tuple[str, str], list[float]]:
    return {
        (min(one, other), max(one, other)): [weight, met, forth, back] if one < other else [weight, met, back, forth]
        for one, other, weight, met, forth, back in connection.execute(_PAIRS).fetchall()
    }


def _totals(pairs: Mapping[tuple[str, str], list[float]]) -> list[float]:
    return [sum(column) for column in zip(*pairs.values(), strict=True)]


def _alike(found: float, wanted: float) -> bool:
    return isclose(found, wanted, rel_tol=_TOLERANCE, abs_tol=1e-9)
