"""Which answer an exception becomes, and what it leaves to the log."""

import asyncpg
import msgspec
import pytest
from litestar.exceptions import HTTPException
from structlog.testing import capture_logs

from app.errors import DependencyDown
from app.http.context import RequestContext
from app.http.problems import Problem, render

DRIVER_TEXT = "Connect call failed to a server that is away"


def answer(error: Exception) -> tuple[Problem, RequestContext]:
    context = RequestContext({})
    with capture_logs():
        reply = render(context, error)
    return msgspec.json.decode(reply.body, type=Problem), context


@pytest.mark.parametrize(
    ("error", "status", "detail"),
    [
        (DependencyDown("postgres", DRIVER_TEXT), 503, "Postgres is unavailable. "),
        (DependencyDown("redis", DRIVER_TEXT), 503, "Redis is unavailable. "),
        (DependencyDown("histories", DRIVER_TEXT), 503, "A dependency is unavailable. "),
        (asyncpg.InternalServerError(DRIVER_TEXT), 503, "Postgres is unavailable. "),
        (HTTPException(DRIVER_TEXT, status_code=500), 500, "Something went wrong here; "),
        (ValueError(DRIVER_TEXT), 500, "Something went wrong here; "),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_drivers_text_is_in_the_log_and_not_in_the_answer(error: Exception, status: int, detail: str) -> None:
    problem, context = answer(error)
    assert problem.status == status
    assert problem.detail.startswith(detail)
    assert DRIVER_TEXT not in problem.detail
    assert DRIVER_TEXT in (context.error or "")


def test_values_that_postgres_refuses_are_a_422() -> None:
    problem, context = answer(asyncpg.NumericValueOutOfRangeError("out of range"))
    assert problem.status == 422
    assert context.error is None
