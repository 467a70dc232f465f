"""One run from its plan to its results: starts what it needs, and ends all of it whatever happens."""

import os
import secrets
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from app.devstack import Stack, ports
from app.devstack.folder import throwaway
from app.devstack.guard import Guard
from app.devstack.stack import default_folder
from app.errors import UserError
from app.load import jobs
from app.load.bench import Bench, Screen
from app.load.children import Child
from app.load.handle import GeneratorHandle
from app.load.plan import Plan
from app.load.requests import Endpoint
from app.load.results import Results
from app.load.store import Verdict
from app.load.target import Embedded, Remote

_SERVERS: Final = ("DATABASE_URL", "ONLINE_CACHE_REDIS_URL", "KAFKA_BOOTSTRAP_SERVERS")
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


def run(plan: Plan, screen: Screen, environ: Mapping[str, str] = os.environ) -> tuple[Results, Verdict | None]:
    """Raises `UserError` when the run cannot be made or go on."""
    with ExitStack() as stack:
        logs = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="reco-load-")))
        guard = Guard()
        guard.start()
        stack.callback(guard.close)
        servers: dict[str, str] = {}
        if plan.url is None:
            servers = stack.enter_context(_servers(environ, screen))
            target: Embedded | Remote = stack.enter_context(_service(plan, servers, environ, logs, guard, screen))
        else:
            target = Remote(plan.url)
            target.check()
        floor = _start_floor(environ, logs, guard, stack) if plan.floors else None
        generator = GeneratorHandle(jobs.Start(shape=plan.shape, run=secrets.token_hex(4)))
        stack.callback(generator.close)
        bench = Bench(plan, target, floor, servers, generator, screen)
        bench.run()
        verdict = bench.check(servers.get("DATABASE_URL") or environ["DATABASE_URL"]) if plan.check else None
        return bench.results, verdict


@contextmanager
def _servers(environ: Mapping[str, str], screen: Screen) -> Iterator[dict[str, str]]:
    """The servers below the service, as durable as they would be in use; what they stored is removed at the end."""
    refuse_other_hosts(environ)
    screen.step("starting Postgres, Redis and Kafka")
    folder = throwaway(default_folder())
    try:
        with Stack(folder, environ, durable=True, report=screen.step) as stack:
            yield stack.urls
    finally:
        folder.remove()


@contextmanager
def _service(
    plan: Plan, servers: Mapping[str, str], environ: Mapping[str, str], logs: Path, guard: Guard, screen: Screen
) -> Iterator[Embedded]:
    target = Embedded(plan.layout, plan.api_processes, servers, environ, logs, guard)
    try:
        screen.step("starting the service")
        target.prepare()
        target.start()
        yield target
    finally:
        target.close()


def _start_floor(environ: Mapping[str, str], logs: Path, guard: Guard, stack: ExitStack) -> Endpoint:
    """The bare server that the API is compared with."""
    port = str(ports.choose())
    child = Child("floor", ["app.load.floor_server"], {**environ, "HTTP_PORT": port}, logs / "floor.log", guard)
    stack.callback(child.stop)
    child.await_ready("/reco?user_id=a&session_id=b&k=1")
    return child.endpoint


def refuse_other_hosts(environ: Mapping[str, str]) -> None:
    """Without a URL the load goes to this machine only, wherever the environment points. Raises `UserError`."""
    for name in _SERVERS:
        for address in filter(None, environ.get(name, "").split(",")):
            host = urlsplit(address if "//" in address else f"//{address}").hostname
            if host not in _LOOPBACK:
                raise UserError(
                    f"{name} names {host}: without a URL `reco load` fills servers of this machine only. "
                    f"Unset {name} to have one started, or give the URL of the service to load."
                )
