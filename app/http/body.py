"""Reads and unpacks whole request bodies; neither form may exceed its bound in memory."""

from typing import Any, Final

import cramjam
from litestar import Request

from app.core.field_errors import FieldError
from app.http.context import context_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError

ENCODINGS: Final = {
    b"gzip": cramjam.gzip.decompress_into,
    b"x-gzip": cramjam.gzip.decompress_into,
    b"zstd": cramjam.zstd.decompress_into,
}
# cramjam raises one exception type for everything; this is its message when the output does not fit.
_DOES_NOT_FIT: Final = "failed to write whole buffer"


async def read_body(request: Request[Any, Any, Any], limit: int) -> bytes:
    """The body, unpacked if it is compressed. At most `limit` bytes, before unpacking and after.

    Raises `ProblemError`: 413 too large, 415 an unknown encoding, 400 a client that left or broken compression.
    """
    context = context_of(request.scope)
    declared = context.headers.get(b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    context.body_read = False
    message: Any = await request.receive()
    body: bytes = message.get("body", b"")
    if message.get("more_body"):
        body = await _read_on(request, body, limit)
    elif message["type"] == "http.disconnect":
        raise _gone()
    context.body_read = True
    if len(body) > limit:
        raise _too_large(limit)
    encoding = context.headers.get(b"content-encoding")
    return body if encoding is None else unpack(body, encoding.strip().lower(), limit)


def unpack(body: bytes, encoding: bytes, limit: int) -> bytes:
    """Unpacks into a buffer of `limit` bytes, so that a small body cannot become a large one in memory."""
    if encoding in (b"", b"identity"):
        return body
    if encoding not in ENCODINGS:
        detail = f"Content-Encoding {encoding.decode('latin-1')!r} is not known here; gzip and zstd are."
        raise ProblemError(ProblemCode.UNKNOWN_ENCODING, detail, headers={"Accept-Encoding": "gzip, zstd"})
    unpacked = bytearray(limit)
    try:
        size = ENCODINGS[encoding](body, unpacked)
    except cramjam.DecompressionError as error:
        if _DOES_NOT_FIT in str(error):
            raise _too_large(limit) from None
        name = encoding.decode()
        wrong = FieldError("$", f"not {name}: {error}")
        raise ProblemError(ProblemCode.BROKEN_COMPRESSION, f"The body is not {name}.", errors=[wrong]) from None
    return bytes(memoryview(unpacked)[:size])


async def _read_on(request: Request[Any, Any, Any], start: bytes, limit: int) -> bytes:
    chunks = [start]
    size = len(start)
    more = True
    while more:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise _gone()
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > limit:
            raise _too_large(limit)
        more = message.get("more_body", False)
    return b"".join(chunks)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(ProblemCode.TOO_LARGE, f"The body is larger than {limit} bytes.")


def _gone() -> ProblemError:
    """Ends the handler; the client is gone and does not read this answer."""
    return ProblemError(ProblemCode.CLIENT_GONE, "The client went away before the body was complete.")
