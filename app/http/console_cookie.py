"""The cookie of the console's sessions, and what keeps other sites from using it."""

from collections.abc import Mapping
from typing import Final

from litestar.types import Scope

from app.http.context import context_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError

NAME: Final = "reco_console"
# A page of another site cannot send it: the browser would ask first, and CORS does not allow it.
PROOF_HEADER: Final = b"x-reco-console"
# Whose page sends it. The cookie is of the browser: somebody may have signed in as another in another tab since.
OWNER_HEADER: Final = b"x-reco-console-key"
_NAMED: Final = f"{NAME}=".encode()
_SAFE: Final = ("GET", "HEAD")


def read_cookie(headers: Mapping[bytes, bytes]) -> str | None:
    """The session in a request's cookies. Beside it may be those of other services of the host or of a proxy, of any
    size and form: the parser of the standard library gives up at the first that it does not understand.
    """
    sent = headers.get(b"cookie")
    if sent is None or _NAMED not in sent:
        return None
    cookies = (cookie.strip() for cookie in sent.split(b";"))
    found = next((cookie for cookie in cookies if cookie.startswith(_NAMED)), None)
    return None if found is None else found[len(_NAMED) :].decode("latin-1")


def set_cookie(scope: Scope, value: str, max_age_sec: int) -> tuple[bytes, bytes]:
    """The header that sets the cookie; an age of 0 removes it. `Secure` where the browser speaks https. Of several
    proxies, the first one that is named spoke with the browser.
    """
    forwarded = context_of(scope).headers.get(b"x-forwarded-proto", b"").partition(b",")[0].strip().lower()
    secure = scope.get("scheme") == "https" or forwarded == b"https"
    text = f"{NAME}={value}; Path=/; Max-Age={max_age_sec}; HttpOnly; SameSite=Strict{'; Secure' if secure else ''}"
    return b"set-cookie", text.encode("latin-1")


def is_of_other_session(scope: Scope, key_name: str) -> bool:
    """Whether the request's page belongs to a session of another key than this one, of the cookie."""
    owner = context_of(scope).headers.get(OWNER_HEADER)
    return owner is not None and owner != key_name.encode()


def check_origin(scope: Scope) -> None:
    """Raises a 403 for a change that the console's own page did not send."""
    if scope.get("method") not in _SAFE and PROOF_HEADER not in context_of(scope).headers:
        raise ProblemError(
            ProblemCode.OTHER_SITE, "A session of the console changes something only with the header X-Reco-Console."
        )
