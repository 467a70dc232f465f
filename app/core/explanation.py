"""Why an item is in an answer: what its score is made of, and words that need no knowledge of the ranking."""

from collections.abc import Mapping, Sequence
from heapq import nlargest
from typing import Final

import numpy as np
from msgspec import Struct

from app.core.attribution import POPULAR, REPEAT, Attribution
from app.core.candidates import Candidates
from app.core.exploration import EXPLORE
from app.core.item_index import ItemIndex
from app.core.neighbours import NO_NEIGHBOURS, Neighbours
from app.core.profile import Profile
from app.core.signals import Kind
from app.core.slate import CATALOGUE, PINNED

_CAUSES: Final = 3
_DID: Final = {Kind.VIEW: "viewed", Kind.CLICK: "clicked", Kind.WATCH: "watched", Kind.PURCHASE: "bought"}
_RULED: Final = 1e-9
_ALONE: Final = {
    REPEAT: "The user had it on an earlier visit, and users are seen to come back to it.",
    EXPLORE: "New: it is shown to some users to find out how it is liked.",
    PINNED: "A rule puts it at this place.",
    CATALOGUE: "It fills the list: nothing is known that speaks for another item.",
}


class Cause(Struct, frozen=True):
    """An item that led to another: what the user did with it (a `signals.Kind`), and its part of the score."""

    item_id: str
    kind: int
    part: float


class Explanation(Struct, frozen=True):
    """Why one item has its place.

    `popularity` is the prior's part of the score, `factor` what the score was multiplied by (an item offered again, a
    rule), and the remainder similarity. `causes`: the user's items that led here, at most three, the strongest first.
    """

    source: str
    score: float = 0.0
    popularity: float = 0.0
    factor: float = 1.0
    causes: tuple[Cause, ...] = ()

    @property
    def similarity(self) -> float:
        """The part of the score that is neither popularity nor factor."""
        return (self.score / self.factor if self.factor else 0.0) - self.popularity


class Explainer:
    """Takes the scores of one answer apart. Made only for a request that asks for explanations."""

    def __init__(
        self,
        index: ItemIndex,
        candidates: Candidates,
        attribution: Attribution,
        profile: Profile,
        neighbours: Mapping[str, Neighbours],
    ) -> None:
        """`neighbours`: of the profile's seeds, as the candidates were ranked by."""
        self._index = index
        self._candidates = candidates
        self._attribution = attribution
        self._profile = profile
        self._neighbours = neighbours

    def explain(self, item_id: str, source: str, boost: float = 1.0) -> Explanation:
        """`boost`: what rules multiplied the candidate's score by after the ranking."""
        return Explanation(
            source,
            self._candidates.score(item_id) * boost,
            self._attribution.popularity(item_id),
            self._attribution.factor(item_id) * boost,
            self._causes(item_id),
        )

    def _causes(self, item_id: str) -> tuple[Cause, ...]:
        number = self._index.find(item_id)
        causes = []
        for seed, weight in zip(self._profile.seeds, self._profile.weights, strict=True):
            near = self._neighbours.get(seed.item_id, NO_NEIGHBOURS)
            places = (np.frombuffer(near.numbers, np.int32) == number).nonzero()[0]
            if weight > 0.0 and len(places):
                similarity = float(np.frombuffer(near.similarities, np.float32)[places[0]])
                causes.append(Cause(seed.item_id, seed.kind, similarity * weight))
        return tuple(nlargest(_CAUSES, causes, key=lambda cause: cause.part))


def in_words(item: Explanation, titles: Mapping[str, str | None], category: str | None) -> str:
    """One or two sentences. `titles` of the items that led here; an item without a title is named by its id."""
    said = _reason(item, titles, category)
    if item.source != REPEAT and abs(item.factor - 1.0) > _RULED:
        said += f" A rule multiplies its score by {item.factor:g}."
    return said


def _reason(item: Explanation, titles: Mapping[str, str | None], category: str | None) -> str:
    where = "" if category is None else f" in {category}"
    goes_with = _goes_with(item.causes, titles)
    if item.source in _ALONE:
        return _ALONE[item.source]
    if item.source == POPULAR:
        return f"Popular now{where}." + (f" {goes_with}." if goes_with else "")
    return f"{goes_with}." if goes_with else "Users take it together with other items."


def _goes_with(causes: Sequence[Cause], titles: Mapping[str, str | None]) -> str:
    """The causes by what the user did with them, in the order of their weight."""
    by_kind: dict[int, list[str]] = {}
    for cause in causes:
        by_kind.setdefault(cause.kind, []).append(titles.get(cause.item_id) or cause.item_id)
    if not by_kind:
        return ""
    did = "; ".join(f"{_DID[Kind(kind)]}: {_listed(names)}" for kind, names in by_kind.items())
    return f"Users take it together with what this one {did}"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
