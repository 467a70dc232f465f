"""The learner: ranks samples of events as the contenders would, learns from them, and decides what serves.

One process of all learns, the one that holds an advisory lock on a connection of its own; the others stand by. State
and decisions are written on that connection, so a process that lost the lock changes nothing.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import structlog

from app import metrics
from app.adapters import ranking_models
from app.adapters.postgres import Database
from app.adapters.postgres_errors import DRIVER_ERRORS
from app.adapters.ranking_models import ServedModel
from app.core.named_weights import from_named, named
from app.core.promotion import Verdict, is_due
from app.core.ranking_learner import RankingLearner, Serving
from app.core.ranking_samples import RankingSample
from app.core.weights import FIXED, START
from app.errors import DependencyDown, describe
from app.supervisor import Progress, wait_for_stop
from workers.sampler import Sampler

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)

Learning = Literal["auto", "shadow", "off"]
"""Whether learned weights serve by themselves, are only measured, or nothing is learned."""

MOST_WAITING: Final = 100
"""Samples that wait for the learner: some 20 MB at most."""

_ACTOR: Final = "learner"
_TURN_SEC: Final = 0.2
_AWAY_SEC: Final = 1.0
_SAVE_SEC: Final = 5.0
_FOLLOW_SEC: Final = 1.0
_STANDBY_SEC: Final = 2.0
# A process without a partition sees no events: another one may learn instead.
_IDLE_SEC: Final = 60.0
_GAUGES: Final = (metrics.RANKING_HIT_RATE, metrics.RANKING_NDCG, metrics.RANKING_MRR, metrics.RANKING_TESTS)
# Of the driver, and `DependencyDown` for a file of the URL that cannot be read just now, such as a certificate.
_ERRORS: Final = (DependencyDown, *DRIVER_ERRORS)


class LearnerTask:
    """`run` is the supervised task. The consumer takes samples with `sampler`, and offers them."""

    def __init__(self, database: Database, sampler: Sampler, learning: Learning) -> None:
        self._database = database
        self.sampler = sampler
        self._learning = learning
        self._waiting: deque[RankingSample] = deque()

    def offer(self, samples: Iterable[RankingSample]) -> None:
        """Of events that are committed. What does not fit is dropped, and counted."""
        for sample in samples:
            if len(self._waiting) == MOST_WAITING:
                metrics.LEARNER_SAMPLES.labels("full").inc()
            else:
                self._waiting.append(sample)

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while not stop.is_set():
            try:
                await self._stand_by(stop, progress)
            except _ERRORS as error:
                reason = error.reason if isinstance(error, DependencyDown) else describe(error)
                progress.beat(f"waiting: postgres: {reason}")
                await wait_for_stop(stop, _AWAY_SEC)

    async def _stand_by(self, stop: asyncio.Event, progress: Progress) -> None:
        """Learns whenever nobody else does. Raises the driver's errors."""
        connection = await self._database.listen()
        try:
            await ranking_models.end_when_frozen(connection)
            while not stop.is_set():
                if await ranking_models.take_lock(connection):
                    await self._learn(connection, stop, progress)
                    await ranking_models.free_lock(connection)
                    progress.beat("stands by: it had no samples, and another process may learn")
                else:
                    _clear_gauges()
                    progress.beat("stands by: another process learns, or a session that this one lost is still open")
                await wait_for_stop(stop, _STANDBY_SEC)
        finally:
            _clear_gauges()
            connection.terminate()

    async def _learn(self, connection: "Connection", stop: asyncio.Event, progress: Progress) -> None:
        """Until told to stop, the lock is lost or no samples come. Raises the driver's errors."""
        self._waiting.clear()
        turns = _LearnerTurns(connection, self._learning)
        await turns.load()
        self.sampler.is_active = True
        offered_at = time.monotonic()
        try:
            while not stop.is_set() and time.monotonic() - offered_at < _IDLE_SEC:
                progress.beat(turns.detail)
                while self._waiting:
                    offered_at = time.monotonic()
                    started = time.perf_counter()
                    found = turns.teach(self._waiting.popleft())
                    self.sampler.budget.took(time.perf_counter() - started)
                    if found is not None:
                        await turns.decide(found)
                    await asyncio.sleep(0)
                await turns.keep_up()
                await wait_for_stop(stop, _TURN_SEC)
            await turns.save()
        finally:
            self.sampler.is_active = False
            self._waiting.clear()


