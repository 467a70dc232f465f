"""What is measured: a service that runs already, or processes of our own on a database of our own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import psutil  # type: ignore[import-untyped]
from msgspec import Struct

from app.adapters import migrations
from app.devstack import ports
from app.devstack.guard import Guard
from app.errors import UserError
from app.load import scrape, store
from app.load.children import Child
from app.load.plan import Layout
from app.load.requests import Endpoint
from app.load.scrape import Samples


class Reading(Struct, frozen=True):
    """Taken before and after a measurement. `cpu_sec` of all service processes, `rss_bytes` of the largest."""

    cpu_sec: float | None
    rss_bytes: float | None
    samples: Samples


class Target(Protocol):
    """Where the load goes."""

    @property
    def endpoint(self) -> Endpoint: ...

    def reading(self) -> Reading: ...

    def pending(self) -> int | None:
        """Events accepted and not yet in the features; None when that cannot be known."""


class Remote:
    """A service somebody else runs, known by its URL alone."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def check(self) -> None:
        """Raises `UserError` when it does not answer."""
        try:
            status, body = scrape.get(self.endpoint, "/healthz")
        except OSError as error:
            raise UserError(f"Nothing answers at {self.endpoint.host}:{self.endpoint.port}: {error}") from error
        if status != 200:
            raise UserError(f"GET /healthz answers {status}, not 200: {body[:500]}")

    def reading(self) -> Reading:
        samples = scrape.read(self.endpoint)
        return Reading(
            scrape.total(samples, "process_cpu_seconds_total"),
            scrape.total(samples, "process_resident_memory_bytes"),
            samples,
        )

    def pending(self) -> int | None:
        """As far as the process that answers knows: the relay's and the consumer's gauges, where it has them."""
        samples = scrape.read(self.endpoint)
        outbox = scrape.total(samples, "reco_outbox_backlog_events", 'status="pending"')
        lag = scrape.total(samples, "reco_feature_consumer_partition_lag")
        return None if outbox is None or lag is None else round(outbox + lag)


class Embedded:
    """Processes of our own for the roles; started, stopped and put in other layouts as the scenarios need."""

    def __init__(
        self,
        layout: Layout,
        api_processes: int,
        servers: Mapping[str, str],
        environ: Mapping[str, str],
        logs: Path,
        guard: Guard,
    ) -> None:
        self._layout = layout
        self._api_processes = api_processes
        self._environ = {**environ, **servers, "HTTP_HOST": "127.0.0.1", "LOG_LEVEL": "WARNING", "LOG_FORMAT": "json"}
        self._logs = logs
        self._guard = guard
        self._children: list[Child] = []
        self.database_url = servers["DATABASE_URL"]
        self.port = ports.choose()

    @property
    def endpoint(self) -> Endpoint:
        return Endpoint("127.0.0.1", self.port)

    def prepare(self) -> None:
        """The schema, and that the database is ours to fill. Raises `UserError`."""
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
        """Ends the service's processes; the floor stays. Raises `UserError` when one did not drain as it should."""
        children, self._children = self._children, []
        for child, code in [(child, child.stop()) for child in children]:
            if code:
                raise UserError(f"Told to stop, {child.name} ended with exit code {code}.\n{child.log_tail()}")

    def close(self) -> None:
        """As `stop`, when it no longer matters how they end."""
        children, self._children = self._children, []
        for child in children:
            child.stop()

    def reading(self) -> Reading:
        processes = [psutil.Process(child.pid) for child in self._children]
        cpu = [sum(process.cpu_times()[:2]) for process in processes]
        first, *others = [child.endpoint for child in self._children]
        # Of several processes on one port it is chance which one answers: its counters could not be compared.
        samples = {} if first in others else scrape.read(first)
        return Reading(sum(cpu), max(process.memory_info().rss for process in processes), samples)

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
