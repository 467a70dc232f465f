"""JSON into structs, or into errors that name the path of each wrong field."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, ParamSpec, TypeVar

import msgspec
from msgspec import UNSET

from app.core.all_faults import faults_of
from app.core.field_errors import FieldError, field_error_of
from app.core.known_parts import beside, known_part
from app.core.spellings import respell

_P = ParamSpec("_P")
_T = TypeVar("_T")

TOO_DEEP: Final = FieldError("$", "nested too deeply")
_HALF_A_PAIR: Final = re.compile(rb"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])")


class InvalidInput(ValueError):
    """The input is not valid. `malformed` tells "not JSON" (400) from "JSON, but not valid" (422)."""

    def __init__(self, *field_errors: FieldError, malformed: bool = False) -> None:
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in field_errors))
        self.field_errors = field_errors
        self.malformed = malformed


def decode(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw, *, spellings: bool = True) -> _T:
    """What the decoder makes of the body. Raises `InvalidInput` for whatever is wrong with it. `spellings`: whether ids
    and times may be written otherwise, as clients write them.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        first = error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(FieldError("$", why_not_json(error, bytes(body))), malformed=True) from None
    except RecursionError:
        raise InvalidInput(TOO_DEEP) from None
    try:
        return _decode_again(decoder, body, first, spellings=spellings)
    except RecursionError:  # it could be read, and is too deep to be looked through
        raise InvalidInput(TOO_DEEP) from None


def decode_known(
    decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw, *, spellings: bool = True
) -> tuple[_T, Sequence[FieldError]]:
    """As `decode`; of a body with faults, what is known of it (see `known_part`), and the faults.

    Raises `InvalidInput` where nothing is known of it.
    """
    try:
        return decode(decoder, body, spellings=spellings), ()
    except InvalidInput as error:
        if error.malformed:
            raise
        faults = error
    try:
        value: Any = msgspec.json.decode(body)
        known = known_part(respell(value, decoder.type)[0] if spellings else value, decoder.type)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise faults from None
    if known is UNSET:
        raise faults
    return known, faults.field_errors


def decode_checked(decoder: msgspec.json.Decoder[_T], body: bytes, check: Callable[[_T], Iterable[FieldError]]) -> _T:
    """As `decode`. `check` tells what is wrong besides the types, also of a body of which only a part is known."""
    found, faults = decode_known(decoder, body)
    if faults := beside(faults, check(found)):
        raise InvalidInput(*faults)
    return found


def read_noting(faults: list[FieldError], read: Callable[_P, _T], *given: _P.args, **named: _P.kwargs) -> _T | None:
    """What `read` gives; None where it raises `InvalidInput`: what is wrong goes to `faults`."""
    try:
        return read(*given, **named)
    except InvalidInput as error:
        faults += error.field_errors
        return None


def why_not_json(error: Exception, text: bytes) -> str:
    """What is wrong with the text, for which the decoder raised the error."""
    half = _HALF_A_PAIR.search(text)
    if half is not None:
        return f"not JSON: half of a surrogate pair, such as a cut emoji: {half[0].decode()} (byte {half.start()})"
    if isinstance(error, UnicodeDecodeError):
        try:
            text.decode()
        except UnicodeDecodeError as whole:  # the decoder counts from the beginning of a string
            return f"not JSON: text that is not UTF-8: 0x{text[whole.start]:02x} (byte {whole.start})"
    return f"not JSON: {error}"


def _decode_again(
    decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw, first: msgspec.ValidationError, *, spellings: bool
) -> _T:
    """With other spellings of ids and times. Raises `InvalidInput` with all faults, or with the first where what
    follows it is not JSON.
    """
    kind: Any = decoder.type
    try:
        value: Any = msgspec.json.decode(body)
        value, misspelt = respell(value, kind) if spellings else (value, [])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise InvalidInput(field_error_of(first, kind)) from None
    if spellings and not misspelt:
        try:
            return msgspec.convert(value, decoder.type)
        except msgspec.ValidationError:
            pass  # every fault is named below
    named = {error.path for error in misspelt}
    faults = [*misspelt, *(fault for fault in faults_of(value, kind) if fault.path not in named)]
    # None are left where a part that stays undecoded is beside another spelling.
    raise InvalidInput(*(faults or [field_error_of(first, kind)]))