def _clear_gauges() -> None:
    """What another process may show by now. Until one does, figures stay: an alert must hold through quiet minutes."""
    for gauge in _GAUGES:
        gauge.clear()
    metrics.RANKING_VERSION_TESTS.set(0)


class _LearnerTurns:
    """What the process that holds the lock does, on the lock's connection."""

    def __init__(self, connection: "Connection", learning: Learning) -> None:
        self._connection = connection
        self._learning = learning
        self._restarts = 0
        self._saved_at = self._followed_at = 0.0
        self._learner: RankingLearner

    @property
    def detail(self) -> str:
        learner = self._learner
        return f"has learned from {learner.samples} samples; version {learner.serving.version} serves"

    async def load(self) -> None:
        served = await ranking_models.read_served(self._connection)
        stored = await ranking_models.read_learner(self._connection)
        start = START
        if stored.start_from is not None:
            found = await ranking_models.read_weights(self._connection, [stored.start_from])
            start = from_named(found.get(stored.start_from, {}))
        learner = RankingLearner(await self._serving(served), start)
        if stored.state is not None:
            try:
                learner.restore(stored.state)
            except ValueError as error:
                _log.warning("learner_starts_anew", error=describe(error))
        self._learner, self._restarts = learner, stored.restarts
        self._saved_at = time.monotonic()
        self._show()

    def teach(self, sample: RankingSample) -> Verdict | None:
        """What the tests say once it is time to decide, if they say anything."""
        changes = self._learner.changes
        taught = self._learner.teach(sample)
        if self._learner.changes > changes:
            _log.info("drift_found", samples=self._learner.samples)
        metrics.LEARNER_SAMPLES.labels("taught" if taught else "not_finite").inc()
        return self._learner.verdict() if taught and is_due(self._learner.since) else None

    async def keep_up(self) -> None:
        """Saves the state, and follows what an operator chose, when it is time to."""
        now = time.monotonic()
        if now - self._followed_at >= _FOLLOW_SEC:
            self._followed_at = now
            await self._follow(await ranking_models.read_served(self._connection))
        if now - self._saved_at >= _SAVE_SEC:
            await self.save()

    async def save(self) -> None:
        self._saved_at = time.monotonic()
        report = msgspec.json.encode(self._learner.report())
        if not await ranking_models.save_learner(self._connection, self._restarts, self._learner.encode(), report):
            _log.info("learner_restarts", reason="an operator made it start anew")
            await self.load()
        self._show()

    async def decide(self, found: Verdict) -> None:
        await self.save()  # unless an operator made it start anew, and nothing of before may decide
        served = await ranking_models.read_served(self._connection)
        await self._follow(served)
        if self._learning != "auto" or served.pinned or self._learner.since == 0:  # an operator decides, or just did
            return
        figures = msgspec.json.encode(self._learner.figures()).decode()
        version = self._learner.serving.version
        if found.action == "promote":
            done = await ranking_models.promote(
                self._connection,
                named(self._learner.weights),
                found.reason,
                figures,
                instead_of=version,
                actor=_ACTOR,
            )
        elif self._learner.goes_back_to() == "before":
            done = await ranking_models.roll_back(self._connection, found.reason, of=version, actor=_ACTOR)
        else:
            done = await ranking_models.roll_back_to_constants(
                self._connection, FIXED, found.reason, of=version, actor=_ACTOR
            )
        if done is not None:
            _log.info("model_changed", action=found.action, version=done, instead_of=version, reason=found.reason)
            await self._follow(await ranking_models.read_served(self._connection))
            await self.save()

    async def _follow(self, served: ServedModel) -> None:
        if not self._learner.serving.is_still(served.version, _ms(served)):
            self._learner.serves(await self._serving(served))

    async def _serving(self, served: ServedModel) -> Serving:
        before = await ranking_models.read_before(self._connection, served.version)
        weights = from_named(served.weights)
        return Serving(served.version, weights, weights if before is None else from_named(before.weights), _ms(served))

    def _show(self) -> None:
        metrics.RANKING_VERSION_TESTS.set(self._learner.since)
        for name, found in self._learner.figures().items():
            for items, figures in (("all", found.all), ("new", found.new)):
                metrics.RANKING_HIT_RATE.labels(name, items).set(figures.hit_rate)
                metrics.RANKING_NDCG.labels(name, items).set(figures.ndcg)
                metrics.RANKING_MRR.labels(name, items).set(figures.mrr)
                metrics.RANKING_TESTS.labels(items).set(figures.tests)


def _ms(served: ServedModel) -> int:
    return int(served.changed_at.timestamp() * 1000)
