"""Lines are JSON, whoever writes them, and hold no personal data, no secrets and no flood."""

import io
import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from app import logs
from app.logs import FloodGuard, redact


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    handlers, level = logging.root.handlers[:], logging.root.level
    yield
    structlog.reset_defaults()
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_is_one_json_object_with_level_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json", level="INFO")
    structlog.get_logger("a").info("started", role=["api"])
    logging.getLogger("some.library").warning("retrying %s", "soon")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        structlog.get_logger("a").exception("failed")
    first, second, third = lines(capsys.readouterr().err)
    assert first["event"] == "started"
    assert (second["event"], second["level"], second["logger"]) == ("retrying soon", "warning", "some.library")
    assert "Traceback" in str(third["exception"])
    assert all(line["timestamp"].endswith("Z") for line in (first, second, third))


def test_the_level_holds_for_libraries_too(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json", level="WARNING")
    structlog.get_logger("a").info("quiet")
    logging.getLogger("some.library").info("quiet")
    logging.getLogger("aiokafka").error("the health probe says it once")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("key", ["user_id", "session_id", "payload", "body", "headers", "value", "message_key"])
def test_personal_data_is_dropped_by_name(key: str) -> None:
    assert redact(None, "info", {"event": "e", key: "secret", "count": 3}) == {"event": "e", "count": 3}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cannot reach postgresql://reco:hunter2@db:5432/reco", "cannot reach postgresql://reco:***@db:5432/reco"),
        ("redis://:hunter2@cache:6379/0 timed out", "redis://:***@cache:6379/0 timed out"),
        ("duplicate key DETAIL:  Key (user_id)=(anna) exists", "duplicate key"),
        ("null value\nDETAIL:  Failing row contains (e1, anna).\nCONTEXT: COPY events", "null value"),
        ("http://host:8080/path@x", "http://host:8080/path@x"),
    ],
)
def test_secrets_and_quoted_rows_are_taken_out_of_texts(text: str, shown: str) -> None:
    assert redact(None, "info", {"event": "e", "error": text})["error"] == shown


def test_stack_traces_are_redacted_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure(format="json", level="INFO")
    try:
        raise OSError("postgresql://reco:hunter2@db/reco")
    except OSError:
        structlog.get_logger("a").exception("failed")
    assert "hunter2" not in capsys.readouterr().err


def test_a_flood_of_one_kind_is_held_back_and_counted() -> None:
    now = 100.0
    guard = FloodGuard(lambda: now)

    def passes(line: dict[str, object]) -> bool:
        try:
            guard(None, "info", line)
        except structlog.DropEvent:
            return False
        return True

    request = {"event": "request", "route": "/event", "status": 503}
    assert sum(passes(dict(request, ms=n)) for n in range(1000)) == 10
    assert passes({"event": "request", "route": "/reco", "status": 503})
    assert passes({"event": "dependency", "name": "postgres"})
    now += 10.0
    assert guard(None, "info", dict(request))["held_back"] == 990
    assert "held_back" not in guard(None, "info", dict(request))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "in_colour"),
    [(Terminal(), None, True), (Terminal(), "", True), (Terminal(), "1", False), (io.StringIO(), None, False)],
)
def test_console_lines_have_colour_on_a_terminal_without_no_color(
    monkeypatch: pytest.MonkeyPatch, stream: io.StringIO, no_color: str | None, in_colour: bool
) -> None:
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    logs.configure(format="console", level="INFO")
    try:
        raise OSError("postgresql://reco:hunter2@db/reco")
    except OSError:
        structlog.get_logger("a").exception("failed")
    assert ("\x1b[" in stream.getvalue()) is in_colour
    assert "Traceback" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
