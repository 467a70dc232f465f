"""A rule before it is stored: a user's list without it and with it, and what it reaches."""

from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from app.adapters import rule_reach
from app.adapters.postgres import Database
from app.adapters.timestamps import to_ms
from app.api.recommendations import Category, K
from app.api.rules import MAX_RULE_BYTES, BoostRule, PinRule, RuleBody, rule_faults, rule_of
from app.api.timestamps import Timestamp, timestamp_faults
from app.clock import clock
from app.core.decoding import decode_checked
from app.core.events import Id
from app.core.field_errors import FieldError
from app.core.recommendation import RecommendationRequest, RecommendedItem
from app.core.rule_reach import items_touched, warnings_of
from app.core.rules import MAX_RULES, TooManyRules
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply
from app.serving.recommender import Recommender

_NO_RULE: Final = "preview"
_TRIES: Final = 5


class RulePreviewBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """The rule as it would be sent, and whose list to show."""

    rule: PinRule | BoostRule
    rule_id: Annotated[Id, Meta(description="The rule that it would replace.")] = _NO_RULE
    user_id: Annotated[Id, Meta(description="Whose list; without it, that of somebody unknown.")] | None = None
    category: Category | None = None
    k: K = 20
    at: Annotated[Timestamp, Meta(description="The list at this time, for a rule that has yet to start.")] | None = None


class RulePreview(Struct):
    """The list without the rule, or with the one that it replaces, and the list with it; each item explained.

    `active`: whether the rule acts on this list at this time. `touches`: how many items it moves in all lists.
    `warnings`: what it names and nobody knows.
    """

    before: list[RecommendedItem]
    after: list[RecommendedItem]
    active: bool
    touches: int
    warnings: list[FieldError]


_decoder: Final = msgspec.json.Decoder(RulePreviewBody)


def handlers(database: Database, recommender: Recommender) -> list[HTTPRouteHandler]:
    @post(
        "/rules/preview",
        status_code=200,
        opt=schema.call(
            needs="read",
            tag="rules",
            body=RulePreviewBody,
            answers={200: RulePreview, **schema.problems(400, 409, 413, 415, 422, 503)},
        ),
    )
    async def preview_rule(request: Request[Any, Any, Any]) -> ASGIApp:
        """A user's list before and after a rule, which is not stored.

        And how many items the rule touches, and a warning for each id, category or tag that nobody knows.
        """
        body = decode_checked(_decoder, await read_body(request, MAX_RULE_BYTES), _faults)
        rule = rule_of(body.rule_id, body.rule).rule()
        async with database.connection() as connection:
            reach = await rule_reach.read(connection, rule)
        at_ms = clock.now_ms() if body.at is None else to_ms(body.at)
        wanted = RecommendationRequest(k=body.k, now_ms=at_ms, category=body.category, explain=True)
        ranked = partial(recommender.for_user, body.user_id, wanted, request_id=context_of(request.scope).request_id)
        before = await ranked()
        for _ in range(_TRIES):
            try:
                after = await ranked(preview=rule)
            except TooManyRules:
                raise ProblemError(
                    ProblemCode.TOO_MANY, f"There are {MAX_RULES} rules already; delete one that has ended."
                ) from None
            # Events are counted meanwhile: nothing but the rule may make the difference.
            if (again := await ranked()) == before:
                break
            before = again
        warnings = [FieldError(f"$.rule{found.path[1:]}", found.message) for found in warnings_of(rule, reach)]
        return reply(
            RulePreview(
                before=list(before.items),
                after=list(after.items),
                active=rule.acts(at_ms, body.category),
                touches=items_touched(rule, reach),
                warnings=warnings,
            )
        )

    return [preview_rule]


def _faults(body: RulePreviewBody) -> list[FieldError]:
    """Of a body of which at least a part is known."""
    found = timestamp_faults(body.at, "$.at") if isinstance(body.at, datetime) else []
    return found + (rule_faults(body.rule, "$.rule") if isinstance(body.rule, RuleBody) else [])
