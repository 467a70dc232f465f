"""Explanations in words."""

import pytest

from app.core.explanation import in_words
from app.core.exploration import EXPLORE
from app.core.ranking import COVISITATION, POPULAR, REPEAT, Cause, Ranked
from app.core.signals import Kind
from app.core.slate import CATALOGUE, PINNED

TITLES = {"a": "Alien", "b": "Brazil", "c": None}
BOUGHT = Cause("a", Kind.PURCHASE, 0.5)
SEEN = Cause("b", Kind.VIEW, 0.2)
OLD = Cause("c", Kind.PURCHASE, 0.1)


@pytest.mark.parametrize(
    ("item", "said"),
    [
        (Ranked("x", 0.5, COVISITATION, causes=(BOUGHT,)), "Users take it together with what this one bought: Alien."),
        (
            Ranked("x", 0.5, COVISITATION, causes=(BOUGHT, SEEN, OLD)),
            "Users take it together with what this one bought: Alien and c; viewed: Brazil.",
        ),
        (Ranked("x", 0.5, POPULAR), "Popular now."),
        (
            Ranked("x", 0.5, POPULAR, causes=(SEEN,)),
            "Popular now. Users take it together with what this one viewed: Brazil.",
        ),
        (Ranked("x", 0.5, POPULAR, factor=2.0), "Popular now. A rule multiplies its score by 2."),
        (Ranked("x", 0.5, POPULAR, factor=0.25), "Popular now. A rule multiplies its score by 0.25."),
        (
            Ranked("x", 0.5, REPEAT, factor=2.0),
            "The user had it on an earlier visit, and users are seen to come back to it.",
        ),
        (Ranked("x", 0.0, EXPLORE), "New: it is shown to some users to find out how it is liked."),
        (Ranked("x", 0.0, PINNED), "A rule puts it at this place."),
        (Ranked("x", 0.0, CATALOGUE), "It fills the list: nothing is known that speaks for another item."),
        (Ranked("x", 0.5, COVISITATION), "Users take it together with other items."),
    ],
)
def test_an_item_says_why_it_is_there(item: Ranked, said: str) -> None:
    assert in_words(item, TITLES, None) == said


def test_what_is_popular_in_a_category_says_so() -> None:
    assert in_words(Ranked("x", 0.5, POPULAR), TITLES, "films") == "Popular now in films."
