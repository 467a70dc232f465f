"""JSON into structs, or into errors that name the path of each wrong field."""

from typing import TypeVar

import msgspec
from msgspec import Struct

_T = TypeVar("_T")


class FieldError(Struct, frozen=True):
    """What is wrong with an input, and where: `path` is a JSON path such as `$.items[3].position`."""

    path: str
    message: str


class InvalidInput(ValueError):
    """The input is not an event. `malformed` tells "not JSON" (400) from "JSON, but not valid" (422)."""

    def __init__(self, *field_errors: FieldError, malformed: bool = False) -> None:
        super().__init__("; ".join(f"{error.path}: {error.message}" for error in field_errors))
        self.field_errors = field_errors
        self.malformed = malformed


def field_error_of(error: msgspec.DecodeError) -> FieldError:
    """msgspec ends a message with where it was: "… - at `$.items[0]`"."""
    message, _, path = str(error).partition(" - at `")
    if "matching regex" in message:
        message = "Expected printable characters only; there is a control character or line break"
    return FieldError(path=path.rstrip("`") or "$", message=message)


def decode(decoder: msgspec.json.Decoder[_T], body: bytes | msgspec.Raw) -> _T:
    """What the decoder makes of the body. Raises `InvalidInput` for whatever is wrong with it."""
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        raise InvalidInput(field_error_of(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(FieldError("$", f"not JSON: {error}"), malformed=True) from None
    except RecursionError:
        raise InvalidInput(FieldError("$", "nested too deeply")) from None
