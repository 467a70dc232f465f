"""Types of events beside those that the service counts by itself: those that are ready to use, and the application's.

A type says what an event of it weighs for its item. The service writes that into each accepted event (`EventCounts`),
so a change of a type never changes what is counted of an event that was accepted before, whichever process counts it
and however often the sums are rebuilt.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Final, Literal, get_args

from msgspec import Meta, Struct

from app.core.field_errors import FieldError

MAX_TYPES: Final = 100
"""Types that are in use at one time."""
MAX_NAMES: Final = 1_000
"""Names that were ever used. A name keeps its number, so that histories can be read after its type is gone."""
MAX_WEIGHT: Final = 4.0
FIRST_NUMBER: Final = 16
"""The least number of an own type; the numbers below it are those of `signals.Kind` and of `READY`."""

FIXED: Final = ("view", "click", "purchase", "watch", "impression", "cancel")
"""Event types with a shape or a weight of their own, which nobody can change."""
FIXED_OF_ITEMS: Final = ("view", "click", "purchase", "cancel")
"""Those of `/event`."""

Meaning = Literal["interest", "consumption", "rejection"]
MEANINGS: Final[tuple[Meaning, ...]] = get_args(Meaning)

TAKEN: Final = (*MEANINGS, "none", "ignore")
"""Words beside the names of types, in lists (`exclude_seen`) and imports (`--map-type`): no type has such a name."""

NAME_PATTERN: Final = rf"^(?!(?:{'|'.join((*FIXED, *TAKEN))})$)[a-z][a-z0-9_-]{{0,31}}(?![\s\S])"

TypeName = Annotated[
    str,
    # Not a bound of msgspec's: what is wrong with a name that is not a type is that it is not a type.
    Meta(
        extra_json_schema={"pattern": NAME_PATTERN},
        description="a small letter, then up to 31 small letters, digits, hyphens and underscores;"
        " `cart`, `like`, `dislike`, `rating`, `share` and `hide` are ready to use, and `PUT /event-types/{name}`"
        " makes others",
    ),
]
Rating = Annotated[float, Meta(ge=-1_000_000.0, le=1_000_000.0)]


class RatingScale(Struct, frozen=True, forbid_unknown_fields=True):
    """A `rating` of `best` counts the type's weight, one of `worst` the same against the item, one halfway nothing."""

    worst: Rating
    best: Rating


class EventCounts(Struct, frozen=True, omit_defaults=True):
    """How an event counts, as it was accepted. `kind`: the type's number. `weight`: a purchase is 1; below 0: against
    the item. `pairs`: whether it makes pairs. `ends_offer`: the user is not offered the item again.
    """

    kind: int
    weight: float
    pairs: bool = True
    ends_offer: bool = False


class EventType(Struct, frozen=True, kw_only=True):
    """A type as it is stored. `weight`: above 0; of a rejection it counts against the item. With `rating_scale` an
    event needs a rating, which decides how much of the weight counts.
    """

    name: str
    number: int
    weight: float
    meaning: Meaning
    pairs: bool
    ends_offer: bool
    rating_scale: RatingScale | None = None

    def counts(self, rating: float | None) -> EventCounts:
        """Raises `ValueError` if the rating is missing or not on the scale."""
        weight = -self.weight if self.meaning == "rejection" else self.weight
        scale = self.rating_scale
        if scale is not None:
            low, high = sorted((scale.worst, scale.best))
            if rating is None or not low <= rating <= high:
                raise ValueError(f"an event of the type {self.name} needs one from {low:g} to {high:g}")
            weight *= 2.0 * (rating - scale.worst) / (scale.best - scale.worst) - 1.0
        return EventCounts(self.number, weight, self.pairs, self.ends_offer)


def _ready(
    number: int,
    name: str,
    weight: float,
    meaning: Meaning,
    *,
    ends_offer: bool = False,
    scale: RatingScale | None = None,
) -> EventType:
    return EventType(
        name=name,
        number=number,
        weight=weight,
        meaning=meaning,
        pairs=meaning != "rejection",
        ends_offer=ends_offer,
        rating_scale=scale,
    )


READY: Final[Mapping[str, EventType]] = {
    ready.name: ready
    for ready in (
        _ready(4, "cart", 0.7, "interest"),
        _ready(5, "like", 0.8, "interest"),
        _ready(6, "dislike", 0.8, "rejection", ends_offer=True),
        _ready(7, "rating", 1.0, "consumption", scale=RatingScale(1.0, 5.0)),
        _ready(8, "share", 0.8, "interest"),
        _ready(9, "hide", 0.4, "rejection", ends_offer=True),
    )
}
"""What the types count that need not be made. They may be changed like any other."""


class EventTypes:
    """The types that are in use. `stored`: those that were made or changed; `names`: of types that are gone, too."""

    def __init__(self, stored: Iterable[EventType] = (), names: Mapping[int, str] | None = None) -> None:
        self._by_name = {**READY, **{one.name: one for one in stored}}
        self._names = {one.number: one.name for one in READY.values()} | dict(names or {})

    def get(self, name: str) -> EventType | None:
        return self._by_name.get(name)

    def is_rated(self, name: str | None) -> bool:
        """Whether events of the type need a rating."""
        found = None if name is None else self.get(name)
        return found is not None and found.rating_scale is not None

    def names(self) -> list[str]:
        """Of all types that are in use."""
        return sorted(self._by_name)

    def in_use(self) -> list[EventType]:
        return list(self._by_name.values())

    def of_meaning(self, meaning: Meaning) -> list[EventType]:
        return [one for one in self.in_use() if one.meaning == meaning]

    def name_of(self, kind: int) -> str | None:
        """The name of the type with this number; None: it is of no type that was ever made."""
        return self._names.get(kind)

    def unknown(self, name: str, fixed: Sequence[str] = FIXED) -> FieldError:
        """What is wrong with an event of a type that is not there, or not where only these `fixed` types are taken."""
        known = ", ".join(map(repr, (*fixed, *self.names())))
        if name in FIXED:
            said = f"{name!r} is sent to /log/{name} or /log/batch; expected one of {known}"
        else:
            name = name if len(name) <= 64 else f"{name[:64]}…"
            said = f"{name!r} is not a type; expected one of {known}, or make it with PUT /event-types/{{name}}"
        return FieldError("$.event_type", said)


NO_OWN_TYPES: Final = EventTypes()
"""What an application has that has made none."""


def field_errors(meaning: Meaning, pairs: bool, scale: RatingScale | None) -> list[FieldError]:
    """What is wrong with a type, or with what is known of it (see `known_part`), besides the types of its fields."""
    found = []
    if pairs and meaning == "rejection":
        found.append(FieldError("$.pairs", "a rejection makes no pairs; leave it out or say false"))
    if scale is not None and meaning == "rejection":
        found.append(FieldError("$.rating_scale", "a rejection has none: a rating below the middle counts as one"))
    if isinstance(scale, RatingScale) and scale.worst == scale.best and isinstance(scale.best, float):
        found.append(FieldError("$.rating_scale.best", "the same as worst"))
    return found
