"""Takes samples for the learner inside the consumer's transaction, so that nothing that was read holds the event yet.

It never waits and never fails the batch: a list that is not at hand is asked for, and the sample is dropped. Histories
are given to it, as the API would rank them (`workers.batch_samples`).
"""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import structlog

from app import metrics
from app.clock import clock
from app.core.arrivals import MOST_BEHIND_MS, Arrivals
from app.core.content_index import ContentIndex
from app.core.features import NO_HISTORY, History
from app.core.history import standing
from app.core.item_table import ItemTable
from app.core.messages import Message
from app.core.model import MODEL
from app.core.neighbours import Neighbours
from app.core.popularity import Popular
from app.core.profile import Profile
from app.core.ranking_samples import Choice, RankingSample, SamplingBudget, is_choice, sample_of
from app.core.sampling import Sampling
from app.core.signals import DAY_MS
from app.errors import describe

ListsAtHand = Callable[[Sequence[str]], tuple[Mapping[str, Neighbours], Popular, ContentIndex | None] | None]
"""The neighbours of these items, what is popular, and the content of the catalogue, where that is in memory already;
None: some of the first two are not.
"""

_log = structlog.get_logger(__name__)

SHARE: Final = 0.025
"""Of a core, for taking samples and learning from them."""

MOST_LATE_MS: Final = 30 * DAY_MS
"""An event that is so far behind the log's clock teaches nothing either, unless that clock itself is so far behind: a
history of years ago, imported into a new service, teaches. Of an import, partitions are read in turns, so that some are
days or weeks behind others.
"""


class Sampler:
    """Samples are taken while `is_active`, that is, while this process is the one that learns."""

    def __init__(self, at_hand: ListsAtHand, table: ItemTable) -> None:
        self._at_hand = at_hand
        self._table = table
        self.budget = SamplingBudget(SHARE)
        self._sampling = Sampling()
        self._arrivals = Arrivals()
        self.is_active = False

    def for_batch(self, events: int) -> "BatchSampler | None":
        """None: no event of the next batch teaches."""
        stride = self.budget.stride(events, time.monotonic()) if self.is_active else 0
        return BatchSampler(self, stride) if stride else None

    def saw(self, chunk: Sequence[Message]) -> None:
        """A part of a batch, of which the latest is kept."""
        if chunk:
            latest = max(chunk, key=_time_of)
            # What a clock that was wrong has dated ahead makes nothing late that is received after that.
            self._arrivals.saw(latest.received_ms, min(latest.ts_ms, latest.received_ms))

    def take(self, message: Choice, history: History) -> RankingSample | None:
        """`history`: as it was before the event, which says what the user wanted."""
        started, now_ms = time.perf_counter(), clock.now_ms()
        try:
            stands_for = self._sampling.is_due(message.user_id, now_ms)
            if not stands_for:
                return None
            history = standing(history)
            seeds = [seed.item_id for seed in Profile(history, MODEL).seeds]
            lists = self._at_hand(seeds)
            if lists is None:
                metrics.LEARNER_SAMPLES.labels("no_lists").inc()
                return None
            behind_ms = self._arrivals.behind_ms(message.received_ms, message.ts_ms)
            if behind_ms > MOST_BEHIND_MS or _is_late(message, history, log_ms=lists[1].log_ms, now_ms=now_ms):
                metrics.LEARNER_SAMPLES.labels("late").inc()
                return None
            self._sampling.taught(message.user_id, now_ms)
            return sample_of(history, message.item_id, *lists, self._table, stands_for=stands_for)
        except Exception as error:
            metrics.LEARNER_SAMPLES.labels("failed").inc()
            _log.warning("sample_failed", error=describe(error))
            return None
        finally:
            self.budget.took(time.perf_counter() - started, samples=1)


def _time_of(message: Message) -> int:
    return message.ts_ms


def _is_late(message: Choice, history: History, *, log_ms: int, now_ms: int) -> bool:
    """Whether what would have been ranked before the event is not known any more: the user has done other things since,
    or what is popular in a live log has long been something else.
    """
    if history.entries and message.ts_ms < history.entries[0].at_ms:
        return True
    is_live = log_ms >= now_ms - MOST_LATE_MS
    return is_live and message.ts_ms < log_ms - MOST_LATE_MS


class BatchSampler:
    """Picks each `stride`-th event of one batch, if it is its user's first in its chunk and says what the user wanted,
    and takes samples of these.
    """

    def __init__(self, sampler: Sampler, stride: int) -> None:
        self._sampler = sampler
        self._stride = stride
        self._until = random.randrange(stride)

    def picks(self, chunk: Sequence[Message]) -> list[Choice]:
        self._sampler.saw(chunk)
        found: list[Choice] = []
        users: set[str] = set()
        for message in chunk:
            is_first = message.user_id not in users
            users.add(message.user_id)
            if self._until > 0:
                self._until -= 1
            elif is_first:
                self._until = self._stride - 1
                if is_choice(message):
                    found.append(message)
        return found

    def take(self, picks: Sequence[Choice], histories: Mapping[str, History]) -> list[RankingSample]:
        """`histories`: of the users of what it has picked of a chunk, as they were before it."""
        samples = [self._sampler.take(message, histories.get(message.user_id, NO_HISTORY)) for message in picks]
        return [sample for sample in samples if sample is not None]
