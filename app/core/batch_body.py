"""Takes the body of a batch apart into its events, each still to be decoded on its own.

An event that is not JSON costs itself alone: the events are told apart by brackets, quotes and commas, so their own
content may be anything.
"""

import re
from typing import Final

import msgspec
from msgspec import Struct

from app.core.decoding import InvalidInput, decode
from app.core.events import MAX_BATCH_EVENTS
from app.core.field_errors import FieldError


class Batch(Struct, frozen=True):
    """The events of a body, and the JSON path of the array that they are in."""

    path: str
    events: list[msgspec.Raw]


class _Batch(Struct, forbid_unknown_fields=True):
    events: list[msgspec.Raw]


_batch_decoder: Final = msgspec.json.Decoder(_Batch)
_array_decoder: Final = msgspec.json.Decoder(list[msgspec.Raw])
_JSON_SPACE: Final = b" \t\r\n"

# Up to the next sign that tells events apart. Possessive (`++`): what was matched is never tried in another way.
_STRING: Final = rb'"(?:[^"\\]++|\\.)*+"'
_BETWEEN_EVENTS: Final = re.compile(rb'(?:[^\[\]{},"]++|' + _STRING + rb")*+", re.DOTALL)
_WITHIN_EVENT: Final = re.compile(rb'(?:[^\[\]{}"]++|' + _STRING + rb")*+", re.DOTALL)
_START: Final = re.compile(rb'[ \t\r\n]*(?:(\{)[ \t\r\n]*"events"[ \t\r\n]*:[ \t\r\n]*)?\[')
_OBJECT: Final = re.compile(rb"[ \t\r\n]*+\{")
_END: Final = re.compile(rb"[ \t\r\n]*+(\}?)[ \t\r\n]*+\Z")
_CLOSED_BY: Final = {ord("["): ord("]"), ord("{"): ord("}")}
# Events of the greatest size with as many items as fit have fewer. A body of nothing else would take a second.
_MAX_BRACKETS: Final = 100_000
_MAX_MEMBERS: Final = 100


def decode_batch(body: bytes) -> Batch:
    """The events of `{"events": [...]}` or of a bare array. Raises `InvalidInput` where they cannot be told apart."""
    try:
        if body.lstrip(_JSON_SPACE).startswith(b"["):
            events, path = decode(_array_decoder, body), "$"
        else:
            events, path = decode(_batch_decoder, body).events, "$.events"
    except InvalidInput as error:
        start = _START.match(body)
        if start is None:
            raise
        path = "$.events" if start[1] else "$"
        events, pos = _split(body, start.end(), path)
        end = _END.match(body, pos)
        if end is None or bool(end[1]) != bool(start[1]):
            raise error from None
    return _counted(events, path)


def split_lines(body: bytes) -> Batch:
    """The events of an NDJSON body, one a line; blank lines are passed over."""
    return _counted([msgspec.Raw(line) for line in body.split(b"\n") if line.strip(_JSON_SPACE)], "$")


def take_apart(body: bytes, name: str, most: int) -> tuple[list[msgspec.Raw], list[bytes]]:
    """The elements of the array that the outermost object has under `name`, up to `most`, and its other members.

    They may hold anything. Raises `InvalidInput` where they cannot be told apart, or there is no such array.
    """
    start = _OBJECT.match(body)
    if start is None:
        raise InvalidInput(FieldError("$", "not JSON: expected an object"), malformed=True)
    members, pos = _split(body, start.end(), "$", closing=b"}", most=_MAX_MEMBERS)
    if body[pos:].strip(_JSON_SPACE):
        raise _broken("$", "something follows the object", pos)
    array = re.compile(rb'"' + re.escape(name.encode()) + rb'"[ \t\r\n]*:[ \t\r\n]*\[')
    found, others = None, []
    for member in map(bytes, members):
        if (begin := array.match(member)) is None:
            others.append(member)
            continue
        found, end = _split(member, begin.end(), f"$.{name}", most=most)
        if end < len(member):
            raise _broken(f"$.{name}", "something follows the array", end)
    if found is None:
        raise InvalidInput(FieldError(f"$.{name}", "not JSON, or not an array"), malformed=True)
    return found, others


def _counted(events: list[msgspec.Raw], path: str) -> Batch:
    if not 1 <= len(events) <= MAX_BATCH_EVENTS:
        raise InvalidInput(FieldError(path, f"expected 1 to {MAX_BATCH_EVENTS} events, got {len(events)}"))
    return Batch(path, events)


def _split(
    body: bytes, start: int, path: str, *, closing: bytes = b"]", most: int = MAX_BATCH_EVENTS
) -> tuple[list[msgspec.Raw], int]:
    """The elements of the array whose bracket is just before `start`, and the position after the array; with the
    `closing` bracket of an object its members.

    Looks only at brackets, commas and quotes. Raises `InvalidInput` with the position where they do not pair up.
    """
    events: list[msgspec.Raw] = []
    begin = pos = start
    open_brackets = bytearray()
    for _ in range(_MAX_BRACKETS):
        skipped = (_WITHIN_EVENT if open_brackets else _BETWEEN_EVENTS).match(body, pos)
        assert skipped is not None  # both patterns match the empty string
        pos = skipped.end()
        if pos == len(body):
            what = "array" if closing == b"]" else "object"
            raise _broken(path, f"the {what} is never closed", pos)
        sign = body[pos]
        pos += 1
        if sign in _CLOSED_BY:
            open_brackets.append(_CLOSED_BY[sign])
        elif sign == ord('"'):
            raise _broken(path, "a string is never closed", pos - 1)
        elif open_brackets:
            if sign != open_brackets.pop():
                raise _broken(path, f"{chr(sign)!r} closes nothing", pos - 1)
        elif sign != ord(",") and sign != closing[0]:
            raise _broken(path, f"{chr(sign)!r} closes nothing", pos - 1)
        else:
            event = body[begin : pos - 1].strip(_JSON_SPACE)
            begin = pos
            if not event and (events or sign == ord(",")):
                raise _broken(path, "an event is missing", pos - 1)
            if event:
                events.append(msgspec.Raw(event))
            if len(events) > most:
                raise InvalidInput(FieldError(path, f"expected 1 to {most} events, got more"))
            if sign == closing[0]:
                return events, pos
    raise _broken(path, f"and more than {_MAX_BRACKETS} brackets to find out which event is to blame", pos)


def _broken(path: str, what: str, pos: int) -> InvalidInput:
    return InvalidInput(FieldError(path, f"not JSON: {what} (byte {pos})"), malformed=True)
