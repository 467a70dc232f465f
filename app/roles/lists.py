"""The lists that the API ranks from, and the learner of the same process."""

from collections.abc import Callable, Sequence
from typing import Final

from app.adapters.postgres import Database
from app.adapters.read_replica import ReadSource
from app.serving.candidate_caches import CandidateCaches
from app.serving.change_feed import ChangeFeed
from app.serving.histories import Histories
from app.serving.known_event_types import KnownEventTypes
from app.serving.running_experiments import RunningExperiments
from app.settings import Settings
from app.supervisor import TaskSpec

# Lists that only the learner reads are reloaded in a twenty-fifth of the time.
_LEARNERS_RELOAD_THROTTLE: Final = 24.0


def candidate_caches(settings: Settings, reads: ReadSource) -> CandidateCaches:
    return CandidateCaches(
        reads,
        related_ttl_sec=settings.online_cache_related_ttl_sec,
        popularity_ttl_sec=settings.online_cache_popularity_ttl_sec,
        max_keys=settings.online_cache_memory_max_keys,
        catalogue_only=settings.catalogue_only,
        **({} if "api" in settings.role else {"reload_throttle": _LEARNERS_RELOAD_THROTTLE}),
    )


def change_feed(reads: ReadSource, caches: CandidateCaches) -> TaskSpec:
    """Without it what is read is only less fresh. It reads where the lists are read: a change that it has seen is in
    the lists that are loaded from then on.
    """
    return _feed("change-feed", reads, caches.outdate, caches.outdate_all)


def change_feeds(
    database: Database,
    reads: ReadSource,
    caches: CandidateCaches,
    histories: Histories,
    settled: Sequence[KnownEventTypes | RunningExperiments],
) -> list[TaskSpec]:
    """That of the lists, and one of what is read from the primary: it drops what is kept of erased users as soon as the
    primary has the erasure, and knows a change of `settled`.
    """

    def outdate_primary(change: Sequence[str]) -> None:
        histories.outdate(change)
        for known in settled:
            known.outdate(change)

    def outdate_all_settled() -> None:
        for known in settled:
            known.outdate_all()

    if reads is not database:
        return [change_feed(reads, caches), _feed("erasure-feed", database, outdate_primary, outdate_all_settled)]

    def outdate(change: Sequence[str]) -> None:
        caches.outdate(change)
        outdate_primary(change)

    def outdate_all() -> None:
        caches.outdate_all()
        outdate_all_settled()

    return [_feed("change-feed", database, outdate, outdate_all)]


def _feed(
    name: str, reads: ReadSource, outdate: Callable[[Sequence[str]], None], outdate_all: Callable[[], None]
) -> TaskSpec:
    return TaskSpec(name, ChangeFeed(reads, outdate, outdate_all).run, need="degrades")
