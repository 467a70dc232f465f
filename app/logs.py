"""Configures structlog: JSON lines for machines, or lines for people, coloured only on a terminal.

Every line, also one of a library, passes three guards: against personal data, secrets and floods.
"""

import logging
import os
import re
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, Final, Literal

import structlog

# Each logs every refused connection of an outage with a stack trace; the health probe logs the outage once.
_SILENT: Final = ("aiokafka", "asyncpg")
_NOISY: Final = ("yoyo", "uvicorn", "asyncio")

# Data of callers stays in Postgres: a log line would outlive an erasure.
_PERSONAL: Final = frozenset({"user_id", "session_id", "payload", "body", "headers", "value", "message_key"})
_PASSWORD: Final = re.compile(r"(\w://[^:/@\s]*):[^@/\s]+@")
# Postgres quotes the refused row in its error.
_DETAIL: Final = re.compile(r"\s*\b(?:DETAIL|CONTEXT):.*", re.DOTALL)

_BURST: Final = 10
_WINDOW_SEC: Final = 10.0
_MAX_KINDS: Final = 1000

Line = MutableMapping[str, Any]


class FloodGuard:
    """Passes the first lines of each kind per window; the next window's first line says how many were suppressed.

    A kind is the event and its subject: an outage that fails every request is one kind.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._kinds: dict[tuple[object, ...], list[float]] = {}

    def __call__(self, logger: object, method: str, line: Line) -> Line:
        kind = (line.get("event"), method, line.get("route"), line.get("status"), line.get("task"), line.get("name"))
        now = self._now()
        if len(self._kinds) >= _MAX_KINDS:
            self._kinds.clear()
        window = self._kinds.setdefault(kind, [now, 0, 0])  # start, lines, suppressed lines
        if now - window[0] >= _WINDOW_SEC:
            if window[2]:
                line["held_back"] = int(window[2])
            window[:] = [now, 0, 0]
        window[1] += 1
        if window[1] > _BURST:
            window[2] += 1
            raise structlog.DropEvent
        return line


def redact(logger: object, method: str, line: Line) -> Line:
    """Removes personal data by key, and passwords and quoted rows from texts."""
    for key in _PERSONAL & line.keys():
        del line[key]
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = _DETAIL.sub("", _PASSWORD.sub(r"\1:***@", value))
    return line


class _Forward(logging.Handler):
    """Forwards the libraries' log records through the same guards and in the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(record.name)
        log.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)


def configure(*, format: Literal["json", "console"], level: str) -> None:
    threshold = logging.getLevelNamesMapping()[level]
    guards: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        FloodGuard(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    renderer: structlog.typing.Processor = structlog.processors.JSONRenderer()
    if format == "console":
        # The traceback is text by then: it had to be, to be redacted.
        renderer = structlog.dev.ConsoleRenderer(colors=_in_colour(), exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(
        processors=[*guards, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(level=threshold, handlers=[_Forward()], force=True)
    for name in _NOISY:
        logging.getLogger(name).setLevel(max(threshold, logging.WARNING))
    for name in _SILENT:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _in_colour() -> bool:
    """As no-color.org says: NO_COLOR counts when it is set and not empty."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR")
