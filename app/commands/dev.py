"""`reco dev`: the whole service on embedded servers."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

import click
import psycopg
from rich.console import Console

from app.adapters import migrations
from app.core.database_url import for_libpq
from app.core.events import TOPICS
from app.devstack import Stack
from app.devstack.stack import default_folder, own_environment
from app.errors import UserError
from app.http.server import bind
from app.main import run
from app.settings import Settings

_DEFAULTS: Final = {
    "APP_ENV": "development",
    "HTTP_HOST": "127.0.0.1",  # it requires no API key, so it listens on this machine only
    "LOG_FORMAT": "console",
    "SHUTDOWN_GRACE_SEC": "0",  # no load balancer has to notice that it ends
}
# To check the other settings before the servers have ports.
_STAND_INS: Final = {
    "DATABASE_URL": "postgresql://127.0.0.1/reco",
    "ONLINE_CACHE_REDIS_URL": "redis://127.0.0.1",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1",
}
_DEFAULT_PORTS: Final = range(8080, 8100)

# Stderr, as the log lines, so that both appear in order.
_console: Final = Console(stderr=True, highlight=False, soft_wrap=True)


@click.command()
@click.option("--demo", is_flag=True, help="Load the demo: an online shop with purchases, catalogue and visits.")
@click.option("--fresh", is_flag=True, help="Delete everything that earlier runs stored.")
@click.option("--port", type=click.IntRange(1, 65535), help="HTTP port; else HTTP_PORT, else 8080 or the next free.")
@click.option("--role", metavar="ROLES", help="Comma list of api, relay, consumer, or all. Overrides ROLE.")
def dev(demo: bool, fresh: bool, port: int | None, role: str | None) -> None:
    """Run the whole service with its own PostgreSQL, Redis and Kafka; Ctrl-C ends all of it.

    A server is not started when its URL is set: DATABASE_URL, ONLINE_CACHE_REDIS_URL, KAFKA_BOOTSTRAP_SERVERS. Data is
    kept in .reco/dev of the checkout, or in RECO_DATA_DIR.
    """
    environ = _DEFAULTS | {name: value for name, value in own_environment(os.environ).items() if value.strip()}
    if role is not None:
        environ["ROLE"] = role
    if port is not None:
        environ["HTTP_PORT"] = str(port)
    _check(environ)
    stack = Stack(
        _data_folder(environ),
        environ,
        topics=[environ.get("KAFKA_TOPIC_PREFIX", "") + topic for topic in TOPICS],
        report=lambda line: _console.print(line, style="yellow"),
    )
    try:
        with _sigterm_unwinds():
            _console.print("Starting the servers …", style="dim")
            stack.start(fresh=fresh)
            served = _with_port(environ) | stack.urls
            settings = Settings.from_env(served)
            database_url = settings.session_url
            migrations.migrate(database_url)
            if demo:
                _load_demo(database_url, served, stack.folder.root / "logs" / "demo.log")
            _show(stack, settings, *example_ids(database_url))
        with stack.kept_running():
            code = run(settings)
        _console.print("Stopping the servers …", style="dim")
    finally:
        stack.stop()
    sys.exit(code)


def _check(environ: Mapping[str, str]) -> None:
    """Checks the settings before any server is started."""
    settings = Settings.from_env({**_STAND_INS, **environ})
    if "HTTP_PORT" in environ:
        bind(settings.http_host, settings.http_port, reuse_port=settings.http_reuse_port).close()


def _with_port(environ: Mapping[str, str]) -> dict[str, str]:
    """A given port is used or is an error; instead of the default the next free port is used."""
    if "HTTP_PORT" in environ:
        return dict(environ)
    for port in _DEFAULT_PORTS:
        try:
            bind(environ["HTTP_HOST"], port, reuse_port=False).close()
        except UserError:
            continue
        if port != _DEFAULT_PORTS[0]:
            _console.print(f"Port {_DEFAULT_PORTS[0]} is taken: the API listens on {port}", style="yellow")
        return {**environ, "HTTP_PORT": str(port)}
    raise UserError(f"The ports {_DEFAULT_PORTS[0]} to {_DEFAULT_PORTS[-1]} are all taken; choose one with --port")


def _data_folder(environ: Mapping[str, str]) -> Path:
    return Path(environ["RECO_DATA_DIR"].strip()) if "RECO_DATA_DIR" in environ else default_folder() / "dev"


@contextmanager
def _sigterm_unwinds() -> Iterator[None]:
    """Until the app handles signals, SIGTERM works as Ctrl-C: it stops the servers started so far."""

    def unwind(number: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, unwind)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _load_demo(database_url: str, environ: Mapping[str, str], log: Path) -> None:
    from app.demo.counting import count_queued
    from app.demo.load import load_demo

    load_demo(database_url)
    _console.print("Counting the demo …", style="dim")
    if not count_queued(database_url, {**os.environ, **environ}, log):
        _console.print(f"The demo is not all counted yet; it goes on while the service runs. See {log}", style="yellow")


def example_ids(database_url: str) -> tuple[str, str]:
    """A user and an item that are frequent among the stored events, for the examples; `u1` and `i1` without events."""
    with psycopg.connect(for_libpq(database_url), connect_timeout=5) as connection:
        row = connection.execute(
            "SELECT mode() WITHIN GROUP (ORDER BY user_id), mode() WITHIN GROUP (ORDER BY payload ->> 'item_id')"
            " FROM (SELECT user_id, payload FROM events WHERE user_id ~ '^[A-Za-z0-9_-]+$'"
            " AND payload ->> 'item_id' ~ '^[A-Za-z0-9_-]+$' LIMIT 1000) AS sample"
        ).fetchone()
    user_id, item_id = row or (None, None)
    return str(user_id or "u1"), str(item_id or "i1")


def _show(stack: Stack, settings: Settings, user_id: str, item_id: str) -> None:
    api = f"http://{settings.http_host}:{settings.http_port}"
    rows = {
        "API": api,
        "Docs": f"{api}/docs",
        "PostgreSQL": _shown(stack, "DATABASE_URL"),
        "Redis": _shown(stack, "ONLINE_CACHE_REDIS_URL"),
        "Kafka": _shown(stack, "KAFKA_BOOTSTRAP_SERVERS") + (" (mock, in memory)" if stack.kafka_is_mock else ""),
        "Data, logs": f"{stack.folder.root}, {stack.folder.root / 'logs'}",
    }
    _console.print()
    for label, value in rows.items():
        _console.print(f"  [bold]{label:<12}[/bold]{value}")
    event = f'{{"event_type":"view","user_id":"{user_id}","session_id":"s1","item_id":"{item_id}"}}'
    _console.print(
        f"\n  curl -s '{api}/reco?user_id={user_id}&session_id=s1&k=5'"
        f"\n  curl -s {api}/event -H 'content-type: application/json' -d '{event}'"
        "\n\n  Ctrl-C ends all of it.\n",
        markup=False,
    )


def _shown(stack: Stack, name: str) -> str:
    # A given URL may hold a real password.
    return stack.urls[name] if name in stack.servers else f"the one of {name}"
