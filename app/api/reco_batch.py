"""The lists of many users in one request, as lines of JSON."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, HTTPResponseBodyEvent, HTTPResponseStartEvent, Receive, Scope, Send
from msgspec import UNSET, Meta, Struct, UnsetType

from app.api.experiment import choose
from app.api.field_checks import list_checks
from app.api.posted_lists import ListWanted, wanted_of
from app.core.decoding import decode
from app.core.events import MAX_BODY_BYTES, Id
from app.core.kinds import seen_kinds
from app.core.recommendation import RecommendedItem
from app.errors import DependencyDown
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.serving.known_event_types import KnownEventTypes
from app.serving.recommender import Recommender
from app.serving.running_experiments import RunningExperiments

_MAX_USERS: Final = 1_000
_USERS_AT_ONCE: Final = 20
_LINES: Final = "application/x-ndjson"


class RecoBatch(ListWanted, kw_only=True, forbid_unknown_fields=True):
    """The users, and what each of their lists is to be."""

    user_ids: Annotated[list[Id], Meta(min_length=1, max_length=_MAX_USERS)]


class UserLine(Struct, kw_only=True, omit_defaults=True):
    """One line of a batch: a user's list, or the `error` for which there is none."""

    user_id: str
    items: Sequence[RecommendedItem] = ()
    strategy: str | None = None
    model_version: str | None = None
    variant: str | UnsetType = UNSET
    experiment: str | UnsetType = UNSET
    error: str | None = None


_batch: Final = msgspec.json.Decoder(RecoBatch)
_encode_lines: Final = msgspec.json.Encoder().encode_lines


def handlers(recommender: Recommender, running: RunningExperiments, known: KnownEventTypes) -> list[HTTPRouteHandler]:
    checks = list_checks(recommender, known)

    @post(
        "/reco/batch",
        status_code=200,
        opt=schema.call(
            needs="read",
            tag="recommendations",
            body=RecoBatch,
            answers={200: _LINES, **schema.problems(400, 413, 415, 422, 503)},
        ),
    )
    async def post_reco_batch(request: Request[Any, Any, Any]) -> ASGIApp:
        """The lists of up to 1,000 users, for mails: a line of JSON for each, in the order sent (NDJSON).

        A line is `{"user_id", "items", "strategy", "model_version"}`, or `{"user_id", "error"}` for a user whose
        history could not be read.
        """
        body = await checks.body(request.scope, partial(decode, _batch), await read_body(request, MAX_BODY_BYTES))
        context = context_of(request.scope)
        wanted = await wanted_of(
            body,
            recommender,
            repeats=body.repeats,
            k=body.k,
            exclude=body.exclude,
            among=None,
            max_per_category=body.max_per_category,
        )
        seen = seen_kinds(body.exclude_seen, await known.get())

        async def line(user_id: str) -> UserLine:
            choice = choose(await running.of("reco"), user_id, None, context)
            try:
                found = await recommender.for_user(
                    user_id,
                    wanted,
                    # By the request alone, all of its users would be shown the same new item.
                    request_id=f"{context.request_id}:{user_id}",
                    seen=seen,
                    model=choice.model,
                    weights=choice.weights,
                    version=choice.version,
                )
            except DependencyDown as error:
                return UserLine(user_id=user_id, error=str(error))
            return UserLine(
                user_id=user_id,
                items=found.items,
                strategy=found.strategy,
                model_version=found.model_version,
                variant=choice.label.variant,
                experiment=choice.label.experiment,
            )

        async def lines(scope: Scope, receive: Receive, send: Send) -> None:
            start: HTTPResponseStartEvent = {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-type", _LINES.encode())],
            }
            await send(start)
            for first in range(0, len(body.user_ids), _USERS_AT_ONCE):
                some = await asyncio.gather(*map(line, body.user_ids[first : first + _USERS_AT_ONCE]))
                last = first + _USERS_AT_ONCE >= len(body.user_ids)
                chunk: HTTPResponseBodyEvent = {
                    "type": "http.response.body",
                    "body": _encode_lines(some),
                    "more_body": not last,
                }
                await send(chunk)

        return lines

    return [post_reco_batch]
