"""The role `consumer`: counts the events, and learns the ranking from them."""

from app import options
from app.adapters.history_cache import HistoryCache
from app.adapters.postgres import Database
from app.adapters.read_replica import ReadSource
from app.health import Requirement
from app.roles.lists import change_feed
from app.serving.candidate_caches import CandidateCaches
from app.settings import Settings
from app.supervisor import TaskSpec
from workers.consumer import FeatureConsumer
from workers.learner import LearnerTask
from workers.sampler import Sampler
from workers.traces import LateFeatures


def tasks(
    settings: Settings,
    database: Database,
    reads: ReadSource,
    cache: HistoryCache | None,
    caches: CandidateCaches | None,
    *,
    stall_sec: float,
    work: Requirement,
) -> list[TaskSpec]:
    """`caches`: what the learner ranks from; None: nothing is learned."""
    found = []
    late = LateFeatures()
    learner: LearnerTask | None = None
    if caches is not None and settings.ranking_learning != "off":
        learner = LearnerTask(database, Sampler(caches.at_hand, caches.table), settings.ranking_learning)
        found.append(TaskSpec("learner", learner.run, need="degrades", work="degrades"))
        if "api" not in settings.role:
            found.append(change_feed(reads, caches))
    # Members of one group: while Postgres writes the batch of one, another decodes and folds its own (ADR 17).
    for number in range(1, settings.feature_consumer_members + 1):
        consumer = FeatureConsumer(
            database,
            cache,
            options.kafka_options(settings),
            options.consumer_options(settings),
            late,
            member=number,
            learner=learner,
        )
        name = "feature-consumer" if number == 1 else f"feature-consumer-{number}"
        found.append(TaskSpec(name, consumer.run, stall_sec, work=work))
    return found
