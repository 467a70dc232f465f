"""Who may be meant by a request with a key that anybody can see: the visitor that the request names, and nobody else.

A visitor is a random id that a browser made and tells nobody, the user of a signed token, or both. Ids of visitors have
a prefix, so that none is the id of a user of the application.
"""

import re
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from app.core.decoding import InvalidInput
from app.core.events import AnyEvent
from app.core.field_errors import FieldError

PREFIX: Final = "visitor:"
ID_FORM: Final = "22 to 64 of A-Z, a-z, 0-9, - and _, made of at least 128 random bits"
_VISITOR_ID: Final = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")


class OtherUser(InvalidInput):
    """The request means somebody else than its visitor."""


class Visitor(Struct, frozen=True):
    """At least one of both is there. `account`: the user of the token."""

    visitor_id: str | None
    account: str | None

    @property
    def user_id(self) -> str:
        """The user of an event or a list that names none."""
        return PREFIX + str(self.visitor_id) if self.account is None else self.account

    def is_one_of(self, user_id: str) -> bool:
        return user_id == self.account or (self.visitor_id is not None and user_id == PREFIX + self.visitor_id)

    def check(self, user_id: str, path: str = "$.user_id") -> None:
        """Raises `OtherUser` for somebody else's id."""
        if not self.is_one_of(user_id):
            raise OtherUser(self._other(path))

    def check_event(self, event: AnyEvent) -> None:
        """Raises `OtherUser` with all that the event may not say. A link goes from the visitor to the token's user."""
        faults = [] if self.is_one_of(event.user_id) else [self._other("$.user_id")]
        if event.anonymous_id is not None and not (
            self.account is not None
            and event.user_id == self.account
            and self.visitor_id is not None
            and event.anonymous_id == PREFIX + self.visitor_id
        ):
            faults.append(
                FieldError(
                    "$.anonymous_id",
                    f"a key for browsers joins {PREFIX} and the request's own X-Visitor-ID into the user of its"
                    " X-User-Token, and nothing else; send both, or leave this out",
                )
            )
        if faults:
            raise OtherUser(*faults)

    def _other(self, path: str) -> FieldError:
        return FieldError(
            path,
            f"not the visitor of this request, who is {self.user_id}; a key for browsers acts for that one alone. Leave"
            " it out, or send the user's X-User-Token",
        )

    def fill_in(self, raw: bytes | msgspec.Raw) -> bytes | msgspec.Raw:
        """The event with a `user_id`, where it has none. What is not JSON stays, for whoever decodes it to say so."""
        try:
            named = _who.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return raw
        if named.user_id is not UNSET:
            return raw
        rest = bytes(raw).lstrip(b" \t\r\n")[1:].lstrip(b" \t\r\n")
        comma = b"" if rest.startswith(b"}") else b","
        return b'{"user_id":' + msgspec.json.encode(self.user_id) + comma + rest


class _Who(Struct):
    user_id: Any | UnsetType = UNSET


_who: Final = msgspec.json.Decoder(_Who)


def check_visitor_id(text: str) -> None:
    """Raises `InvalidInput` for text that is not the id of a visitor."""
    if not _VISITOR_ID.match(text):
        raise InvalidInput(FieldError("X-Visitor-ID", f"expected {ID_FORM}"))
