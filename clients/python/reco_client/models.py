"""What is sent and received, as the OpenAPI document says. Made by generate_models.py; changes belong there."""

from datetime import datetime
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

PRINTABLE = r"^(?![\s\S]*[\u0000-\u001f\u007f-\u009f\u2028\u2029])"
Text_1_128 = Annotated[str, Meta(min_length=1, max_length=128, pattern=PRINTABLE)]
Id = Text_1_128 | int
Text_8_64 = Annotated[str, Meta(min_length=8, max_length=64, pattern=PRINTABLE)]
EventId = Text_8_64 | Annotated[int, Meta(ge=10000000)]
Time = Annotated[int, Meta(ge=0, lt=9007199254740992)] | Annotated[float, Meta(ge=631152000, lt=4102444800)] | datetime
Text_1_500 = Annotated[str, Meta(min_length=1, max_length=500, pattern=PRINTABLE)]
Text_500 = Annotated[str, Meta(max_length=500)]


class ShownItem(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One item of an impression, and the position it was shown at."""

    item_id: Id
    position: Annotated[int, Meta(ge=0, le=100000)]
    feed_id: Id | None = None
    slot: Id | None = None


class Watch(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="event_type", tag="watch"):
    """A user watched (some of) an item."""

    item_id: Id
    watch_time_sec: Annotated[float, Meta(ge=0.0, le=604800.0)]
    percent_watched: Annotated[float, Meta(ge=0.0, le=100.0)] | None = None
    ended: bool | None = None
    playback_speed: Annotated[float, Meta(gt=0.0, le=16.0)] | None = None
    rebuffer_count: Annotated[int, Meta(ge=0, le=1000000)] | None = None
    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: Id | None = None
    ts_ms: Time | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: Id | None = None


class Impression(
    Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="event_type", tag="impression"
):
    """A list of items was shown to a user."""

    items: Annotated[list[ShownItem], Meta(min_length=1, max_length=500)]
    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: Id | None = None
    ts_ms: Time | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: Id | None = None


class View(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="event_type", tag="view"):
    """A user opened an item's page."""

    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: Id | None = None
    ts_ms: Time | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: Id | None = None
    item_id: Id
    value: Annotated[float, Meta(ge=0.0, le=1000000000000.0)] | None = None
    currency: str | None = None
    quantity: Annotated[int, Meta(ge=1, le=1000000)] | None = None
    rating: Annotated[float, Meta(ge=-1000000.0, le=1000000.0)] | None = None


class Click(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="event_type", tag="click"):
    """A user clicked an item in a list."""

    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: Id | None = None
    ts_ms: Time | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: Id | None = None
    item_id: Id
    value: Annotated[float, Meta(ge=0.0, le=1000000000000.0)] | None = None
    currency: str | None = None
    quantity: Annotated[int, Meta(ge=1, le=1000000)] | None = None
    rating: Annotated[float, Meta(ge=-1000000.0, le=1000000.0)] | None = None


class Purchase(
    Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="event_type", tag="purchase"
):
    """A user bought an item."""

    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: Id | None = None
    ts_ms: Time | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: Id | None = None
    item_id: Id
    value: Annotated[float, Meta(ge=0.0, le=1000000000000.0)] | None = None
    currency: str | None = None
    quantity: Annotated[int, Meta(ge=1, le=1000000)] | None = None
    rating: Annotated[float, Meta(ge=-1000000.0, le=1000000.0)] | None = None


class Cancellation(
    Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True, tag_field="event_type", tag="cancel"
):
    """Takes an event back: an order that was cancelled or returned, a like that was withdrawn. `cancels` is the
    `event_id` of an event of the same user, or of an id that is joined into the user's. An event is taken back once:
    the cancellation's own `event_id` is made from it, whatever is sent."""

    cancels: EventId
    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: Id | None = None
    ts_ms: Time | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: Id | None = None


class Action(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A user did something else with an item: put it into the cart, liked, rated or hid it, or what the application has
    made a type for."""

    user_id: Id
    session_id: Id
    event_id: EventId | UnsetType = UNSET
    request_id: Id | None = None
    ts_ms: Time | UnsetType = UNSET
    sent_at: Time | UnsetType = UNSET
    context: dict[str, Any] | None = None
    anonymous_id: Id | None = None
    item_id: Id
    value: Annotated[float, Meta(ge=0.0, le=1000000000000.0)] | None = None
    currency: str | None = None
    quantity: Annotated[int, Meta(ge=1, le=1000000)] | None = None
    rating: Annotated[float, Meta(ge=-1000000.0, le=1000000.0)] | None = None
    event_type: str


class Place(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A point on the globe, in degrees."""

    lat: Annotated[float, Meta(ge=-90.0, le=90.0)]
    lon: Annotated[float, Meta(ge=-180.0, le=180.0)]


class CatalogueItemInput(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An item without its id. It is served from `published_at` until `expires_at`, which must be later, unless it is
    `hidden`."""

    title: Text_1_500 | None = None
    categories: Annotated[list[Id], Meta(max_length=50)] = field(default_factory=list)
    tags: Annotated[list[Id], Meta(max_length=50)] = field(default_factory=list)
    published_at: datetime | None = None
    expires_at: datetime | None = None
    hidden: bool = False
    attributes: dict[str, bool | float | Text_500 | Annotated[list[Id], Meta(max_length=50)] | Place] = {}


class CatalogueBatchItem(Struct, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """An item with its id."""

    title: Text_1_500 | None = None
    categories: Annotated[list[Id], Meta(max_length=50)] = field(default_factory=list)
    tags: Annotated[list[Id], Meta(max_length=50)] = field(default_factory=list)
    published_at: datetime | None = None
    expires_at: datetime | None = None
    hidden: bool = False
    attributes: dict[str, bool | float | Text_500 | Annotated[list[Id], Meta(max_length=50)] | Place] = {}
    item_id: Id


class FieldError(Struct, kw_only=True):
    """What is wrong with an input, and where: `path` is a JSON path such as `$.items[3].position`."""

    path: str
    message: str


class Problem(Struct, kw_only=True):
    """The body of every error answer (RFC 9457). `code` tells the causes apart: docs/api.md lists them."""

    type: str | None = None
    title: str
    status: int
    code: str | None = None
    detail: str
    request_id: str
    errors: list[FieldError] = field(default_factory=list)
    event_id: str | None = None


class BatchEventResult(Struct, kw_only=True):
    """The result of one event of a batch. `event_id` is null for an event that could not be read."""

    status: str
    event_id: str | None
    errors: list[FieldError] = field(default_factory=list)


class EventBatchResult(Struct, kw_only=True):
    """One result per event, in the order sent, and the number of each status."""

    accepted: int
    duplicate: int
    conflict: int
    invalid: int
    results: list[BatchEventResult]


class ScoreParts(Struct, kw_only=True):
    """What the score is made of. `features`: what each adds to its logarithm; the best item's sum stands for 1.
    `factor`: what rules multiply it by."""

    features: dict[str, float]
    factor: float


class RecommendedItem(Struct, kw_only=True):
    """One place of the answer. `picture_url`: the attribute of this name, where it is an https URL or a path. With
    `explain=true` also `because` (the user's items that led here), `parts`, `why`, and `rules`: the ids of the rules
    that moved it."""

    item_id: str
    score: float
    source: str
    title: str | None = None
    picture_url: str | None = None
    because: list[str] = field(default_factory=list)
    parts: ScoreParts | None = None
    why: str | None = None
    rules: list[str] = field(default_factory=list)


class RecommendationList(Struct, kw_only=True):
    """Items, best first. `strategy` is the source of most items. `cursor` asks for the next page, where there is one.
    `variant`: the variant that ranked the list, while an experiment runs; `preview` when the request asked for one.
    `experiment`: the experiment and its stage. An impression of the list names both in its context."""

    request_id: str
    items: list[RecommendedItem]
    model_version: str
    strategy: str
    variant: str | None = None
    experiment: str | None = None
    cursor: str | None = None


class RankedList(Struct, kw_only=True):
    """Your items, the best for the user first. `left_out`: those that may not be served: hidden, expired, not of the
    category, not kept by the filter, or by a rule."""

    request_id: str
    items: list[RecommendedItem]
    left_out: list[str]
    model_version: str
    variant: str | None = None
    experiment: str | None = None


class CatalogueItem(Struct, kw_only=True):
    """An item as it is stored."""

    item_id: str
    title: str | None
    categories: list[str]
    tags: list[str]
    published_at: datetime | None
    expires_at: datetime | None
    hidden: bool
    attributes: dict[str, Any]
    updated_at: datetime


class ItemList(Struct, kw_only=True):
    """Items, the newest first. A page may have fewer than `limit`; the last one has no `cursor`."""

    items: list[CatalogueItem]
    cursor: str | None = None


class CatalogueBatchResult(Struct, kw_only=True):
    """The number of new items and of replaced ones."""

    created: int
    replaced: int


TaggedEvent = Watch | Impression | View | Click | Purchase | Cancellation
Event = TaggedEvent | Action
