"""Entity tags: which state of a thing an answer shows, and which one a change is for (RFC 9110, 8.8 and 13.1).

And whether a client may keep an answer.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec

from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Headers, Reply, reply

_NOT_MODIFIED: Final = 304
ASKED_ABOUT: Final = (b"cache-control", b"private, no-cache")
NOT_KEPT: Final = (b"cache-control", b"no-store")
_TAG_BYTES: Final = 12
_packed: Final = msgspec.msgpack.Encoder().encode

IF_MATCH: Final = {
    "name": "If-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the state that this change is for; 412 when it is another by now. `*`: any state, but"
    " it must exist.",
    "schema": {"type": "string"},
}
IF_NONE_MATCH: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "The `ETag` of the state that the client has; 304 without a body while it is still that one.",
    "schema": {"type": "string"},
}
ONLY_NEW: Final = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "`*`: only if there is none yet; 412 otherwise.",
    "schema": {"type": "string"},
}


def etag_of(body: bytes) -> bytes:
    """The strong tag of these bytes."""
    return b'"%s"' % blake2b(body, digest_size=_TAG_BYTES).hexdigest().encode()


def tagged(shown: Any, *, status: int = 200, headers: Headers = ()) -> Reply:
    """`shown` as JSON, with its tag."""
    answer = reply(shown, status=status)
    answer.headers = [(b"etag", etag_of(answer.body)), *headers]
    return answer


def weak_tag_of(shown: Any) -> bytes:
    """The weak tag of what an answer shows: answers with the same tag show the same in other bytes."""
    return b"W/" + etag_of(_packed(shown))


def as_read(answer: Reply, request_headers: Mapping[bytes, bytes]) -> Reply:
    """An answer to GET that a client may keep, and asks about each time: with a tag, a weak one of its bytes unless it
    has another; 304 for a client that has this state already. An answer that says itself how long it may be kept
    stays as it is.

    Not even for a second is it fresh without asking: the user's own events, a rule, and a hidden item show at once.
    """
    tag = None
    for name, value in answer.headers:
        if name == b"cache-control":
            return answer
        if name == b"etag":
            tag = value
    headers = list(answer.headers)
    if tag is None:
        tag = b"W/" + etag_of(answer.body)
        headers.append((b"etag", tag))
    headers.append(ASKED_ABOUT)
    known = request_headers.get(b"if-none-match")
    if known is not None and _names(known, tag.removeprefix(b"W/")):
        return Reply(b"", status=_NOT_MODIFIED, headers=headers)
    return Reply(answer.body, media_type=answer.media_type, headers=headers)


def has_preconditions(request_headers: Mapping[bytes, bytes]) -> bool:
    return b"if-match" in request_headers or b"if-none-match" in request_headers


def check_preconditions(request_headers: Mapping[bytes, bytes], stored: Any | None, *same: Any) -> None:
    """Raises a 412 when `stored`, the state as it is shown, or None, is not the one that the change is for. `same`:
    other states that count as this one, since nobody has made a change between them.
    """
    if not has_preconditions(request_headers):
        return
    wanted, unwanted = request_headers.get(b"if-match"), request_headers.get(b"if-none-match")
    tags = [] if stored is None else [etag_of(msgspec.json.encode(state)) for state in (stored, *same)]
    if wanted is not None and not _names(wanted, *tags):
        now = f"its ETag is {tags[0].decode()} now" if tags else "there is none now"
        detail = f"Another state than the one of If-Match: {now}. Read it, and change what you read."
        raise ProblemError(ProblemCode.STATE_CHANGED, detail)
    if _names(unwanted, *tags):
        detail = "It is there already, and If-None-Match asks that it is not."
        raise ProblemError(ProblemCode.STATE_CHANGED, detail)


def _names(header: bytes | None, *tags: bytes) -> bool:
    """Whether the header names one of the tags; without any there is nothing to name. A weak form of one counts, for a
    change as well: a proxy that packs an answer makes it of ours, and the state that it names is the same.
    """
    if header is None or not tags:
        return False
    named = {one.strip().removeprefix(b"W/") for one in header.split(b",")}
    return b"*" in named or not named.isdisjoint(tags)
