"""What of the catalogue a rule reaches."""

from typing import TYPE_CHECKING, Final

from app.adapters import sql
from app.core.rule_reach import Reach
from app.core.rules import Rule

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


async def read(connection: "Connection", rule: Rule) -> Reach:
    rows = await connection.fetch(_SQL["reach"], rule.item_id, rule.category, rule.tag, rule.within)
    return Reach(**dict(rows[0]))
