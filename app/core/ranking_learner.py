"""Learns the ranking from samples, after each contender has been tested on them: nobody is tested on what it knows."""

from typing import Final, Literal

import msgspec
import numpy as np
from msgspec import Struct, structs

from app.core.learning import Learner, starting_from
from app.core.named_weights import NamedWeights, from_named, named
from app.core.paired_learner import Gain, PairedLearner, learn_paired, paired_from
from app.core.promotion import LEAST_TESTS, Verdict, goes_back_to, verdict
from app.core.ranking_samples import RankingSample, places
from app.core.rolling_figures import CONTENDERS, Contender, RankingFigures, RollingFigures
from app.core.weights import FIXED, POPULARITY, START, Weights


class Serving(Struct, frozen=True):
    """The version that serves, and the weights that served before it. `since_ms`: when it began to serve, which may be
    the second time.
    """

    version: int
    weights: Weights
    before: Weights
    since_ms: int = 0

    def is_still(self, version: int, since_ms: int) -> bool:
        return (self.version, self.since_ms) == (version, since_ms)


class ContenderFigures(Struct, frozen=True):
    """Of all tests, and of those whose item was new to the user."""

    all: RankingFigures
    new: RankingFigures


class LearnerReport(Struct, frozen=True):
    """For who asks how the learner does. `tests`: since the version that serves began to serve. `suggests`: what the
    figures say, which is done at the next look, unless an operator decides what serves. `version`: what served when the
    learner said so; the rest is of that one.
    """

    samples: int
    tests: int
    weights: NamedWeights
    figures: dict[Contender, ContenderFigures]
    suggests: Verdict | None
    version: int


def report_of(stored: bytes | str | None, version: int) -> LearnerReport:
    """The stored report, as JSON, of the version that serves. Without tests and figures where it is of another one, and
    where another release has written it.
    """
    nothing = LearnerReport(0, 0, {}, {}, None, version)
    if stored is None:
        return nothing
    try:
        found = msgspec.json.decode(stored, type=LearnerReport)
    except msgspec.DecodeError:
        return nothing
    return found if found.version == version else structs.replace(nothing, samples=found.samples)


class RankingLearner:
    """`since`: tests since the served version began to serve. `samples`: how many have taught so far."""

    def __init__(self, serving: Serving, start: Weights = START) -> None:
        self._serving = serving
        self._learner: PairedLearner = paired_from(start)
        self._rolling = RollingFigures()
        self.since = 0

    @property
    def weights(self) -> Weights:
        return self._learner.weights

    @property
    def samples(self) -> int:
        return self._learner.steady.events

    @property
    def changes(self) -> int:
        """How often users changed so much that learning went on in larger steps, by this process."""
        return self._learner.changes

    @property
    def serving(self) -> Serving:
        """What serves, as far as the learner knows."""
        return self._serving

    def serves(self, serving: Serving) -> None:
        """What serves from now on. Its figures begin anew: for decisions at once, for reports with enough tests."""
        if not serving.is_still(self._serving.version, self._serving.since_ms):
            self.since = 0
        self._serving = serving

    def teach(self, sample: RankingSample) -> bool:
        """Tests all contenders on the sample, then learns from it. False: it is not finite, and was not used."""
        if not np.isfinite(sample.features).all():
            return False
        serving = self._serving
        contenders = [serving.weights, self._learner.weights, FIXED, POPULARITY, serving.before]
        self._rolling.add(places(sample, contenders), is_new=sample.is_new)
        self.since += 1
        if sample.chosen is not None:
            learn_paired(self._learner, sample.features, sample.chosen, sample.size, stands_for=sample.stands_for)
        return True

    def verdict(self) -> Verdict | None:
        """What the figures say should be done; None: leave what serves."""
        return verdict(self._rolling, self.since)

    def goes_back_to(self) -> Literal["before", "fixed"]:
        """Where a rollback leads, by the figures."""
        return goes_back_to(self._rolling, self.since)

    def report(self) -> LearnerReport:
        return LearnerReport(
            self.samples, self.since, named(self.weights), self.figures(), self.verdict(), self._serving.version
        )

    def figures(self) -> dict[Contender, ContenderFigures]:
        """Over the window. Of what serves alone, once it has had enough tests: not of the versions before it."""
        rolling, last = self._rolling, self.since if self.since >= LEAST_TESTS else self._rolling.tests
        return {
            name: ContenderFigures(rolling.figures(name, last=last), rolling.figures(name, new_only=True, last=last))
            for name in CONTENDERS
        }

    def encode(self) -> bytes:
        """The state, by the names of the features."""
        places_, new = self._rolling.encode()
        steady, quick, gain = self._learner.steady, self._learner.quick, self._learner.gain
        return _encoder.encode(
            _State(
                named(steady.weights),
                named(steady.squares),
                steady.events,
                self._serving.version,
                self.since,
                CONTENDERS,
                places_,
                new,
                named(quick.weights),
                named(quick.squares),
                (gain.mean, gain.variance, gain.samples),
                self._serving.since_ms,
            )
        )

    def restore(self, data: bytes) -> None:
        """Goes on from an encoded state. Raises `ValueError` if `data` is none; nothing has changed then."""
        state = _decoded(data)
        steady = _restored(state.weights, state.squares, state.events)
        # A release before the quick learner left none.
        quick = _restored(state.quick_weights or state.weights, state.quick_squares, state.events)
        rolling = RollingFigures()
        if state.contenders == CONTENDERS:
            rolling.restore(state.places, state.new)
        self._learner = PairedLearner(steady, quick, Gain(*state.gain))
        self._rolling = rolling
        # Another version may have served meanwhile, while nobody learned. A release before this one left no time.
        since_ms = state.serves_since_ms or self._serving.since_ms
        is_the_same = self._serving.is_still(state.version, since_ms) and state.contenders == CONTENDERS
        self.since = state.since if is_the_same else 0


def learned_in(data: bytes) -> Weights:
    """The weights in an encoded state. Raises `ValueError` if `data` is none."""
    state = _decoded(data)
    return _restored(state.weights, state.squares, state.events).weights


def _decoded(data: bytes) -> "_State":
    try:
        return _decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ValueError(f"not the state of a learner: {error}") from error


def _restored(weights: NamedWeights, squares: NamedWeights, events: int) -> Learner:
    """Raises `ValueError` if some numbers are not finite."""
    first = starting_from(START)
    found = Learner(from_named(weights), np.maximum(from_named(squares, first.squares), first.squares), events)
    if not (np.isfinite(found.weights).all() and np.isfinite(found.squares).all()):
        raise ValueError("not the state of a learner: some numbers are not finite")
    return found


class _State(Struct, array_like=True):
    weights: NamedWeights
    squares: NamedWeights
    events: int
    version: int
    since: int
    contenders: tuple[str, ...]
    places: bytes
    new: bytes
    quick_weights: NamedWeights = {}
    quick_squares: NamedWeights = {}
    gain: tuple[float, float, int] = (0.0, 0.0, 0)
    serves_since_ms: int = 0


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_State)
