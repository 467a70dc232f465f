"""The history of the rules, and how a change is undone."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import Meta, Struct, structs

from app.adapters import rule_changes
from app.adapters.postgres import Database
from app.adapters.rule_changes import RuleChange
from app.adapters.rules import StoredRule
from app.api.audited import change
from app.api.rules import RuleState
from app.api.timestamps import Timestamp
from app.core.decoding import decode
from app.core.events import Id
from app.core.rules import MAX_RULES, TooManyRules
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply

_MAX_BYTES: Final = 1024
_ChangeId = Annotated[int, Meta(ge=1, le=2**63 - 1, description="Of a change.")]


class RuleHistoryQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest `limit` changes, of one rule or of all; `before`: older than this change."""

    rule_id: Id | None = None
    before: _ChangeId | None = None
    limit: Annotated[int, Meta(ge=1, le=200, description="How many changes.")] = 50


class ShownRuleChange(Struct, kw_only=True):
    """`actor`: the name of the API key; null where no key was asked for. `before` is null for a rule that was made, and
    `after` for one that was deleted. `undoes`: the change that this one takes back.
    """

    change_id: int
    changed_at: Timestamp
    actor: str | None
    rule_id: str
    did: Literal["created", "replaced", "deleted"]
    before: RuleState | None
    after: RuleState | None
    undoes: int | None


class RuleHistory(Struct):
    """The newest first."""

    changes: list[ShownRuleChange]


class UndoneRule(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which change is taken back."""

    change_id: _ChangeId


_undone: Final = msgspec.json.Decoder(UndoneRule)


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @get(
        "/rules:history",
        opt=schema.call(
            needs="read",
            tag="rules",
            query=RuleHistoryQuery,
            answers={200: RuleHistory, **schema.problems(422, 503)},
        ),
    )
    async def rule_history(scope: Scope) -> ASGIApp:
        """Who changed which rule when, what it said before, and what since."""
        query = schema.query_of(scope, RuleHistoryQuery)
        async with database.connection() as connection:
            found = await rule_changes.page(connection, query.rule_id, query.before, query.limit)
        return reply(RuleHistory([_shown(made) for made in found]))

    @post(
        "/rules:undo",
        status_code=200,
        opt=schema.call(
            needs="catalogue",
            tag="rules",
            body=UndoneRule,
            answers={200: ShownRuleChange, **schema.problems(400, 404, 409, 413, 415, 422, 503)},
        ),
    )
    async def undo_rule(request: Request[Any, Any, Any]) -> ASGIApp:
        """Makes a rule what it was before a change. 409 when the rule has changed since.

        The undo is a change of its own, which can be undone.
        """
        body = decode(_undone, await read_body(request, _MAX_BYTES))
        context = context_of(request.scope)
        try:
            async with change(database, context, "undo_rule") as changed:
                made = await rule_changes.read(changed.connection, body.change_id)
                if made is None:
                    raise ProblemError(
                        ProblemCode.NO_SUCH_CHANGE, "There is no such change; GET /rules:history lists them."
                    )
                undone = await rule_changes.undo(changed.connection, made, actor=context.caller)
                if undone is None:
                    raise ProblemError(
                        ProblemCode.RULE_CHANGED,
                        f"The rule {made.rule_id} has changed since; GET /rules:history says how. Undo that first.",
                    )
                changed.made([made.rule_id], f"undid change {made.change_id}")
        except TooManyRules:
            raise ProblemError(
                ProblemCode.TOO_MANY, f"There are {MAX_RULES} rules already; delete one that has ended."
            ) from None
        return reply(_shown(undone))

    return [rule_history, undo_rule]


def _shown(made: RuleChange) -> ShownRuleChange:
    return ShownRuleChange(
        change_id=made.change_id,
        changed_at=made.changed_at,
        actor=made.actor,
        rule_id=made.rule_id,
        did="created" if made.before is None else "deleted" if made.after is None else "replaced",
        before=_state(made.before),
        after=_state(made.after),
        undoes=made.undoes,
    )


def _state(rule: StoredRule | None) -> RuleState | None:
    if rule is None:
        return None
    fields = structs.asdict(rule)
    return RuleState(**{name: fields[name] for name in RuleState.__struct_fields__})
