"""Errors that cross layers. Each message says what was wrong, where, and what to do."""


class UserError(Exception):
    """What the person at the terminal can mend: printed as one message without a stack trace; exit code 2."""


class DependencyDown(Exception):
    """Postgres, Kafka or Redis cannot be reached or does not answer in time: work waits, nothing is given up."""

    def __init__(self, dependency: str, reason: str) -> None:
        super().__init__(f"{dependency}: {reason}")
        self.dependency = dependency
        self.reason = reason


class BufferFull(Exception):
    """More events wait than the ingest buffer holds: the client should come back later."""


class Closed(Exception):
    """The process is draining: the client should go to another one."""


def describe(error: BaseException) -> str:
    """One line for a log, a health entry or a database column: the type, and the message if it has one."""
    name, message = type(error).__name__, " ".join(str(error).split())
    if message == name or message.startswith(f"{name}:"):
        return message  # some drivers name themselves
    return f"{name}: {message}" if message else name
