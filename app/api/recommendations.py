"""The calls that answer with items."""

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import UNSET, Meta, Struct, UnsetType, structs

from app.api.experiment import NO_LABEL, Label, check_version, choose
from app.api.field_checks import list_checks
from app.api.pages import Cursor, Rank, page_of
from app.clock import clock
from app.core import events
from app.core.events import Id, Impression, Record, ShownItem
from app.core.filter_language import FilterText
from app.core.kinds import seen_kinds
from app.core.ranking import Repeats
from app.core.recommendation import Recommendation, RecommendationRequest, RecommendedItem
from app.http import schema
from app.http.context import RequestContext, context_of
from app.http.etags import NOT_KEPT, weak_tag_of
from app.http.flags import flag, flag_of
from app.http.path_ids import path_id
from app.http.responses import Reply, reply
from app.serving.known_event_types import KnownEventTypes
from app.serving.recommender import Recommender
from app.serving.running_experiments import RunningExperiments

_MAX_EXCLUDED: Final = 1_000
_MAX_SEEN: Final = 200

K = Annotated[int, Meta(ge=1, le=200, description="How many items.")]
Excluded = Annotated[
    tuple[Id, ...],
    Meta(max_length=_MAX_EXCLUDED, description="Items to leave out: given several times, or with commas between."),
]
ExcludedIds = Annotated[
    frozenset[Id],
    Meta(max_length=_MAX_EXCLUDED, description="An item to leave out, whose id may hold commas; given several times."),
]
Category = Annotated[Id, Meta(description="Only items of this category.")]
PerCategory = Annotated[int, Meta(ge=1, le=200, description="No more items than this of one category.")]
Session = Annotated[Id, Meta(description="Serves an unknown user by what was done in this session.")]
ExcludedSeen = Annotated[
    tuple[str, ...],
    Meta(
        max_length=_MAX_SEEN,
        description="Leaves out only those of the user's items that the user met in these ways: event types such as"
        " `view`, `click`, `watch`, `purchase` or `cart`, all of a meaning (`interest`, `consumption`, `rejection`), or"
        " `none`. Without it, `repeats` alone decides.",
    ),
]
RepeatsWanted = Annotated[
    Repeats,
    Meta(
        description="The user's own items: `learned` places them where the ranking has learned that users come back to"
        " them, `avoid` leaves all of them out, `only` leaves all others out, `allow` leaves none out."
    ),
]
Variant = Annotated[
    Id,
    Meta(
        description="Answer as this variant of an experiment, or as a version of the model (`model-7`); needs the scope"
        " `operate`."
    ),
]

ABOUT: Final[dict[str, Any]] = {"needs": "read", "tag": "recommendations", "for_browsers": True}
"""Of the calls for lists."""
LIST_PROBLEMS: Final = schema.problems(422, 503)
AUTOLOG: Final = flag("X-Autolog-Impressions", "Log the answer as an impression, with its `request_id`.")


class ListQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of any list."""

    k: K = 20
    cursor: Cursor | None = None
    exclude: Excluded = ()
    exclude_id: ExcludedIds = frozenset()
    category: Category | None = None
    max_per_category: PerCategory | None = None
    explain: Annotated[bool, Meta(description="Explain each item: `because`, `parts` and `why`.")] = False
    filter: FilterText | None = None


class RecoQuery(ListQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of one user's list."""

    user_id: Id
    session_id: Session | None = None
    exclude_seen: ExcludedSeen = ()
    repeats: RepeatsWanted = "learned"
    variant: Variant | None = None


class RecommendationList(Struct):
    """Items, best first. `strategy` is the source of most items. `cursor` asks for the next page, where there is one.

    `variant`: the variant that ranked the list, while an experiment runs; `preview` when the request asked for one.
    `experiment`: the experiment and its stage. An impression of the list names both in its context.
    """

    request_id: str
    items: Sequence[RecommendedItem]
    model_version: str
    strategy: str
    variant: str | UnsetType = UNSET
    experiment: str | UnsetType = UNSET
    cursor: str | UnsetType = UNSET


