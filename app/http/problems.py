"""Errors as RFC 9457 problem details: one table from exception to status, title and retry advice."""

import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import asyncpg
import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap
from msgspec import Struct

from app import metrics
from app.adapters.postgres_errors import is_bad_value
from app.core.decoding import InvalidInput
from app.core.field_errors import FieldError
from app.core.visitors import OtherUser
from app.errors import BufferFull, Closed, DependencyDown, NotCommitted, describe
from app.http.context import Late, RequestContext, context_of
from app.http.packing import packed
from app.http.problem_codes import ProblemCode
from app.http.responses import Reply

_log = structlog.get_logger(__name__)

_NAMES: Final = {"postgres": "Postgres", "kafka": "Kafka", "redis": "Redis"}
_FAILED: Final = "Something went wrong here; the log has it under this request id."
_OTHER_USER: Final = "The request means somebody else than its visitor, for whom alone a key for browsers acts."
_AGAIN: Final = "Send the request again; an event keeps its event id."
MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_SEC: Final = 1.0
# Of the errors that Litestar raises.
_HTTP_CODES: Final = {
    404: ProblemCode.NO_SUCH_PATH,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    413: ProblemCode.TOO_LARGE,
}


class Problem(Struct, kw_only=True, omit_defaults=True):
    """The body of every error answer (RFC 9457). `code` tells the causes apart: docs/api.md lists them."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    request_id: str
    errors: list[FieldError] = []
    event_id: str | None = None


class ProblemError(Exception):
    """An error answer, raised where it is known."""

    def __init__(
        self,
        code: ProblemCode,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        event_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})
        self.event_id = event_id


def retry_later(code: ProblemCode, detail: str, retry_after_sec: float = _RETRY_AFTER_SEC) -> ProblemError:
    return ProblemError(code, detail, headers={"Retry-After": str(math.ceil(retry_after_sec))})


def _from_invalid(error: InvalidInput) -> ProblemError:
    if isinstance(error, OtherUser):
        metrics.API_REFUSED.labels("other_user").inc()
        return ProblemError(ProblemCode.OTHER_USER, _OTHER_USER, errors=error.field_errors)
    if error.malformed:
        return ProblemError(ProblemCode.NOT_JSON, "The body is not JSON.", errors=error.field_errors)
    return ProblemError(ProblemCode.INVALID, "The request is not valid.", errors=error.field_errors)


def _unavailable(dependency: str) -> ProblemError:
    """A 503 for an outage. The log has the driver's text, under the request id."""
    return retry_later(ProblemCode.UNAVAILABLE, f"{_NAMES.get(dependency, 'A dependency')} is unavailable. {_AGAIN}")


def _from_http(error: HTTPException) -> ProblemError:
    code = _HTTP_CODES.get(
        error.status_code, ProblemCode.BAD_REQUEST if error.status_code < 500 else ProblemCode.FAILED
    )
    return ProblemError(code, _http_detail(error), headers=error.headers)


def _http_detail(error: HTTPException) -> str:
    """Litestar's own text, except where it repeats the title or may name internals."""
    if error.status_code >= 500:
        return _FAILED
    if error.status_code == 405 and error.headers:
        return f"This path takes {error.headers['allow']}."
    return error.detail


def as_problem(error: Exception) -> ProblemError:
    """The problem for an exception that a handler did not catch."""
    match error:
        case ProblemError():
            return error
        case InvalidInput():
            return _from_invalid(error)
        case BufferFull():
            return retry_later(
                ProblemCode.TOO_MANY_WAITING,
                "Too many events are waiting to be stored; nothing of this request was stored.",
            )
        case Closed():
            return retry_later(
                ProblemCode.SHUTTING_DOWN, "This process is shutting down; nothing of this request was stored."
            )
        case NotCommitted():
            return retry_later(ProblemCode.NOT_STORED_IN_TIME, f"{error.reason}. {_AGAIN}")
        case DependencyDown():
            return _unavailable(error.dependency)
        case Late():
            return retry_later(ProblemCode.LATE, f"No answer in time. {_AGAIN}")
        case asyncpg.PostgresError() if is_bad_value(error):
            return ProblemError(
                ProblemCode.REFUSED_VALUES, f"Postgres refused the values, so nothing was stored: {error}"
            )
        case asyncpg.PostgresError():
            return _unavailable("postgres")
        case HTTPException():
            return _from_http(error)
    return ProblemError(ProblemCode.FAILED, _FAILED)


def render(context: RequestContext, error: Exception) -> Reply:
    """The answer to an exception."""
    problem = as_problem(error)
    if isinstance(error, Late) and not context.body_read:
        problem = ProblemError(ProblemCode.SLOW_REQUEST, "The body did not arrive in time.")
    status = problem.code.status
    if status >= 500:
        context.error = describe(error)
    if status == 500:
        _log.error(
            "request_failed",
            request_id=context.request_id,
            correlation_id=context.correlation_id,
            trace_id=context.trace_id,
            error=describe(error),
            exc_info=error,
        )
    body = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=problem.code.word,
        detail=problem.detail,
        request_id=context.request_id,
        errors=problem.errors,
        event_id=problem.event_id,
    )
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items()]
    answer = Reply(msgspec.json.encode(body), status=status, media_type=MEDIA_TYPE, headers=headers)
    return packed(answer, context.headers)


def _answer(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    answer = render(context_of(request.scope), error)
    headers = {name.decode(): value.decode("latin-1") for name, value in answer.headers}
    return Response(answer.body, status_code=answer.status, headers=headers, media_type=answer.media_type)


HANDLERS: Final[ExceptionHandlersMap] = {Exception: _answer, HTTPException: _answer}
