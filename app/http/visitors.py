"""Reads who the visitor is in whose name a browser's request comes, and limits what that one asks for."""

import time
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from litestar.types import Scope

from app import metrics
from app.core.user_tokens import ExpiredUserToken, UserTokens, WrongUserToken
from app.core.visitor_limits import TooMany, VisitorLimits
from app.core.visitors import Visitor, check_visitor_id
from app.http.context import RequestContext
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError, retry_later
from app.http.wrong_keys import client_network

# By the name of the header that says it: the parameter, where a client cannot set headers.
_PARAMETERS: Final = {b"x-visitor-id": "visitor_id", b"x-user-token": "user_token"}
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="reco"'}
_NOBODY: Final = (
    "A key for browsers acts for one visitor: send `X-Visitor-ID`, a random id that the browser keeps, or"
    " `X-User-Token`, which your server signs."
)


class Visitors:
    """Who they are, and what they may. All of one process."""

    def __init__(self, tokens: Callable[[], UserTokens], limits: VisitorLimits) -> None:
        """`tokens`: judges user tokens by the secrets of the moment."""
        self._tokens = tokens
        self._limits = limits

    def admit(self, scope: Scope, context: RequestContext, *, in_query: bool) -> None:
        """Sets the context's visitor. `in_query`: parameters say it as well. Raises a 401, 422 or 429."""
        told = _told(scope, context, in_query=in_query)
        visitor_id, token = told.get("visitor_id"), told.get("user_token")
        if visitor_id is None and token is None:
            metrics.API_REFUSED.labels("no_visitor").inc()
            raise ProblemError(ProblemCode.NO_VISITOR, _NOBODY, headers=_CHALLENGE)
        if visitor_id is not None:
            check_visitor_id(visitor_id)
        account = None if token is None else self._account(token)
        context.visitor = visitor = Visitor(visitor_id, account)
        try:
            self._limits.admit(visitor.user_id, client_network(scope), time.monotonic(), vouched=account is not None)
        except TooMany as error:
            raise _too_many(error) from None

    def charge(self, context: RequestContext, events: int) -> None:
        """Counts the events of a batch, whose first one the request stands for."""
        if context.visitor is not None:
            self._limits.charge(context.visitor.user_id, events - 1)

    def _account(self, token: str) -> str:
        try:
            return self._tokens().user_of(token, time.time())
        except WrongUserToken as error:
            metrics.API_REFUSED.labels("user_token").inc()
            ended = isinstance(error, ExpiredUserToken)
            code = ProblemCode.USER_TOKEN_EXPIRED if ended else ProblemCode.WRONG_USER_TOKEN
            raise ProblemError(code, f"The user token is not valid: {error}.", headers=_CHALLENGE) from None


def _told(scope: Scope, context: RequestContext, *, in_query: bool) -> Mapping[str, str]:
    found = dict(parse_qsl(scope["query_string"].decode("latin-1"))) if in_query else {}
    for header, name in _PARAMETERS.items():
        if (value := context.headers.get(header)) is not None:
            found[name] = value.strip().decode("latin-1")
    return found


def _too_many(error: TooMany) -> ProblemError:
    if error.new:
        metrics.API_REFUSED.labels("new_visitors").inc()
        detail = f"More than {error.limit} new visitor ids in a minute from this address. Keep the id of a browser."
        return retry_later(ProblemCode.TOO_MANY_VISITORS, detail, error.wait_sec)
    metrics.API_REFUSED.labels("visitor_limit").inc()
    detail = f"More than {error.limit} requests in a minute of this visitor, where each event of a batch is one."
    return retry_later(ProblemCode.RATE_LIMITED, detail, error.wait_sec)
