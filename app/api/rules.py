"""Serving rules: pinned items, and boosted, buried or excluded items, categories and tags."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, delete, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope
from msgspec import UNSET, Meta, Struct, structs

from app.adapters import rule_changes, rules
from app.adapters.postgres import Database
from app.adapters.rules import StoredRule
from app.adapters.timestamps import with_zone
from app.api.audited import Change, change
from app.api.timestamps import Timestamp, timestamp_faults
from app.clock import clock
from app.core.decoding import decode_checked
from app.core.events import PRINTABLE, Id
from app.core.field_errors import FieldError
from app.core.rules import MAX_FACTOR, MAX_POSITION, MAX_RULES, Action, TooManyRules, field_errors
from app.http import schema
from app.http.body import read_body
from app.http.context import RequestContext, context_of
from app.http.etags import IF_MATCH, ONLY_NEW, check_preconditions, has_preconditions, tagged
from app.http.path_ids import path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Reply, reply

MAX_RULE_BYTES: Final = 16 * 1024

_ABSENT: Final = schema.problems(404, 422, 503)

Note = Annotated[
    str, Meta(min_length=1, max_length=500, pattern=PRINTABLE, description="1 to 500 printable characters")
]
PinPosition = Annotated[int, Meta(ge=1, le=MAX_POSITION, description="a place in the list; 1 is the first")]
Factor = Annotated[float, Meta(ge=0.0, le=MAX_FACTOR, description="below 1 buries, 0 never serves")]


class RuleBody(Struct, kw_only=True, forbid_unknown_fields=True, tag_field="action"):
    """The rule is active from `starts_at` until `ends_at`, which must be later. `within`: in answers to
    `category=within` only; otherwise in every answer.
    """

    within: Id | None = None
    starts_at: Timestamp | None = None
    ends_at: Timestamp | None = None
    note: Note | None = None


class PinRule(RuleBody, kw_only=True, tag="pin"):
    """Serves the item at this position of the list."""

    item_id: Id
    position: PinPosition


class BoostRule(RuleBody, kw_only=True, tag="boost"):
    """Multiplies the scores of an item, or of all items of a category or with a tag: one of the three. The factors of
    several rules multiply.
    """

    item_id: Id | None = None
    category: Id | None = None
    tag: Id | None = None
    factor: Factor


class RuleState(Struct, kw_only=True):
    """What a rule says."""

    action: Action
    item_id: str | None
    category: str | None
    tag: str | None
    position: int | None
    factor: float | None
    within: str | None
    starts_at: Timestamp | None
    ends_at: Timestamp | None
    note: str | None


class Rule(RuleState, kw_only=True):
    """A stored rule. `active`: whether it applies now."""

    rule_id: str
    active: bool
    updated_at: Timestamp


class RuleList(Struct):
    """All rules, in the order of their ids."""

    rules: list[Rule]


_BODY: Final = PinRule | BoostRule
_decoder: Final = msgspec.json.Decoder(_BODY)

# A target whose value is wrong is one, although it is not known.
_STAND_INS: Final = {"item_id": "?", "category": "?", "tag": "?"}


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @put(
        "/rules/{rule_id:path}",
        opt=schema.call(
            needs="catalogue",
            tag="rules",
            body=_BODY,
            answers={200: Rule, 201: Rule, **schema.problems(400, 409, 412, 413, 415, 422, 503)},
            headers=[IF_MATCH, ONLY_NEW],
        ),
    )
    async def put_rule(request: Request[Any, Any, Any]) -> ASGIApp:
        """Stores or replaces a rule. 201 when it is new, 409 when there are 1,000 others.

        A pin serves an item at a position; a boost multiplies scores. Every process applies it within a second.
        """
        body = decode_checked(_decoder, await read_body(request, MAX_RULE_BYTES), rule_faults)
        rule = rule_of(named := path_id(request.scope), body)
        try:
            context = context_of(request.scope)
            async with change(database, context, "store_rule") as changed:
                await _check(context, changed, named)
                stored, created = await rule_changes.store(changed.connection, rule, actor=context.caller)
                changed.made([named], "created" if created else "replaced")
        except TooManyRules:
            raise ProblemError(
                ProblemCode.TOO_MANY, f"There are {MAX_RULES} rules already; delete one that has ended."
            ) from None
        return tagged(_shown(stored, clock.now_ms()), status=201 if created else 200)

    @get("/rules/{rule_id:path}", opt=schema.call(needs="read", tag="rules", answers={200: Rule, **_ABSENT}))
    async def get_rule(scope: Scope) -> ASGIApp:
        """A rule, and whether it applies now."""
        async with database.connection() as connection:
            stored = await rules.read(connection, path_id(scope))
        if stored is None:
            raise ProblemError(ProblemCode.NO_SUCH_RULE, "There is no such rule.")
        return reply(_shown(stored, clock.now_ms()))

    @get("/rules", opt=schema.call(needs="read", tag="rules", answers={200: RuleList, **schema.problems(503)}))
    async def get_rules() -> ASGIApp:
        """All rules, including those that have ended or not begun."""
        async with database.connection() as connection:
            found = await rules.read_all(connection)
        now_ms = clock.now_ms()
        return reply(RuleList([_shown(stored, now_ms) for stored in found]))

    @delete(
        "/rules/{rule_id:path}",
        status_code=200,
        opt=schema.call(
            needs="catalogue",
            tag="rules",
            answers={204: None, **_ABSENT, **schema.problems(412)},
            headers=[IF_MATCH],
        ),
    )
    async def delete_rule(scope: Scope) -> ASGIApp:
        """Removes a rule. Every process stops applying it within a second."""
        named, context = path_id(scope), context_of(scope)
        async with change(database, context, "delete_rule") as changed:
            await _check(context, changed, named)
            if not await rule_changes.delete(changed.connection, named, actor=context.caller):
                raise ProblemError(ProblemCode.NO_SUCH_RULE, "There is no such rule.")
            changed.made([named], "deleted")
        return Reply(b"", status=204)

    return [put_rule, get_rule, get_rules, delete_rule]


def rule_of(rule_id: str, body: PinRule | BoostRule) -> StoredRule:
    action: Action = "pin" if isinstance(body, PinRule) else "boost"
    return StoredRule(rule_id=rule_id, action=action, **structs.asdict(body))


def rule_faults(body: PinRule | BoostRule, path: str = "$") -> list[FieldError]:
    """What is wrong with a rule, or with what is known of it (see `known_part`), besides its types; `path`: where it is
    in what was sent.
    """
    fields: dict[str, Any] = structs.asdict(body)
    fields = {name: _STAND_INS.get(name) if value is UNSET else value for name, value in fields.items()}
    found = []
    for name in ("starts_at", "ends_at"):
        if faults := timestamp_faults(fields[name], f"{path}.{name}"):
            found += faults
            fields[name] = None
    rule = rule_of("", structs.replace(body, **fields)).rule()
    return found + [FieldError(path + error.path[1:], error.message) for error in field_errors(rule)]


async def _check(context: RequestContext, changed: Change, rule_id: str) -> None:
    """Raises a 412 when a precondition of the request does not hold for the rule, which nobody else changes now."""
    if has_preconditions(context.headers):
        stored = await rules.read_for_change(changed.connection, rule_id)
        if stored is None:
            check_preconditions(context.headers, None)
        else:  # that it has started or ended since it was read is nobody's change
            shown = _shown(stored, clock.now_ms())
            check_preconditions(context.headers, shown, structs.replace(shown, active=not shown.active))


def _shown(stored: StoredRule, now_ms: int) -> Rule:
    fields = structs.asdict(stored)
    fields |= {name: with_zone(fields[name]) for name in ("starts_at", "ends_at")}
    fields["updated_at"] = stored.updated_at or datetime.now(UTC)
    return Rule(**fields, active=stored.rule().active(now_ms))
