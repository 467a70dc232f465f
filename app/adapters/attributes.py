"""The declared attributes of items. A change and its announcement to the API processes are one transaction."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from app.adapters import changes, sql
from app.core.attributes import MAX_DECLARED, AttributeType

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_SQL: Final = sql.load(__file__)


class TooManyAttributes(Exception):
    """`MAX_DECLARED` attributes exist already; the new one was not stored."""


class StoredAttribute(Struct, frozen=True, kw_only=True):
    """A row of `item_attributes`."""

    name: str
    type: AttributeType
    created_at: datetime


async def read_all(connection: "Connection") -> list[StoredAttribute]:
    """All of them, in the order of their names."""
    return [StoredAttribute(**dict(row)) for row in await connection.fetch(_SQL["read_all"])]


async def read_types(connection: "Connection") -> Mapping[str, AttributeType]:
    return {attribute.name: attribute.type for attribute in await read_all(connection)}


async def declare(connection: "Connection", name: str, kind: AttributeType) -> tuple[StoredAttribute, bool]:
    """The attribute as it is stored, which may have another type, and whether it is new. Raises `TooManyAttributes`.

    Call it in a transaction.
    """
    # One writer at a time, or two could both store the last one that fits. Readers do not wait.
    await connection.execute(_SQL["lock"])
    known = {attribute.name: attribute for attribute in await read_all(connection)}
    if name in known:
        return known[name], False
    if len(known) >= MAX_DECLARED:
        raise TooManyAttributes
    row = await connection.fetchrow(_SQL["declare"], name, kind)
    await changes.record(connection, [changes.ATTRIBUTES_CHANGED])
    assert row is not None
    return StoredAttribute(**dict(row)), True


async def delete(connection: "Connection", name: str) -> bool:
    """True when the attribute was declared. Call it in a transaction. What items have of it stays stored."""
    found = await connection.fetchval(_SQL["delete"], name) is not None
    if found:
        await changes.record(connection, [changes.ATTRIBUTES_CHANGED])
    return found
