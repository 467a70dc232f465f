"""Gorse's lists of items: for a user, for a session, beside an item, popular and latest."""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope

from app.adapters import catalogue, features
from app.adapters.postgres import Database
from app.api.experiment import choose
from app.api.gorse.shapes import GorseScore, Places, gorse_call, places_of, scores_of
from app.api.recommendations import impression
from app.clock import clock
from app.core.event_types import NO_OWN_TYPES
from app.core.events import MAX_BODY_BYTES, Record
from app.core.given_history import past_entries
from app.core.gorse_types import GorseTypes
from app.core.recommendation import Recommendation, RecommendationRequest
from app.http.body import read_body
from app.http.context import context_of
from app.http.path_ids import path_ids
from app.http.responses import Reply, reply
from app.ingest.gorse import decode_feedback, past_of
from app.serving.recommender import Recommender
from app.serving.running_experiments import RunningExperiments

_MAX_PAST: Final = 200
_SCORES: Final = b"2"  # the version of the API whose recommendations have scores


def handlers(
    recommender: Recommender,
    log_impression: Callable[[Record], None],
    running: RunningExperiments,
    database: Database,
    types: GorseTypes,
) -> list[HTTPRouteHandler]:
    """The routes; `log_impression` stores what is written back."""

    @get(["/api/recommend/{user_id:str}", "/api/recommend/{user_id:str}/{category:str}"], opt=gorse_call("read"))
    async def recommend(scope: Scope) -> ASGIApp:
        """Items that the user does not have yet: their ids, or with `X-API-Version: 2` their scores."""
        places, context = places_of(scope), context_of(scope)
        user_id = path_ids(scope)["user_id"]
        choice = choose(await running.of("reco"), user_id, None, context)
        wanted = _wanted(places)
        found = await recommender.for_user(
            user_id,
            msgspec.structs.replace(wanted, repeats="avoid"),
            request_id=context.request_id,
            model=choice.model,
            weights=choice.weights,
            version=choice.version,
        )
        shown = msgspec.structs.replace(found, items=found.items[places.offset :])
        if places.write_back and shown.items:
            log_impression(impression(user_id, None, shown, context, choice.label, wanted.now_ms))
        if context.headers.get(b"x-api-version", b"").strip() == _SCORES:
            return reply(scores_of(shown.items))
        return reply([item.item_id for item in shown.items])

    @post(["/api/session/recommend", "/api/session/recommend/{category:str}"], status_code=200, opt=gorse_call("read"))
    async def session_recommend(request: Request[Any, Any, Any]) -> ASGIApp:
        """For somebody of whom nothing is known but this feedback."""
        places, context = places_of(request.scope), context_of(request.scope)
        feedback = decode_feedback(await read_body(request, MAX_BODY_BYTES))
        given = past_of(feedback, types)[:_MAX_PAST]
        wanted = _wanted(places, frozenset(event.item_id for event in given))
        past = past_entries(given, NO_OWN_TYPES, now_ms=wanted.now_ms)
        found = await recommender.for_user(None, wanted, request_id=context.request_id, past=past)
        return _scores(found, places)

    @get(
        [
            "/api/item/{item_id:str}/neighbors",
            "/api/item/{item_id:str}/neighbors/{category:str}",
            "/api/item-to-item/{name:str}/{item_id:str}",
        ],
        opt=gorse_call("read"),
    )
    async def item_neighbors(scope: Scope) -> ASGIApp:
        places = places_of(scope)
        found = await recommender.similar(path_ids(scope)["item_id"], _wanted(places, await had_by(places.user_id)))
        return _scores(found, places)

    @get(["/api/popular", "/api/popular/{category:str}", "/api/non-personalized/{name:str}"], opt=gorse_call("read"))
    async def gorse_popular(scope: Scope) -> ASGIApp:
        places = places_of(scope)
        return _scores(await recommender.popular(_wanted(places, await had_by(places.user_id))), places)

    @get(["/api/latest", "/api/latest/{category:str}"], opt=gorse_call("read"))
    async def gorse_latest(scope: Scope) -> ASGIApp:
        """The newest items of the catalogue; the score is the time in seconds."""
        places = places_of(scope)
        had = await had_by(places.user_id)
        async with database.connection() as connection:
            found = await catalogue.read_after(connection, places.category, None, places.until + len(had))
        new = [GorseScore(item.item_id, item.since_us // 1_000_000) for item in found if item.item_id not in had]
        return reply(new[places.offset : places.until])

    async def had_by(user_id: str | None) -> frozenset[str]:
        if user_id is None:
            return frozenset()
        async with database.connection() as connection:
            stored = await features.read_histories(connection, [user_id])
        return frozenset(entry.item_id for entry in features.history_of(stored.get(user_id)).entries)

    return [recommend, session_recommend, item_neighbors, gorse_popular, gorse_latest]


def _wanted(places: Places, exclude: frozenset[str] = frozenset()) -> RecommendationRequest:
    return RecommendationRequest(k=places.until, now_ms=clock.now_ms(), category=places.category, exclude=exclude)


def _scores(found: Recommendation, places: Places) -> Reply:
    return reply(scores_of(found.items[places.offset :]))
