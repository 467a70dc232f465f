"""Recommendations for requests that do not fit a URL: long lists of items, and histories."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.experiment import Label, check_version, choose
from app.api.field_checks import list_checks
from app.api.pages import Cursor, Rank, page_of
from app.api.recommendations import (
    ABOUT,
    AUTOLOG,
    Category,
    ExcludedSeen,
    K,
    PerCategory,
    RecommendationList,
    RepeatsWanted,
    Session,
    Variant,
    answer_of,
    impression,
    session_of,
    wants_autolog,
)
from app.clock import clock
from app.core.decoding import decode, decode_checked
from app.core.event_contexts import depth_faults, nul_faults
from app.core.events import MAX_BODY_BYTES, MAX_EVENT_BYTES, Id, Record
from app.core.experiments import Lists
from app.core.field_errors import FieldError
from app.core.filter_language import FilterText
from app.core.given_history import PastEvent, past_entries
from app.core.history import Entry
from app.core.kinds import seen_kinds
from app.core.ranking import Repeats
from app.core.recommendation import Recommendation, RecommendationRequest, RecommendedItem
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.flags import flag_faults
from app.http.responses import reply
from app.serving.known_event_types import KnownEventTypes
from app.serving.recommender import Recommender
from app.serving.running_experiments import RunningExperiments

_MAX_EXCLUDED: Final = 10_000
_MAX_ITEMS: Final = 1_000
_MAX_PAST: Final = 200

User = Annotated[Id, Meta(description="Whose list it is. Without it, `history` alone counts.")]
Past = Annotated[
    list[PastEvent],
    Meta(max_length=_MAX_PAST, description="What the person did, the latest first: counts for somebody unknown."),
]
LongExcluded = Annotated[list[Id], Meta(max_length=_MAX_EXCLUDED, description="Items to leave out.")]
Among = Annotated[
    list[Id], Meta(min_length=1, max_length=_MAX_ITEMS, description="The only items that may be in the list.")
]
_EXPLAIN: Final = Meta(description="Explain the first 200 items: `because`, `parts` and `why`.")

_ANSWERS: Final = {200: RecommendationList, **schema.problems(400, 404, 413, 415, 422, 503)}


class Wanted(Struct, kw_only=True, forbid_unknown_fields=True):
    """Parameters of every posted list."""

    category: Category | None = None
    filter: FilterText | None = None
    explain: Annotated[bool, _EXPLAIN] = False


class ListWanted(Wanted, kw_only=True, forbid_unknown_fields=True):
    k: K = 20
    exclude: LongExcluded = []
    max_per_category: PerCategory | None = None
    exclude_seen: ExcludedSeen = ()
    repeats: RepeatsWanted = "learned"


class RecoBody(ListWanted, kw_only=True, forbid_unknown_fields=True):
    """Whose list it is: `user_id`, `history`, both, or somebody of whom nothing is known. `context` goes into the
    logged impression.
    """

    user_id: User | None = None
    session_id: Session | None = None
    history: Past = []
    candidates: Among | None = None
    context: dict[str, Any] | None = None
    cursor: Cursor | None = None
    variant: Variant | None = None


class RankBody(Wanted, kw_only=True, forbid_unknown_fields=True):
    """The items to rank, and for whom: `user_id`, `history`, both, or somebody of whom nothing is known."""

    items: Annotated[list[Id], Meta(min_length=1, max_length=_MAX_ITEMS, description="Your items.")]
    user_id: User | None = None
    session_id: Session | None = None
    history: Past = []
    variant: Variant | None = None


class RankedList(Struct, kw_only=True):
    """Your items, the best for the user first. `left_out`: those that may not be served: hidden, expired, not of the
    category, not kept by the filter, or by a rule.
    """

    request_id: str
    items: Sequence[RecommendedItem]
    left_out: Sequence[str]
    model_version: str
    variant: str | UnsetType = UNSET
    experiment: str | UnsetType = UNSET


_UncheckedId = Annotated[str, Meta(min_length=1, max_length=128)]


class _UncheckedRank(RankBody, kw_only=True, forbid_unknown_fields=True):
    """As `RankBody`, with ids that `_read_rank` checks all at once: a regular expression for each takes a tenth of the
    answer's time.
    """

    items: Annotated[list[_UncheckedId], Meta(min_length=1, max_length=_MAX_ITEMS)]


_reco: Final = msgspec.json.Decoder(RecoBody)
_rank: Final = msgspec.json.Decoder(RankBody)
_unchecked_rank: Final = msgspec.json.Decoder(_UncheckedRank)


def handlers(
    recommender: Recommender,
    log_impression: Callable[[Record], None],
    running: RunningExperiments,
    known: KnownEventTypes,
) -> list[HTTPRouteHandler]:
    """The routes; `log_impression` stores an impression without delaying the answer."""
    checks = list_checks(recommender, known)

    async def ranking_of(
        body: RecoBody | RankBody,
        context: RequestContext,
        past: Sequence[Entry],
        seen: frozenset[int] | None = None,
    ) -> tuple[Rank, Label]:
        lists: Lists = "rank" if isinstance(body, RankBody) else "reco"
        choice = choose(await running.of(lists), body.user_id, body.variant, context)
        ranked = partial(
            recommender.for_user,
            body.user_id,
            request_id=context.request_id,
            session_id=session_of(context, body.session_id),
            past=past,
            seen=seen,
            model=choice.model,
            weights=choice.weights,
            version=choice.version,
        )

        async def rank(request: RecommendationRequest) -> Recommendation:
            await check_version(choice, recommender)
            return await ranked(request)

        return rank, choice.label

    @post(
        "/reco",
        status_code=200,
        opt=schema.call(**ABOUT, body=RecoBody, answers=_ANSWERS, headers=[AUTOLOG]),
    )
    async def post_reco(request: Request[Any, Any, Any]) -> ASGIApp:
        """As `GET /reco`, for what does not fit a URL: 10,000 exclusions, candidates, the history of somebody unknown.

        With `candidates`, nothing else is in the list. `X-Autolog-Impressions: true` needs a `user_id`.
        """
        types = await known.get()
        context = context_of(request.scope)
        read = partial(decode_checked, _reco, check=partial(_log_faults, request.scope))
        body = await checks.body(request.scope, read, await read_body(request, MAX_BODY_BYTES))
        _for_visitor(body, context)
        wanted = await wanted_of(
            body,
            recommender,
            repeats=body.repeats,
            k=body.k,
            exclude=body.exclude,
            among=body.candidates,
            max_per_category=body.max_per_category,
        )
        past = past_entries(body.history, types, now_ms=wanted.now_ms)
        seen = seen_kinds(body.exclude_seen, types)
        rank, label = await ranking_of(body, context, past, seen)
        session_id = session_of(context, body.session_id)
        rest = partial(recommender.rest, body.user_id, session_id=session_id, past=past, seen=seen)
        found, cursor = await page_of(request.scope, body.cursor, wanted, rank, rest)
        if wants_autolog(request.scope) and found.items and body.user_id is not None:
            log_impression(
                impression(body.user_id, body.session_id, found, context, label, wanted.now_ms, body.context)
            )
        return answer_of(context.request_id, found, cursor, label)

    @post(
        "/rank",
        status_code=200,
        opt=schema.call(
            **ABOUT,
            body=RankBody,
            answers={200: RankedList, **schema.problems(400, 404, 413, 415, 422, 503)},
        ),
    )
    async def rank(request: Request[Any, Any, Any]) -> ASGIApp:
        """Your items in the order in which the user is likely to take them, each with its score and source. The
        user's own items stand among them. Boosts apply, pins do not.
        """
        types = await known.get()
        context = context_of(request.scope)
        body = await checks.body(request.scope, _read_rank, await read_body(request, MAX_BODY_BYTES))
        _for_visitor(body, context)
        items = list(dict.fromkeys(body.items))
        wanted = await wanted_of(body, recommender, repeats="allow", k=len(items), exclude=(), among=items, pins=False)
        past = past_entries(body.history, types, now_ms=wanted.now_ms)
        ranking, label = await ranking_of(body, context, past)
        found = await ranking(wanted)
        ranked = {item.item_id for item in found.items}
        left_out = [item_id for item_id in items if item_id not in ranked]
        return reply(
            RankedList(
                request_id=context.request_id,
                items=found.items,
                left_out=left_out,
                model_version=found.model_version,
                variant=label.variant,
                experiment=label.experiment,
            )
        )

    return [post_reco, rank]


def _read_rank(body: bytes) -> RankBody:
    try:
        found = _unchecked_rank.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return decode(_rank, body)
    return found if "".join(found.items).isprintable() else decode(_rank, body)


def _log_faults(scope: Scope, body: RecoBody) -> list[FieldError]:
    """What the impression could not say of which the request asks, of a body of which at least a part is known."""
    if flag_faults(scope, (AUTOLOG,)) or not wants_autolog(scope):
        return []
    faults = [*depth_faults(body.context), *nul_faults(body.context)]
    size = len(msgspec.json.encode(body.context)) if isinstance(body.context, dict) and not faults else 0
    if size > MAX_EVENT_BYTES:
        faults.append(FieldError("$.context", f"{size} bytes; an event has at most {MAX_EVENT_BYTES}"))
    if body.user_id is None and context_of(scope).visitor is None:
        faults.append(FieldError("$.user_id", "an impression is logged for a user; send the user_id"))
    return faults


def _for_visitor(body: RecoBody | RankBody, context: RequestContext) -> None:
    """With a key for browsers, the user is the visitor. Raises `OtherUser` if it is another one."""
    if context.visitor is not None:
        body.user_id = body.user_id or context.visitor.user_id
        context.visitor.check(body.user_id)


async def wanted_of(
    body: Wanted,
    recommender: Recommender,
    *,
    repeats: Repeats,
    k: int,
    exclude: Sequence[str],
    among: Sequence[str] | None,
    max_per_category: int | None = None,
    pins: bool = True,
) -> RecommendationRequest:
    return RecommendationRequest(
        k=k,
        now_ms=clock.now_ms(),
        exclude=frozenset(exclude),
        category=body.category,
        filter=None if body.filter is None else await recommender.filter_of(body.filter),
        explain=body.explain,
        repeats=repeats,
        among=None if among is None else list(dict.fromkeys(among)),
        max_per_category=max_per_category,
        pins=pins,
    )
