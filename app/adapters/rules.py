"""The serving rules. A change and its announcement to the API processes are one transaction."""

from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import changes, sql
from app.adapters.timestamps import to_ms, with_zone
from app.core.rules import MAX_RULES, Action, Rule, Rules, TooManyRules

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


class StoredRule(Struct, frozen=True, kw_only=True):
    """A row of `serving_rules`; `updated_at` is None until it is stored. Times have a time zone."""

    rule_id: str
    action: Action
    item_id: str | None = None
    category: str | None = None
    tag: str | None = None
    position: int | None = None
    factor: float | None = None
    within: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    note: str | None = None
    updated_at: datetime | None = None

    def rule(self) -> Rule:
        """The same rule with times in milliseconds, for the core."""
        same = {name: getattr(self, name) for name in Rule.__struct_fields__ if name in self.__struct_fields__}
        return Rule(**same, starts_ms=_millis(self.starts_at), ends_ms=_millis(self.ends_at))


async def read_rules(connection: "Connection") -> Rules:
    """All rules, compiled."""
    return Rules(row.rule() for row in await read_all(connection))


async def read_all(connection: "Connection") -> list[StoredRule]:
    """All rules, in the order of their ids."""
    return [StoredRule(**dict(row)) for row in await connection.fetch(_SQL["read_all"], MAX_RULES)]


async def read(connection: "Connection", rule_id: str) -> StoredRule | None:
    row = await connection.fetchrow(_SQL["read"], rule_id)
    return None if row is None else StoredRule(**dict(row))


async def read_for_change(connection: "Connection", rule_id: str) -> StoredRule | None:
    """Until the end of the transaction nobody else changes a rule."""
    await connection.execute(_SQL["lock"])
    return await read(connection, rule_id)


async def store(connection: "Connection", rule: StoredRule) -> tuple[StoredRule, bool]:
    """Stores or replaces the rule; True when it is new. Raises `TooManyRules`."""
    async with connection.transaction():
        # One writer at a time, or two could both store the thousandth rule. Readers do not wait.
        await connection.execute(_SQL["lock"])
        row = await connection.fetchrow(
            _SQL["store"],
            *(getattr(rule, name) for name in rule.__struct_fields__ if name != "updated_at"),
            MAX_RULES,
        )
        if row is None:
            raise TooManyRules
        await changes.record(connection, [changes.RULES_CHANGED])
    fields = dict(row)
    created: bool = fields.pop("created")
    return StoredRule(**fields), created


async def delete(connection: "Connection", rule_id: str) -> bool:
    """True when the rule existed."""
    async with connection.transaction():
        found = await connection.fetchval(_SQL["delete"], rule_id)
        if found is not None:
            await changes.record(connection, [changes.RULES_CHANGED])
    return found is not None


def _millis(timestamp: datetime | None) -> int | None:
    zoned = with_zone(timestamp)
    return None if zoned is None else to_ms(zoned)
