"""The lists of further places on a page: what a user did last, what the user may buy again, what is
trending, and what is bought together.
"""

from functools import partial
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Meta, structs

from app.api.experiment import choose
from app.api.field_checks import list_checks
from app.api.pages import page_of
from app.api.recommendations import (
    ABOUT,
    LIST_PROBLEMS,
    ListQuery,
    RecommendationList,
    Session,
    answer_of,
    listed,
    request_of,
    session_of,
    tag_of,
)
from app.clock import clock
from app.core.counted_lists import Window
from app.core.kinds import seen_kinds
from app.http import schema
from app.http.context import context_of
from app.http.path_ids import path_id
from app.serving.known_event_types import KnownEventTypes
from app.serving.recommender import Recommender
from app.serving.running_experiments import RunningExperiments

_ANSWERS: Final = {200: RecommendationList, **LIST_PROBLEMS}

Did = Annotated[
    tuple[str, ...],
    Meta(
        max_length=200,
        description="Only items that the user did one of these things with, by when the user last did it: event types"
        " such as `view`, `watch` or `cart`, or all of a meaning (`interest`, `consumption`).",
    ),
]


class RecentQuery(ListQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of the list of a user's latest items."""

    session_id: Session | None = None
    did: Did = ()


class TrendingQuery(ListQuery, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Parameters of the list of what is trending."""

    window: Annotated[
        Window, Meta(description="Events weigh half as much after two hours, after a day, or after eight days.")
    ] = "day"


def handlers(recommender: Recommender, running: RunningExperiments, known: KnownEventTypes) -> list[HTTPRouteHandler]:
    checks = list_checks(recommender, known)

    @get(
        "/users/{user_id:path}/recent",
        opt=schema.call(**ABOUT, query=RecentQuery, answers=_ANSWERS),
    )
    async def recent(request: Request[Any, Any, Any]) -> ASGIApp:
        """The user's items, the latest first, up to the last acknowledged event. `did=view` gives those that the user
        viewed, `did=watch` those to go on with.

        Of the user's latest 50 items. Those that may not be served are left out.
        """
        query = await checks.query(request.scope, RecentQuery)
        user_id = path_id(request.scope)
        kinds = None if not query.did else seen_kinds(query.did, await known.get(), "did")
        session_id = session_of(context_of(request.scope), query.session_id)
        rank = partial(recommender.recent, user_id, session_id=session_id, kinds=kinds)
        return await listed(request.scope, recommender, query, rank)

    @get(
        "/users/{user_id:path}/buy-again",
        opt=schema.call(**ABOUT, query=ListQuery, answers=_ANSWERS),
    )
    async def buy_again(request: Request[Any, Any, Any]) -> ASGIApp:
        """What the user bought, in the order in which the user is likely to take it again.

        Of the user's latest 50 items. The ranking has learned after how long, and of which items, users come back.
        """
        query = await checks.query(request.scope, ListQuery)
        user_id = path_id(request.scope)
        context = context_of(request.scope)
        choice = choose(await running.of("buy_again"), user_id, None, context)
        wanted = await request_of(recommender, query, clock.now_ms(), repeats="only")
        wanted = structs.replace(wanted, among=await recommender.bought(user_id))
        rank = partial(
            recommender.for_user,
            user_id,
            request_id=context.request_id,
            model=choice.model,
            weights=choice.weights,
            version=choice.version,
        )
        found, cursor = await page_of(request.scope, query.cursor, wanted, rank)
        answer = answer_of(context.request_id, found, cursor, choice.label)
        answer.headers = (tag_of(found, cursor, choice.label),)
        return answer

    @get(
        "/trending",
        opt=schema.call(**ABOUT, query=TrendingQuery, answers=_ANSWERS),
    )
    async def trending(scope: Scope) -> ASGIApp:
        """What is popular by the hour, by the day or by the week; of a category where one is given."""
        query = await checks.query(scope, TrendingQuery)
        rank = partial(recommender.popular, window=query.window)
        return await listed(scope, recommender, query, rank)

    @get(
        "/bought-together/{item_id:path}",
        opt=schema.call(**ABOUT, query=ListQuery, answers=_ANSWERS),
    )
    async def bought_together(request: Request[Any, Any, Any]) -> ASGIApp:
        """What was bought in one basket with this item, by how many of the item's baskets hold it.

        A basket is what one user bought in one session, at most six hours apart. The item's latest 1,000 purchases
        count.
        """
        query = await checks.query(request.scope, ListQuery)
        rank = partial(recommender.bought_together, path_id(request.scope))
        return await listed(request.scope, recommender, query, rank)

    return [recent, buy_again, trending, bought_together]
