"""Reads the features page by page: what the sums are worth at one time, and the histories."""

from collections.abc import Iterator
from typing import Any, Final, TypeAlias

import psycopg

from app.adapters import sql
from app.core.event_types import EventTypes
from app.core.generation import Unsupported, model_of
from app.core.history import decode_history, standing
from app.core.kinds import kind_name
from app.core.model import MODEL, Model
from app.core.signals import decay_factor
from app.errors import UserError

_SQL = sql.load(__file__)

_PAGE_ROWS: Final = 20_000
_PAGE_USERS: Final = 2_000

Pages: TypeAlias = Iterator[list[tuple[Any, ...]]]


def now_ms(connection: psycopg.Connection) -> int:
    row = connection.execute(_SQL["now_ms"]).fetchone()
    assert row is not None
    now: int = row[0]
    return now


def serving_generation(connection: psycopg.Connection) -> tuple[int, Model]:
    """The generation of sums that serves, 0 before the first event, and what they were counted with.

    Raises `UserError` for sums that another release made with constants of its own.
    """
    row = connection.execute(_SQL["generation"]).fetchone()
    if row is None:
        return 0, MODEL
    try:
        return row[0], model_of(row[1])
    except Unsupported as error:
        raise UserError(f"generation {row[0]} of the sums is not of this release: {error}") from error


def items(connection: psycopg.Connection, model: Model, now: int) -> Pages:
    hours, day, week = model.popularity_half_lives_ms
    values = {"now_ms": now, "hours": hours, "day": day, "week": week, "limit": _PAGE_ROWS} | _factor(model, now)
    after = -1
    while rows := connection.execute(_SQL["items"], values | {"after": after}).fetchall():
        after = rows[-1][0]
        yield [row[1:] for row in rows]


def pairs(connection: psycopg.Connection, model: Model, now: int) -> Pages:
    """Each pair once: items, weight, users, how often the second followed the first, and the first the second."""
    values = {"limit": _PAGE_ROWS} | _factor(model, now)
    after_a, after_b = -1, -1
    while rows := connection.execute(_SQL["pairs"], values | {"after_a": after_a, "after_b": after_b}).fetchall():
        after_a, after_b = rows[-1][:2]
        yield [row[2:] for row in rows]


def histories(connection: psycopg.Connection) -> Pages:
    """The entries of all users: user, item, time in milliseconds, kind, weight, and the weight of other events."""
    types = EventTypes(names=dict(connection.execute(_SQL["type_names"]).fetchall()))
    after = ""
    while rows := connection.execute(_SQL["histories"], {"after": after, "limit": _PAGE_USERS}).fetchall():
        after = rows[-1][0]
        yield [
            (user_id, e.item_id, e.at_ms, kind_name(e.kind, types), float(e.weight), float(e.other_weight))
            for user_id, history in rows
            if history
            for e in standing(decode_history(history)).entries
        ]


def _factor(model: Model, now: int) -> dict[str, float]:
    return {"factor": decay_factor(now, model.covisitation_half_life_ms)}
