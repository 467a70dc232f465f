"""A soak: servers of its own, two processes of each role, load, and one round of faults after another."""

import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import psycopg

from app.adapters.migrations import migrate
from app.devstack import Stack
from app.devstack.ports import choose
from tests.faults.checker import Client, check_service
from tests.faults.proxy import proxied_url
from tests.faults.soak.fleet import Worker
from tests.faults.soak.inflict import Faults
from tests.faults.soak.plan import BOUNDS, Round, rounds
from tests.faults.soak.report import Recovery, Report
from tests.faults.soak.screen import Screen
from tests.support.database import create_database, url_of
from tests.support.service import eventually

_ROLES: Final = ("api", "relay", "consumer")
_OF_EACH: Final = 2
_CLIENT_THREADS: Final = 3
_USERS: Final = 200
_ITEMS: Final = 60
_START_SEC: Final = 60.0
# A round that is late is awaited for so many times its bound: never is a violation.
_PATIENCE: Final = 4.0
_SHOW_EVERY_SEC: Final = 1.0
_BACKLOG: Final = (
    "SELECT count(*), (SELECT count(*) FROM events) - (SELECT count(*) FROM feature_event_consumed) FROM event_outbox"
)


def soak(
    *, seed: int, minutes: float, max_kills: int | None, strikes_per_sec: float, screen: Screen, logs: Path | None
) -> Report:
    """Runs until the time is over or so many kills have been done; the last round is finished and checked."""
    report = Report(seed)
    started = time.monotonic()
    ends = started + minutes * 60
    with ExitStack() as cleanup:
        folder = logs or Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        stack = cleanup.enter_context(Stack.throwaway())
        environment = _environment(stack)
        postgres, database_url = cleanup.enter_context(proxied_url(environment["DATABASE_URL"]))
        cache, redis_url = cleanup.enter_context(proxied_url(environment["ONLINE_CACHE_REDIS_URL"]))
        through = {**environment, "DATABASE_URL": database_url, "ONLINE_CACHE_REDIS_URL": redis_url}
        fleet = cleanup.enter_context(_fleet(through, folder))
        client = Client(f"http://127.0.0.1:{through['HTTP_PORT']}", threads=_CLIENT_THREADS, users=_USERS, items=_ITEMS)
        cleanup.callback(client.close)
        client.send(1)
        try:
            eventually(lambda: client.repeat() == 0, _START_SEC, lambda: dict(client.statuses))
        except AssertionError as error:
            report.violations.append(f"start: no event is accepted, --logs keeps what the processes say: {error}")
        faults = Faults(fleet, stack, postgres, cache)
        report.kills, report.freezes = faults.kills, faults.freezes
        cleanup.enter_context(_watch(report, client, environment["DATABASE_URL"], screen, ends))
        for fault in rounds(seed, processes=len(fleet), strikes_per_sec=strikes_per_sec):
            killed = sum(faults.kills.values())
            if time.monotonic() > ends or (max_kills is not None and killed >= max_kills) or report.violations:
                break
            _play(fault, faults, client, environment, report, screen)
        _count(report, client)
    report.minutes = (time.monotonic() - started) / 60
    return report


def _play(
    fault: Round, faults: Faults, client: Client, environment: dict[str, str], report: Report, screen: Screen
) -> None:
    """One round: load and the fault; then the client settles what was refused, and everything must add up in time."""
    bound = BOUNDS[fault.kind]
    screen.phase(f"{fault.kind} for {fault.seconds:.0f} s")
    client.start()
    faults.inflict(fault, time.sleep)
    ended = time.monotonic()
    screen.phase(f"{fault.kind}: waiting until everything is counted")
    client.finish()
    try:
        eventually(lambda: client.repeat() == 0, _PATIENCE * bound, lambda: client.statuses)
        check_service(client, environment, within_sec=_PATIENCE * bound)
    except AssertionError as error:
        report.violations.append(f"{fault.kind}: {error}")
    report.violations += [f"{fault.kind}: {worker.name} ended by itself" for worker in faults.fleet if not worker.alive]
    recovery = Recovery(fault.kind, round(time.monotonic() - ended, 2), bound)
    report.recoveries.append(recovery)
    if recovery.seconds > bound:
        report.late.append(f"{fault.kind}: quiet after {recovery.seconds:.1f} s, the bound is {bound:g} s")
    screen.ended(
        f"{len(report.recoveries):3d}  {fault.kind:18}  {recovery.seconds:5.1f} s of {bound:g}  "
        f"kills {sum(faults.kills.values()):4d}  events {client.sent():6d}  violations {len(report.violations)}"
    )


def _environment(stack: Stack) -> dict[str, str]:
    create_database(stack, "reco_soak")
    database_url = url_of(stack, "reco_soak")
    migrate(database_url)
    return {
        "APP_ENV": "test",
        "LOG_LEVEL": "WARNING",
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(choose()),
        "DATABASE_URL": database_url,
        "ONLINE_CACHE_REDIS_URL": stack.redis_url,
        "KAFKA_BOOTSTRAP_SERVERS": stack.kafka_bootstrap_servers,
        "KAFKA_TOPIC_PREFIX": "soak.",
        "KAFKA_TOPIC_PARTITIONS": "4",
        "FEATURE_CONSUMER_GROUP": "group",
        "FEATURE_CONSUMER_MEMBERS": "1",
        "OUTBOX_RELAY_PUBLISH_TIMEOUT_SEC": "5",
        "SHUTDOWN_GRACE_SEC": "0",
        # Six processes, and those that died a moment ago, share the 100 connections of Postgres.
        "DB_POOL_MIN_SIZE": "1",
        "DB_POOL_MAX_SIZE": "8",
    }


@contextmanager
def _fleet(environment: dict[str, str], folder: Path) -> Iterator[list[Worker]]:
    """Two processes of each role; those of the API share a port."""
    fleet = []
    for role in _ROLES:
        for number in range(1, _OF_EACH + 1):
            own = {"ROLE": role, "HTTP_REUSE_PORT": "true"}
            if role != "api":
                own["HTTP_PORT"] = str(choose())
            name = f"{role}-{number}"
            fleet.append(Worker(name, {**environment, **own}, folder / f"{name}.log"))
    try:
        for worker in fleet:
            worker.start()
        yield fleet
    finally:
        for worker in fleet:
            worker.kill()


@contextmanager
def _watch(report: Report, client: Client, database_url: str, screen: Screen, ends: float) -> Iterator[None]:
    """Keeps the screen up to date from a thread."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(_SHOW_EVERY_SEC):
            _count(report, client)
            screen.show(report, left_sec=max(0.0, ends - time.monotonic()), backlog=_backlog(database_url))

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _backlog(database_url: str) -> str:
    try:
        with psycopg.connect(database_url, connect_timeout=1, options="-c statement_timeout=1000") as connection:
            row: tuple[Any, ...] = connection.execute(_BACKLOG).fetchone() or (0, 0)
    except psycopg.Error:
        return "unknown: Postgres does not answer"
    return f"outbox {row[0]}, not counted {row[1]}"


def _count(report: Report, client: Client) -> None:
    report.events = dict(Counter(client.outcomes.copy().values()))
    report.answers = {
        "none" if status is None else str(status): count for status, count in client.statuses.copy().items()
    }
