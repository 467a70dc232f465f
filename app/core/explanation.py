"""Why an item is in an answer: what its score is made of, and words that need no knowledge of the ranking."""

from collections.abc import Callable, Mapping, Sequence
from heapq import nlargest
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from app.core.candidates import neighbour_limits
from app.core.content_index import ContentIndex
from app.core.event_types import NO_OWN_TYPES, EventTypes
from app.core.exploration import EXPLORE
from app.core.item_index import ItemIndex
from app.core.kinds import kind_name
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.profile import Profile
from app.core.ranked import Ranked
from app.core.ranking import Ranking
from app.core.slate import CATALOGUE, PINNED, POPULAR, REPEAT

_CAUSES: Final = 3
_REASONS: Final = 2
# A second reason says little beside one that counts four times as much.
_LEAST_SHARE: Final = 0.25
_DID: Final[Mapping[str, str]] = {
    "view": "viewed",
    "click": "clicked",
    "watch": "watched",
    "purchase": "bought",
    "cart": "put into the cart",
    "like": "liked",
    "rating": "rated",
    "share": "shared",
    "dislike": "disliked",
    "hide": "hid",
}
_ALONE: Final = {
    EXPLORE: "New: it is shown to some users to find out how it is liked.",
    PINNED: "A rule puts it at this place.",
    CATALOGUE: "It fills the list: nothing is known that speaks for another item.",
}
# What a feature says when it speaks for an item. Those of the user's latest items say it with the items' titles.
_SAYS: Final = {
    "popular_hours": "popular in the last hours",
    "popular_day": "popular today",
    "popular_week": "popular this week",
    "frequency": "taken often",
    "age": "there for long",
    "newness": "new",
    "absence": "popular, and nothing recent is known of the user",
    "own_times": "taken by the user often",
    "own_age": "taken by the user some time ago",
    "own_repeats": "taken again by those who have it",
    "own": "taken by the user before",
    "category": "of a category that the user takes often",
}
_GOES_WITH: Final = {
    **dict.fromkeys(("similar", "similar_last", "lasting"), "Users take it together with"),
    "following": "Users go on to it from",
    "content": "Hardly anybody knows it yet; its category, tags or title are like those of",
}
# The part of a cause that the sentence is about.
_OF: Final[Mapping[str, Callable[["Cause"], float]]] = {
    **dict.fromkeys(("similar", "similar_last", "lasting"), lambda cause: cause.together),
    "following": lambda cause: cause.following,
    "content": lambda cause: cause.content,
}


class Cause(Struct, frozen=True, kw_only=True):
    """An item that led to another: what the user did with it (a `signals.Kind`), and how much users take both
    `together`, go on from it to the other (`following`), and their `content` is alike; by how much the item counts.
    """

    item_id: str
    kind: int
    together: float = 0.0
    following: float = 0.0
    content: float = 0.0

    @property
    def part(self) -> float:
        return self.together + self.following + self.content


class Explanation(Struct, frozen=True):
    """Why one item has its place.

    `terms`: what each feature adds to the logarithm of the score, before `factor`, by which rules multiplied it.
    `causes`: the user's items that led here, the strongest first.
    """

    source: str
    score: float = 0.0
    factor: float = 1.0
    terms: Mapping[str, float] = {}
    causes: tuple[Cause, ...] = ()

    @property
    def because(self) -> list[str]:
        """The strongest causes."""
        return [cause.item_id for cause in self.causes[:_CAUSES]]


