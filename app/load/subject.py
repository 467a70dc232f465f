"""The measured service. `Remote` is one that runs already; `app.load.embedded` starts one."""

from typing import Protocol

from msgspec import Struct

from app.errors import UserError
from app.load import scrape
from app.load.requests import Endpoint
from app.load.scrape import Samples


class ProcessReading(Struct, frozen=True):
    """Taken before and after a measurement. `cpu_sec` of all service processes, `rss_bytes` of the largest.

    `machine_cpu_sec` is what everything on the machine has used, None where the service is not on this one.
    """

    cpu_sec: float | None
    rss_bytes: float | None
    samples: Samples
    machine_cpu_sec: float | None = None


def usage(before: ProcessReading, after: ProcessReading, seconds: float) -> dict[str, float]:
    """The fields `cpu`, `machine_cpu`, `rss_mb` and `lag_p99` of what happened in between, as far as they are known."""
    values: dict[str, float] = {}
    if before.machine_cpu_sec is not None and after.machine_cpu_sec is not None:
        values["machine_cpu"] = (after.machine_cpu_sec - before.machine_cpu_sec) / seconds
    if before.cpu_sec is not None and after.cpu_sec is not None:
        values["cpu"] = (after.cpu_sec - before.cpu_sec) / seconds
    if after.rss_bytes is not None:
        values["rss_mb"] = after.rss_bytes / 1e6
    lag = scrape.bucket_percentile(before.samples, after.samples, "reco_event_loop_lag_ms", 99.0)
    if lag is not None:
        values["lag_p99"] = lag
    return values


class Subject(Protocol):
    """Where the load goes."""

    @property
    def endpoint(self) -> Endpoint: ...

    def reading(self) -> ProcessReading: ...

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

    def reading(self) -> ProcessReading:
        samples = scrape.read(self.endpoint)
        return ProcessReading(
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
