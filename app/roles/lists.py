"""The lists that the API ranks from, and the learner of the same process."""

from collections.abc import Sequence
from typing import Final

from app.adapters.postgres import Database
from app.serving.candidate_caches import CandidateCaches
from app.serving.change_feed import ChangeFeed
from app.serving.histories import Histories
from app.settings import Settings
from app.supervisor import TaskSpec

# Lists that only the learner reads are reloaded in a twenty-fifth of the time.
_LEARNERS_RELOAD_THROTTLE: Final = 24.0


def candidate_caches(settings: Settings, database: Database) -> CandidateCaches:
    return CandidateCaches(
        database,
        related_ttl_sec=settings.online_cache_related_ttl_sec,
        popularity_ttl_sec=settings.online_cache_popularity_ttl_sec,
        max_keys=settings.online_cache_memory_max_keys,
        catalogue_only=settings.catalogue_only,
        **({} if "api" in settings.role else {"reload_throttle": _LEARNERS_RELOAD_THROTTLE}),
    )


def change_feed(database: Database, caches: CandidateCaches, histories: Histories | None = None) -> TaskSpec:
    """Without it what is read is only less fresh."""

    def outdate(change: Sequence[str]) -> None:
        caches.outdate(change)
        if histories is not None:
            histories.outdate(change)

    feed = ChangeFeed(database, outdate, caches.outdate_all)
    return TaskSpec("change-feed", feed.run, need="degrades")
