"""The history of the rules. A change and its record are one transaction."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct, structs

from app.adapters import rules, sql
from app.adapters.rules import StoredRule
from app.adapters.timestamps import with_zone

if TYPE_CHECKING:
    import asyncpg

    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)
_decoder: Final = msgspec.json.Decoder(StoredRule)


class RuleChange(Struct, frozen=True, kw_only=True):
    """`before` and `after` without `updated_at`; None where there was or is no rule. `undoes`: another change."""

    change_id: int
    changed_at: datetime
    actor: str | None
    rule_id: str
    before: StoredRule | None
    after: StoredRule | None
    undoes: int | None


async def store(connection: "Connection", rule: StoredRule, *, actor: str | None) -> tuple[StoredRule, bool]:
    """Stores or replaces the rule; True when it is new. In a transaction. Raises `TooManyRules`."""
    before = await rules.read_for_change(connection, rule.rule_id)
    stored, created = await rules.store(connection, rule)
    await _record(connection, rule.rule_id, before, stored, actor=actor)
    return stored, created


async def delete(connection: "Connection", rule_id: str, *, actor: str | None) -> bool:
    """True when the rule existed. In a transaction."""
    before = await rules.read_for_change(connection, rule_id)
    if before is None:
        return False
    await rules.delete(connection, rule_id)
    await _record(connection, rule_id, before, None, actor=actor)
    return True


async def read(connection: "Connection", change_id: int) -> RuleChange | None:
    row = await connection.fetchrow(_SQL["find"], change_id)
    return None if row is None else _change(row)


async def page(connection: "Connection", rule_id: str | None, before: int | None, limit: int) -> list[RuleChange]:
    """The newest ones, of one rule or of all, below the change `before`."""
    return [_change(row) for row in await connection.fetch(_SQL["page"], rule_id, before, limit)]


async def undo(connection: "Connection", made: RuleChange, *, actor: str | None) -> RuleChange | None:
    """Makes the rule what it was before the change; None when it is no longer what the change made of it. In a
    transaction. Raises `TooManyRules`.
    """
    now = await rules.read_for_change(connection, made.rule_id)
    if _json(now) != _json(made.after):
        return None
    if made.before is None:
        await rules.delete(connection, made.rule_id)
    else:
        await rules.store(connection, made.before)
    return await _record(connection, made.rule_id, now, made.before, actor=actor, undoes=made.change_id)


async def _record(
    connection: "Connection",
    rule_id: str,
    before: StoredRule | None,
    after: StoredRule | None,
    *,
    actor: str | None,
    undoes: int | None = None,
) -> RuleChange:
    row = await connection.fetchrow(_SQL["record"], actor, rule_id, _json(before), _json(after), undoes)
    assert row is not None  # an insert returns its row
    return _change(row)


def _json(rule: StoredRule | None) -> str | None:
    if rule is None:
        return None
    zoned = {name: with_zone(getattr(rule, name)) for name in ("starts_at", "ends_at")}
    return msgspec.json.encode(structs.replace(rule, updated_at=None, **zoned)).decode()


def _change(row: "asyncpg.Record") -> RuleChange:
    sides = {name: None if row[name] is None else _decoder.decode(row[name]) for name in ("before", "after")}
    return RuleChange(**{**dict(row), **sides})
