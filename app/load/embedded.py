"""Starts a service on embedded servers for the run, and removes it with everything it stored afterwards."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from app.adapters import migrations
from app.adapters.redis_client import close_redis, open_redis
from app.core import database_url, redis_url
from app.core.server_urls import places
from app.devstack import Stack, ports
from app.devstack.folder import throwaway
from app.devstack.guard import Guard
from app.devstack.stack import default_folder, own_environment
from app.errors import UserError
from app.load import scrape, store
from app.load.children import Child
from app.load.plan import Plan
from app.load.requests import Endpoint
from app.load.screen import LoadScreen
from app.load.subject import ProcessReading

_FLUSH_SEC: Final = 10.0
_LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")


class Embedded:
    """Processes of our own for the roles; started, stopped and put in other layouts as the scenarios need."""

    def __init__(
        self, plan: Plan, servers: Mapping[str, str], environ: Mapping[str, str], logs: Path, guard: Guard
    ) -> None:
        self._layout = plan.layout
        self._api_processes = plan.api_processes
        self._headers = plan.headers
        environ = own_environment(environ)
        self._environ = {**environ, **servers, "HTTP_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", "LOG_FORMAT": "json"}
        self._environ |= plan.service_settings
        self._logs = logs
        self._guard = guard
        self._children: list[Child] = []
        self.database_url = environ.get("DATABASE_DIRECT_URL", "").strip() or servers["DATABASE_URL"]
        self.port = ports.choose()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port, headers=self._headers)

    def flush_cache(self) -> None:
        """Empties Redis, as a restart without a disk does."""
        asyncio.run(_flush(self._environ["ONLINE_CACHE_REDIS_URL"]))

    def prepare(self) -> None:
        """Migrates the schema and checks that the database is empty. Raises `UserError`."""
        migrations.migrate(self.database_url)
        if store.count_events(self.database_url):
            raise UserError("The database of DATABASE_URL holds events already: give `reco load` an empty one")

    def start(self) -> None:
        """All processes of the layout, ready."""
        api = "all" if self._layout == "all" else "api"
        for number in range(self._api_processes):
            self._children.append(self._service(f"api-{number + 1}", api, self.port))
        if self._layout == "split":
            self._children += [self._service(role, role, self._free_port()) for role in ("relay", "consumer")]
        for child in self._children:
            child.await_ready("/readyz")

    def start_role(self, role: str) -> Child:
        """One more process, for a role alone; it may still be starting."""
        child = self._service(role, role, self._free_port())
        self._children.append(child)
        return child

    def end(self, child: Child) -> None:
        """Ends one process of `start_role`."""
        self._children.remove(child)
        child.stop()

    def stop(self) -> None:
        """Ends the service's processes; the baseline stays. Raises `UserError` when one did not drain as it should."""
        children, self._children = self._children, []
        for child, code in [(child, child.stop()) for child in children]:
            if code:
                raise UserError(f"Told to stop, {child.name} ended with exit code {code}.\n{child.log_tail()}")

    def close(self) -> None:
        """Kills the processes, when a clean end no longer matters."""
        children, self._children = self._children, []
        for child in children:
            child.stop()

    def reading(self) -> ProcessReading:
        for child in self._children:
            child.require_running()
        processes = [psutil.Process(child.pid) for child in self._children]
        cpu = [sum(process.cpu_times()[:2]) for process in processes]
        first, *others = [child.endpoint for child in self._children]
        # With several processes on one port, any of them may answer: their counters could not be compared.
        samples = {} if first in others else scrape.read(first)
        machine = psutil.cpu_times()
        busy = sum(machine) - machine.idle - getattr(machine, "iowait", 0.0)
        return ProcessReading(sum(cpu), max(process.memory_info().rss for process in processes), samples, busy)

    def pending(self) -> int | None:
        return store.pending(self.database_url) if self.drains else None

    @property
    def drains(self) -> bool:
        """True when the layout has a relay and a consumer."""
        return self._layout != "api"

    def _free_port(self) -> int:
        return ports.choose({self.port, *(child.endpoint.port for child in self._children)})

    def _service(self, name: str, role: str, port: int) -> Child:
        reuse = port == self.port and self._api_processes > 1
        environ = {**self._environ, "ROLE": role, "HTTP_PORT": str(port), "HTTP_REUSE_PORT": str(reuse).lower()}
        return Child(name, ["app"], environ, self._logs / f"{name}.log", self._guard)


@contextmanager
def guard() -> Iterator[Guard]:
    """Ends our processes when this one ends, however it ends."""
    guard = Guard()
    guard.start()
    try:
        yield guard
    finally:
        guard.close()


@contextmanager
def servers(environ: Mapping[str, str], screen: LoadScreen) -> Iterator[dict[str, str]]:
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
def service(
    plan: Plan, urls: Mapping[str, str], environ: Mapping[str, str], logs: Path, guard: Guard, screen: LoadScreen
) -> Iterator[Embedded]:
    subject = Embedded(plan, urls, environ, logs, guard)
    try:
        screen.step("starting the service")
        subject.prepare()
        subject.start()
        yield subject
    finally:
        subject.close()


@contextmanager
def baseline(environ: Mapping[str, str], logs: Path, guard: Guard) -> Iterator[Endpoint]:
    """The bare server that the API is compared with."""
    port = str(ports.choose())
    child = Child(
        "baseline", ["app.load.baseline_server"], {**environ, "HTTP_PORT": port}, logs / "baseline.log", guard
    )
    try:
        child.await_ready("/reco?user_id=a&session_id=b&k=1")
        yield child.endpoint
    finally:
        child.stop()


def refuse_other_hosts(environ: Mapping[str, str]) -> None:
    """Without a URL the load goes to this machine only, wherever the environment points. Raises `UserError`."""
    for name, hosts in _HOSTS.items():
        for host in hosts(environ.get(name, "").strip()):
            if host.lower() not in _LOOPBACK:
                raise UserError(
                    f"{name} names {host}: without a URL `reco load` fills servers of this machine only. "
                    f"Unset {name} to have one started, or give the URL of the service to load."
                )


async def _flush(redis_url: str) -> None:
    client = open_redis(redis_url, timeout_sec=_FLUSH_SEC)
    try:
        await client.flushdb()
    finally:
        await close_redis(client)


def _postgres_hosts(url: str) -> list[str]:
    return [at.host for at in database_url.parse(url).hosts if not at.host.startswith("/")] if url else []


def _redis_hosts(url: str) -> list[str]:
    return redis_url.hosts_of(url) if url else []


def _kafka_hosts(servers: str) -> list[str]:
    return [host for host, _ in places(servers) if host]


_HOSTS: Final = {
    "DATABASE_URL": _postgres_hosts,
    "DATABASE_DIRECT_URL": _postgres_hosts,
    "DATABASE_READ_URL": _postgres_hosts,
    "ONLINE_CACHE_REDIS_URL": _redis_hosts,
    "KAFKA_BOOTSTRAP_SERVERS": _kafka_hosts,
}