class Explainer:
    """Takes the scores of one answer apart. Made only for a request that asks for explanations."""

    def __init__(
        self,
        index: ItemIndex,
        ranked: Ranked,
        ranking: Ranking,
        profile: Profile,
        neighbours: Mapping[str, Neighbours],
        content: ContentIndex | None,
    ) -> None:
        """`neighbours` of the profile's seeds, and `content`: as the candidates were ranked by."""
        self._index = index
        self._ranked = ranked
        self._ranking = ranking
        self._profile = profile
        self._neighbours = neighbours
        self._content = content

    def explain(self, item_id: str, source: str, score: float, factor: float = 1.0) -> Explanation:
        """`factor`: what rules multiplied the candidate's score by."""
        return Explanation(source, score, factor, self._ranking.terms(self._ranked.row(item_id)), self._causes(item_id))

    def _causes(self, item_id: str) -> tuple[Cause, ...]:
        number, profile, content = self._index.find(item_id), self._profile, self._content
        limits = neighbour_limits(profile.model.neighbours, profile.model.recency, profile.model.seeds)
        causes = []
        for place, (seed, weight) in enumerate(zip(profile.seeds, profile.weights, strict=True)):
            near = self._neighbours.get(seed.item_id, NO_NEIGHBOURS)
            entries = near.neighbour_entries()[: limits[place]]
            together = _value(entries, "similarity", number) + _value(entries, "lasting", number)
            follows = place < profile.model.following_seeds
            cause = Cause(
                item_id=seed.item_id,
                kind=seed.kind,
                together=weight * together,
                following=weight * _value(near.follower_entries(), "following", number) if follows else 0.0,
                content=0.0 if content is None else weight * content.part(seed.item_id, item_id),
            )
            if cause.part > 0.0:
                causes.append(cause)
        return tuple(sorted(causes, key=lambda cause: cause.part, reverse=True))


def _value(entries: NDArray[np.void], column: str, number: int | None) -> float:
    found = entries[column][entries["number"] == number]
    return found.item(0) if len(found) else 0.0


def in_words(
    item: Explanation, titles: Mapping[str, str | None], category: str | None, types: EventTypes = NO_OWN_TYPES
) -> str:
    """One or two sentences. `titles` of the items that led here; an item without a title is named by its id."""
    return _reason(item, titles, category, types) + by_rule(item.factor)


def by_rule(factor: float) -> str:
    """What rules add to the words; empty where they change nothing."""
    return "" if factor == 1.0 else f" A rule multiplies its score by {factor:g}."


def _reason(item: Explanation, titles: Mapping[str, str | None], category: str | None, types: EventTypes) -> str:
    if item.source in _ALONE:
        return _ALONE[item.source]
    strongest = nlargest(_REASONS, [(term, name) for name, term in item.terms.items() if term > 0.0])
    strongest = [(term, name) for term, name in strongest if term >= _LEAST_SHARE * strongest[0][0]]
    said: list[str] = []
    for _, name in strongest:
        if name in _GOES_WITH:
            causes = [cause for cause in item.causes if _OF[name](cause) > 0.0]
            said.append(_goes_with(_GOES_WITH[name], nlargest(_CAUSES, causes, key=_OF[name]), titles, types))
        else:
            said.append(_SAYS[name][0].upper() + _SAYS[name][1:])
    where = "" if category is None or item.source != POPULAR else f" in {category}"
    found = [f"{sentence}{where}." for sentence in dict.fromkeys(filter(None, said))]
    if not found:
        return "The user had it before." if item.source == REPEAT else f"Popular{where}."
    return " ".join(found)


def _goes_with(how: str, causes: Sequence[Cause], titles: Mapping[str, str | None], types: EventTypes) -> str:
    """The causes by what the user did with them, in the order of their weight."""
    by_kind: dict[int, list[str]] = {}
    for cause in causes:
        by_kind.setdefault(cause.kind, []).append(titles.get(cause.item_id) or cause.item_id)
    if not by_kind:
        return ""
    did = "; ".join(f"{_did(kind_name(kind, types))}: {names_of(names)}" for kind, names in by_kind.items())
    return f"{how} what this one {did}"


def did_it(name: str) -> str:
    """What the user did, as `liked it`, by the name of the event type."""
    return "put it into the cart" if name == "cart" else f"{_did(name)} it"


def _did(name: str) -> str:
    return _DID.get(name) or f"had an event {name} with"


def names_of(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
