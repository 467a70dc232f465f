"""Why an item is in an answer, in words that need no knowledge of the ranking."""

from collections.abc import Mapping, Sequence
from typing import Final

from app.core.exploration import EXPLORE
from app.core.ranking import POPULAR, REPEAT, Cause, Ranked
from app.core.signals import Kind
from app.core.slate import CATALOGUE, PINNED

_DID: Final = {Kind.VIEW: "viewed", Kind.CLICK: "clicked", Kind.WATCH: "watched", Kind.PURCHASE: "bought"}
_RULED: Final = 1e-9
_ALONE: Final = {
    REPEAT: "The user had it on an earlier visit, and users are seen to come back to it.",
    EXPLORE: "New: it is shown to some users to find out how it is liked.",
    PINNED: "A rule puts it at this place.",
    CATALOGUE: "It fills the list: nothing is known that speaks for another item.",
}


def in_words(item: Ranked, titles: Mapping[str, str | None], category: str | None) -> str:
    """One or two sentences. `titles` of the items that led here; an id stands for one without."""
    said = _reason(item, titles, category)
    if item.source != REPEAT and abs(item.factor - 1.0) > _RULED:
        said += f" A rule multiplies its score by {item.factor:g}."
    return said


def _reason(item: Ranked, titles: Mapping[str, str | None], category: str | None) -> str:
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
