"""How good are the recommendations? A log is played in time order: predict the next event, then learn it.

The same fold, neighbours, candidates and serving core as in production, over dictionaries instead of tables. Each test
is made by several rankings at once, on the same state, so that they differ in nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from msgspec import Struct, field, structs

from app.core.candidates import Candidates
from app.core.content import COLD_EVENTS, Content
from app.core.messages import ImpressionMessage, Message
from app.core.model import MODEL, Model
from app.core.played_log import NO_CATALOGUE, PlayedLog
from app.core.rankers import Ranker
from app.core.ranking_samples import is_choice
from app.core.rolling_figures import RankingFigures, figures_of
from app.core.sampling import Sampling
from app.core.vsknn import VsKnn
from app.core.weights import size_of

VSKNN: Final = "VS-kNN"

_CHUNK: Final = 500
# The first events of a log teach nothing: there is hardly anything to choose from.
_WARM_UP: Final = 0.05
# Every so many-th event teaches: more take longer and teach hardly more.
_STRIDE: Final = 3


class PartFigures(RankingFigures, frozen=True):
    """`coverage`: the share of the known items that these tests' lists held."""

    coverage: float


class Score(Struct, frozen=True):
    """Figures of all tests, of those whose item was new to the user, and of the others; and of those whose item was
    cold, and of the others. `coverage`: that of all.
    """

    all: PartFigures
    new: PartFigures
    repeated: PartFigures
    cold: PartFigures
    known: PartFigures
    coverage: float


class _Part(Struct):
    """The places, from 1, that the right items had in the lists, 0 for a miss; and the items that the lists held."""

    places: list[int] = field(default_factory=list)
    recommended: set[str] = field(default_factory=set)

    def figures(self, known: int) -> PartFigures:
        return PartFigures(**structs.asdict(figures_of(self.places)), coverage=len(self.recommended) / max(1, known))


class _Parts(Struct):
    """The tests of one ranking."""

    all: _Part = field(default_factory=_Part)
    new: _Part = field(default_factory=_Part)
    repeated: _Part = field(default_factory=_Part)
    cold: _Part = field(default_factory=_Part)
    known: _Part = field(default_factory=_Part)

    def count(self, recommended: Sequence[str], wanted: str, *, is_new: bool, is_cold: bool) -> None:
        place = recommended.index(wanted) + 1 if wanted in recommended else 0
        for part in (self.all, self.new if is_new else self.repeated, self.cold if is_cold else self.known):
            part.places.append(place)
            part.recommended.update(recommended)

    def score(self, known: int) -> Score:
        found = {name: getattr(self, name).figures(known) for name in self.__struct_fields__}
        return Score(**found, coverage=found["all"].coverage)


class Trial:
    """Rankings over one log. `step` is called in the log's order; `scores` says how each did."""

    def __init__(
        self,
        rankers: Mapping[str, Ranker],
        *,
        model: Model = MODEL,
        k: int = 20,
        vsknn: bool = True,
        catalogue: Mapping[str, Content] = NO_CATALOGUE,
    ) -> None:
        """`rankers`: by name. `vsknn`: whether `VSKNN` is played, too. `catalogue`: the content of its items."""
        self._rankers = rankers
        self._log = PlayedLog(model, catalogue)
        self._vsknn = VsKnn() if vsknn else None
        self._sampling = Sampling()
        self._k = k
        self._parts = {name: _Parts() for name in (*rankers, *((VSKNN,) if vsknn else ()))}

    def step(self, message: Message, *, tested: bool, taught: bool) -> None:
        """One event: what would have been recommended instead (`tested`), what the rankers learn from it (`taught`),
        and its counts.

        What says nothing for its item, as an impression or a dislike, is counted, and tests and teaches nothing.
        `VSKNN` knows no difference: a session is all that its user did.
        """
        if is_choice(message):
            user_id, item_id, now_ms = message.user_id, message.item_id, message.ts_ms
            stands_for = self._sampling.takes(user_id, now_ms) if taught else 0.0
            if tested or stands_for:
                candidates, items = self._log.candidates(user_id, now_ms=now_ms)
                if tested:
                    self._test(user_id, item_id, candidates, size_of(items))
                if stands_for:
                    self._teach(item_id, candidates, size_of(items), stands_for)
        if self._vsknn is not None and not isinstance(message, ImpressionMessage):
            self._vsknn.learn(message.user_id, message.item_id)
        self._log.learn([message])

    def scores(self) -> dict[str, Score]:
        return {name: parts.score(len(self._log.items)) for name, parts in self._parts.items()}

    def _test(self, user_id: str, item_id: str, candidates: Candidates, size: int) -> None:
        kind = {"is_new": not self._log.had(user_id, item_id), "is_cold": self._log.events(item_id) < COLD_EVENTS}
        for name, ranker in self._rankers.items():
            recommended = self._log.recommend(user_id, candidates, ranker.weights[size], self._k)
            self._parts[name].count(recommended, item_id, **kind)
        if self._vsknn is not None:
            self._parts[VSKNN].count(self._vsknn.recommend(user_id, self._k), item_id, **kind)

    def _teach(self, item_id: str, candidates: Candidates, size: int, stands_for: float) -> None:
        if (choice := candidates.choice(item_id)) is not None:
            features, chosen = choice
            for ranker in self._rankers.values():
                ranker.learn(features, chosen, size, stands_for)


def play(messages: Sequence[Message], trial: Trial, *, last: float) -> Iterator[int]:
    """Plays a log (in time order) through a trial, and yields how many events are done. The `last` share is tested."""
    begin, warm = _first_tested(messages, last), round(len(messages) * _WARM_UP)
    for number, message in enumerate(messages):
        trial.step(message, tested=number >= begin, taught=number >= warm and number % _STRIDE == 0)
        if number % _CHUNK == 0:
            yield number
    yield len(messages)


def tests_in(messages: Sequence[Message], *, last: float) -> int:
    """How many events of the `last` share test a ranking."""
    return sum(map(is_choice, messages[_first_tested(messages, last) :]))


def _first_tested(messages: Sequence[Message], last: float) -> int:
    return len(messages) - round(len(messages) * last)