def handlers(
    recommender: Recommender,
    log_impression: Callable[[Record], None],
    running: RunningExperiments,
    known: KnownEventTypes,
) -> list[HTTPRouteHandler]:
    """The routes; `log_impression` stores an impression without delaying the answer. `known`: what may have been
    `exclude_seen`.
    """
    checks = list_checks(recommender, known)

    @get(
        "/reco",
        opt=schema.call(
            **ABOUT,
            query=RecoQuery,
            answers={200: RecommendationList, **LIST_PROBLEMS, **schema.problems(404)},
            headers=[AUTOLOG],
        ),
    )
    async def reco(scope: Scope) -> ASGIApp:
        """Recommendations for a user, who is known up to the last acknowledged event.

        With `X-Autolog-Impressions: true` the answer is logged as an impression of this request. `variant` asks for
        what that variant of an experiment would answer, which needs the scope `operate`.
        """
        query = await checks.query(scope, RecoQuery)
        context = context_of(scope)
        choice = choose(await running.of("reco"), query.user_id, query.variant, context)
        await check_version(choice, recommender)
        asked_ms = clock.now_ms()
        session_id = session_of(context, query.session_id)
        seen = None if not query.exclude_seen else seen_kinds(query.exclude_seen, await known.get())
        rank = partial(
            recommender.for_user,
            query.user_id,
            request_id=context.request_id,
            session_id=session_id,
            seen=seen,
            model=choice.model,
            weights=choice.weights,
            version=choice.version,
        )
        wanted = await request_of(recommender, query, asked_ms, repeats=query.repeats)
        rest = partial(recommender.rest, query.user_id, session_id=session_id, seen=seen)
        found, cursor = await page_of(scope, query.cursor, wanted, rank, rest)
        autolog = wants_autolog(scope)
        if autolog and found.items:
            log_impression(impression(query.user_id, query.session_id, found, context, choice.label, asked_ms))
        answer = answer_of(context.request_id, found, cursor, choice.label)
        # A client that kept an earlier answer would know another request than the one that is logged.
        answer.headers = (NOT_KEPT if autolog else tag_of(found, cursor, choice.label),)
        return answer

    @get(
        "/similar/{item_id:path}",
        opt=schema.call(**ABOUT, query=ListQuery, answers={200: RecommendationList, **LIST_PROBLEMS}),
    )
    async def similar(request: Request[Any, Any, Any]) -> ASGIApp:
        """Items that the same users took at about the same time."""
        query = await checks.query(request.scope, ListQuery)
        item_id = path_id(request.scope)
        return await listed(request.scope, recommender, query, partial(recommender.similar, item_id))

    @get(
        "/popular",
        opt=schema.call(**ABOUT, query=ListQuery, answers={200: RecommendationList, **LIST_PROBLEMS}),
    )
    async def popular(scope: Scope) -> ASGIApp:
        """What is popular now, with recent events weighing more."""
        return await listed(scope, recommender, await checks.query(scope, ListQuery), recommender.popular)

    return [reco, similar, popular]


def wants_autolog(scope: Scope) -> bool:
    """Whether the list is to be logged as shown. That of a HEAD request is shown to nobody."""
    return flag_of(scope, AUTOLOG) and scope.get("method") != "HEAD"


def session_of(context: RequestContext, session_id: str | None) -> str | None:
    """The session by which an unknown user may be served. A visitor may not: it may be somebody else's."""
    return session_id if context.visitor is None else None


async def request_of(
    recommender: Recommender, query: ListQuery, now_ms: int, *, repeats: Repeats = "learned"
) -> RecommendationRequest:
    return RecommendationRequest(
        k=query.k,
        now_ms=now_ms,
        exclude=query.exclude_id.union(query.exclude),
        category=query.category,
        max_per_category=query.max_per_category,
        filter=None if query.filter is None else await recommender.filter_of(query.filter),
        explain=query.explain,
        repeats=repeats,
    )


async def listed(scope: Scope, recommender: Recommender, query: ListQuery, rank: Rank) -> Reply:
    """The answer with a page of a list that no variant of an experiment changes."""
    found, cursor = await page_of(scope, query.cursor, await request_of(recommender, query, clock.now_ms()), rank)
    answer = answer_of(context_of(scope).request_id, found, cursor)
    answer.headers = (tag_of(found, cursor),)
    return answer


def tag_of(found: Recommendation, cursor: str | UnsetType = UNSET, label: Label = NO_LABEL) -> tuple[bytes, bytes]:
    """The header `ETag` of a list: all that it shows but scores, which change a little all the time. The `cursor` is
    part of it: a last page may have become one that others follow.
    """
    places: list[tuple[Any, ...]] = [(one.item_id, one.source, one.title, one.picture_url) for one in found.items]
    places += [(one.because, one.why, one.rules or None) for one in found.items if one.why is not UNSET]
    return b"etag", weak_tag_of((found.model_version, found.strategy, label, cursor or None, places))


def answer_of(request_id: str, found: Recommendation, cursor: str | UnsetType, label: Label = NO_LABEL) -> Reply:
    answer = RecommendationList(
        request_id, found.items, found.model_version, found.strategy, label.variant, label.experiment, cursor
    )
    return reply(answer)


def impression(
    user_id: str,
    session_id: str | None,
    found: Recommendation,
    request: RequestContext,
    label: Label,
    now_ms: int,
    context: Mapping[str, Any] | None = None,
) -> Record:
    """The answer as an event; `context`: what the client adds. Raises `InvalidInput` for one that is not valid."""
    shown = [ShownItem(item_id=item.item_id, position=index) for index, item in enumerate(found.items)]
    about = {
        "feed_id": "reco",
        **(context or {}),
        "model_version": found.model_version,
        "sources": [item.source for item in found.items],
    }
    event = Impression(
        user_id=user_id,
        session_id=session_id or user_id,
        request_id=request.request_id,
        items=shown,
        context=about | {name: value for name, value in structs.asdict(label).items() if value is not UNSET},
    )
    return events.accept(
        event, now_ms=now_ms, entropy=os.urandom(10), traceparent=request.traceparent, tracestate=request.tracestate
    )
