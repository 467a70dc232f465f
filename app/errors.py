"""Errors that cross layers. Each message says what was wrong, where, and what to do."""

import re
from collections.abc import Iterator
from typing import Final

# More than these would hide the first one in a line.
_MAX_CAUSES: Final = 3

# What an exception of this type, or of one derived from it, means when it has no message of its own.
_MEANINGS: Final = {
    "TimeoutError": "no answer in time",
    "ConnectionRefusedError": "nothing listens at this address",
    "ConnectionResetError": "the other side closed the connection",
    "ConnectionAbortedError": "the connection was closed",
    "BrokenPipeError": "the other side closed the connection",
    "EOFError": "the other side closed the connection in the middle of an answer",
    "CancelledError": "cancelled before it ended",
}
_ERROR_NUMBER: Final = re.compile(r"\[Err(?:no|or) -?\d+\] ?")
# An address as sockets have it: ('db', 5432), ('::1', 5432, 0, 0), ('kafka', 9092, <AddressFamily.AF_UNSPEC: 0>).
_ADDRESS: Final = re.compile(r"\('([^']+)', (\d+)(?:, [^()]*)?\)")


class UserError(Exception):
    """An error that the user can correct: printed as one message without a stack trace; exit code 2."""


class DependencyDown(Exception):
    """Postgres, Kafka or Redis cannot be reached or does not answer in time: work waits, nothing is given up."""

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason


class TooLarge(DependencyDown):
    """Postgres gave up a statement for its time or its memory: a smaller batch may pass."""


class Interrupted(DependencyDown):
    """Postgres gave up a statement for what others do, such as replaying the log: the same may pass at once."""


class Busy(DependencyDown):
    """All connections to Postgres are in use, ours or those of a pooler: the same may pass once one of them is free."""


class NotCommitted(DependencyDown):
    """Events had no commit within their deadline. `reason` is written for the client, and no driver's text."""

    def __init__(self, reason: str) -> None:
        super().__init__("postgres", reason)


class BufferFull(Exception):
    """More events wait than the ingest buffer holds: the client should come back later."""


class Closed(Exception):
    """The process is draining: the client should go to another one."""


def describe(error: BaseException) -> str:
    """One line for a log, a health entry or a database column: the type, and the message if it has one.

    A group is described by the errors in it, each named once.
    """
    causes = list(dict.fromkeys(_describe_one(leaf) for leaf in _leaves(error)))
    shown = "; ".join(causes[:_MAX_CAUSES])
    return shown if len(causes) <= _MAX_CAUSES else f"{shown}; and {len(causes) - _MAX_CAUSES} more"


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _describe_one(error: BaseException) -> str:
    name = type(error).__name__
    message = _ADDRESS.sub(_address, _ERROR_NUMBER.sub("", " ".join(str(error).split())))
    if name == "gaierror":
        return f"cannot resolve the host name: {message}"
    if message.startswith(f"{name}:"):
        return message  # some drivers name themselves
    if message in ("", name):
        message = next((_MEANINGS[kind.__name__] for kind in type(error).__mro__ if kind.__name__ in _MEANINGS), "")
    return f"{name}: {message}" if message else name


def _address(found: re.Match[str]) -> str:
    host, port = found.groups()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
