"""Places are full, in order, and hold nothing that must not be served."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from app.core.catalogue import UNKNOWN, Card
from app.core.exploration import EXPLORE
from app.core.slate import CATALOGUE, PINNED, RANKED, PageConstraints, Slate

NOW_MS = 1_000_000

ITEMS = [f"item-{number:02}" for number in range(30)]
CARDS = dict.fromkeys(ITEMS, UNKNOWN)


def of(*categories: str, hidden: bool = False, expires_ms: int | None = None) -> Card:
    return Card(categories=frozenset(categories), hidden=hidden, expires_ms=expires_ms)


def filled(constraints: PageConstraints, cards: dict[str, Card], *offers: list[str]) -> list[str]:
    slate = Slate(constraints, CARDS | cards)
    for offer in offers:
        slate.offer(offer)
    slate.relax()
    return slate.item_ids()


def places(slate: Slate) -> list[tuple[str, str]]:
    """With the sources."""
    return [(item_id, slate.sources.get(item_id, RANKED)) for item_id in slate.item_ids()]


def test_the_best_come_first_and_what_must_not_be_served_makes_room() -> None:
    cards = {"item-01": of(hidden=True), "item-03": of(expires_ms=NOW_MS)}
    constraints = PageConstraints(k=3, now_ms=NOW_MS, exclude={"item-00"})
    assert filled(constraints, cards, ITEMS) == ["item-02", "item-04", "item-05"]


def test_pinned_and_explored_items_have_their_places() -> None:
    constraints = PageConstraints(
        k=4,
        now_ms=NOW_MS,
        pins=[(1, "item-20"), (3, "item-21"), (9, "item-22")],
        explored={2: "item-23", 3: "item-24"},
    )
    slate = Slate(constraints, CARDS)
    slate.offer(["item-21", "item-00", "item-01"])
    assert places(slate) == [("item-20", PINNED), ("item-00", RANKED), ("item-21", PINNED), ("item-24", EXPLORE)]
    assert slate.missing == 0


def test_pins_of_one_place_follow_each_other_and_none_is_beyond_the_page() -> None:
    pins = [(1, "item-20"), (1, "item-21"), (2, "item-22"), (3, "item-23")]
    slate = Slate(PageConstraints(k=3, now_ms=NOW_MS, pins=pins), CARDS)
    slate.offer(["item-1"])
    assert places(slate) == [("item-20", PINNED), ("item-21", PINNED), ("item-22", PINNED)]


def test_a_pin_that_may_not_be_served_leaves_its_place_to_others() -> None:
    constraints = PageConstraints(k=2, now_ms=NOW_MS, exclude={"item-21"}, pins=[(1, "item-20"), (2, "item-21")])
    assert filled(constraints, {"item-20": of(hidden=True)}, ITEMS) == ["item-00", "item-01"]


def test_places_without_items_leave_no_holes() -> None:
    slate = Slate(PageConstraints(k=5, now_ms=NOW_MS, pins=[(4, "item-20")]), CARDS)
    slate.offer(["item-00"])
    assert places(slate) == [("item-00", RANKED), ("item-20", PINNED)]
    assert slate.missing == 3


def test_a_crowded_category_meets_its_max_but_not_its_soft_max() -> None:
    cards = {item_id: of("films") for item_id in ITEMS[:10]} | {"item-10": of("books", "films"), "item-11": of("books")}
    assert filled(PageConstraints(k=4, now_ms=NOW_MS, max_per_category=2), cards, ITEMS[:12]) == [
        "item-00",
        "item-01",
        "item-11",
    ]
    assert filled(PageConstraints(k=4, now_ms=NOW_MS, soft_max_per_category=2), cards, ITEMS[:12]) == [
        "item-00",
        "item-01",
        "item-11",
        "item-02",
    ]
    in_films = PageConstraints(k=4, now_ms=NOW_MS, category="films", max_per_category=1)
    assert filled(in_films, cards, ITEMS[:12]) == ["item-00", "item-01", "item-02", "item-03"]


def test_a_later_offer_fills_what_is_left_and_says_where_from() -> None:
    slate = Slate(PageConstraints(k=3, now_ms=NOW_MS), CARDS)
    slate.offer(["item-05"])
    slate.offer(["item-05", "item-06", "item-07", "item-08"], CATALOGUE)
    assert places(slate) == [("item-05", RANKED), ("item-06", CATALOGUE), ("item-07", CATALOGUE)]


CATEGORIES = st.frozensets(st.sampled_from(["films", "books", "games"]), max_size=2)
CATALOGUE_CARDS = st.fixed_dictionaries(
    {item_id: st.builds(Card, categories=CATEGORIES, hidden=st.booleans()) for item_id in ITEMS}
)


@given(
    CATALOGUE_CARDS,
    st.permutations(ITEMS),
    st.integers(1, 25),
    st.frozensets(st.sampled_from(ITEMS)),
    st.none() | st.integers(1, 5),
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from(ITEMS)), max_size=5),
    st.dictionaries(st.integers(0, 24), st.sampled_from(ITEMS), max_size=5),
)
def test_a_page_satisfies_all_its_constraints(
    cards: dict[str, Card],
    order: list[str],
    k: int,
    exclude: frozenset[str],
    max_per_category: int | None,
    pins: list[tuple[int, str]],
    explored: dict[int, str],
) -> None:
    constraints = PageConstraints(
        k=k, now_ms=NOW_MS, exclude=exclude, max_per_category=max_per_category, pins=pins, explored=explored
    )
    slate = Slate(constraints, cards)
    slate.offer(order)
    found = places(slate)
    served = [item_id for item_id, _ in found]
    assert len(set(served)) == len(served) <= k
    assert not any(cards[item_id].hidden or item_id in exclude for item_id in served)
    ranked = [item_id for item_id, source in found if source == RANKED]
    assert ranked == sorted(ranked, key=order.index)
    if max_per_category is None:
        assert len(served) == min(k, sum(not cards[i].hidden and i not in exclude for i in ITEMS))
    else:
        of_category = Counter(category for item_id in served for category in cards[item_id].categories)
        assert all(count <= max_per_category for count in of_category.values())
