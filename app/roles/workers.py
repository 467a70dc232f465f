"""The tasks that work beside the HTTP server."""

from typing import TYPE_CHECKING

from app import options
from app.adapters.history_cache import HistoryCache
from app.adapters.postgres import Database
from app.adapters.read_replica import ReadSource
from app.health import Requirement
from app.settings import Settings
from app.supervisor import TaskSpec
from workers.maintenance import Maintenance
from workers.relay import Relay

if TYPE_CHECKING:
    from app.serving.candidate_caches import CandidateCaches


def workers(
    settings: Settings,
    database: Database,
    reads: ReadSource,
    cache: HistoryCache | None,
    caches: "CandidateCaches | None",
) -> list[TaskSpec]:
    """The tasks of the roles `relay` and `consumer`, and maintenance, which every process runs."""
    # Between two beats is at most one transaction, and calls of Kafka and Redis with fixed or shorter deadlines.
    stall_sec = 40.0 + options.pool_options(settings).transaction_timeout_sec
    # An API takes events while the pipeline behind it fails: the outbox keeps them.
    work: Requirement = "degrades" if "api" in settings.role else "required"
    tasks = []
    if "relay" in settings.role:
        relay = Relay(database, options.kafka_options(settings), options.relay_options(settings))
        tasks.append(TaskSpec("outbox-relay", relay.run, stall_sec, work=work))
    if "consumer" in settings.role:
        from app.roles import consumer

        tasks += consumer.tasks(settings, database, reads, cache, caches, stall_sec=stall_sec, work=work)
    maintenance = Maintenance(
        database,
        cache,
        options.retention_options(settings),
        counted_within_sec=settings.events_counted_within_sec,
        named_models=[variant.version for variant in settings.variants if variant.version is not None],
    )
    tasks.append(TaskSpec("maintenance", maintenance.run, stall_sec))
    return tasks
