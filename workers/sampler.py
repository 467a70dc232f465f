"""Takes samples for the learner inside the consumer's transaction, so that nothing that was read holds the event yet.

It never waits and never fails the batch: a list that is not at hand is asked for, and the sample is dropped. Histories
are given to it, as the API would rank them (`workers.batch_samples`).
"""

import random
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, NamedTuple

import structlog

from app import metrics
from app.clock import clock
from app.core.arrivals import MOST_BEHIND_MS, Arrivals
from app.core.content_index import ContentIndex
from app.core.features import NO_HISTORY, History
from app.core.history import standing
from app.core.item_table import ItemTable
from app.core.messages import ImpressionMessage, Message
from app.core.neighbours import Neighbours
from app.core.popularity import Popular
from app.core.profile import profile_of
from app.core.ranking_samples import Choice, RankingSample, SamplingBudget, is_choice, sample_of
from app.core.sampling import Sampling
from app.core.signals import DAY_MS
from app.errors import describe

ListsAtHand = Callable[
    [Sequence[str], Collection[str]], tuple[Mapping[str, Neighbours], Popular, ContentIndex | None] | None
]
"""Of a user's seeds and all of the user's items: the neighbours of the seeds, what is popular, and the content of the
catalogue, where that is in memory already; None: some of the first two, or the sums of some of the items, are not.
"""

_log = structlog.get_logger(__name__)

SHARE: Final = 0.025
"""Of a core, for taking samples and learning from them."""

MOST_LATE_MS: Final = 30 * DAY_MS
"""An event that is so far behind the log's clock teaches nothing either, unless that clock itself is so far behind: a
history of years ago, imported into a new service, teaches. Of an import, partitions are read in turns, so that some are
days or weeks behind others.
"""


class Pick(NamedTuple):
    """`stands_for`: how many events of the user the event stands for (`app.core.sampling`)."""

    message: Choice
    stands_for: float


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

    def stands_for(self, message: Choice, now_ms: int) -> float:
        """0: the event does not teach."""
        return self._sampling.is_due(message.user_id, now_ms)

    @contextmanager
    def at_work(self, samples: int = 0) -> Iterator[None]:
        """Counts the time as spent on samples. `samples`: how many begin with it."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.budget.took(time.perf_counter() - started, samples)

    def take(self, pick: Pick, history: History) -> RankingSample | None:
        """`history`: as it was before the event, which says what the user wanted."""
        message, now_ms = pick.message, clock.now_ms()
        try:
            history = standing(history)
            profile = profile_of(history, counted=self._table.model)
            lists = self._at_hand(profile.seed_ids, profile.latest)
            if lists is None:
                metrics.LEARNER_SAMPLES.labels("no_lists").inc()
                return None
            behind_ms = self._arrivals.behind_ms(message.received_ms, message.ts_ms)
            if behind_ms > MOST_BEHIND_MS or _is_late(message, history, log_ms=lists[1].log_ms, now_ms=now_ms):
                metrics.LEARNER_SAMPLES.labels("late").inc()
                return None
            self._sampling.taught(message.user_id, now_ms)
            return sample_of(history, message.item_id, *lists, self._table, stands_for=pick.stands_for)
        except Exception as error:
            failed(error)
            return None


def failed(error: Exception, samples: int = 1) -> None:
    metrics.LEARNER_SAMPLES.labels("failed").inc(samples)
    _log.warning("sample_failed", error=describe(error))


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
    and the user's turn to teach has come. Takes samples of these. Impressions change no history, so they do not count.
    """

    def __init__(self, sampler: Sampler, stride: int) -> None:
        self._sampler = sampler
        self._stride = stride
        self._until = random.randrange(stride)

    def at_work(self) -> AbstractContextManager[None]:
        """As `Sampler.at_work`, for what samples of the batch need besides."""
        return self._sampler.at_work()

    def picks(self, chunk: Sequence[Message]) -> list[Pick]:
        self._sampler.saw(chunk)
        choices = self._choices(chunk)
        with self._sampler.at_work(len(choices)):
            now_ms = clock.now_ms()
            picks = [Pick(message, self._sampler.stands_for(message, now_ms)) for message in choices]
            return [pick for pick in picks if pick.stands_for]

    def _choices(self, chunk: Sequence[Message]) -> list[Choice]:
        found: list[Choice] = []
        users: set[str] = set()
        for message in chunk:
            if isinstance(message, ImpressionMessage):
                continue
            is_first = message.user_id not in users
            users.add(message.user_id)
            if self._until > 0:
                self._until -= 1
            elif is_first:
                self._until = self._stride - 1
                if is_choice(message):
                    found.append(message)
        return found

    def take(self, picks: Sequence[Pick], histories: Mapping[str, History]) -> list[RankingSample]:
        """`histories`: of the users of what it has picked of a chunk, as they were before it."""
        with self._sampler.at_work():
            samples = [self._sampler.take(pick, histories.get(pick.message.user_id, NO_HISTORY)) for pick in picks]
        return [sample for sample in samples if sample is not None]
