"""How good are the recommendations? A log is played in time order: predict the next event, then learn it.

The same fold, neighbours and serving core as in production, over dictionaries instead of tables. What production
caches for a while is kept here for as long in the log's time.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from heapq import nlargest
from itertools import islice
from math import log2
from typing import Any, Final

from msgspec import Struct, structs

from app.core import serving
from app.core.catalogue import UNKNOWN
from app.core.exploration import EMPTY_POOL
from app.core.features import NO_HISTORY, History, ItemDelta, fold
from app.core.item_index import ItemIndex
from app.core.messages import ImpressionMessage, Message
from app.core.model import MODEL, Model
from app.core.needs import FALLBACK_LIMIT, CardsOf, FallbackOf, Need, RankingInputs, RankingInputsFor
from app.core.neighbours import NO_NEIGHBOURS, Neighbours, neighbours_of
from app.core.popularity import NO_POPULAR, POPULAR_LIMIT, Popular, popular_of
from app.core.recommendation import RecommendationRequest
from app.core.rules import NO_RULES
from app.core.signals import DAY_MS

# Longer than in production, where both are reloaded within about a second: a log of years would take hours otherwise.
LISTS_KEPT_MS: Final = 10_000
POPULAR_KEPT_MS: Final = 60_000
_CHUNK: Final = 500
# What the ranking has to beat: what is popular, with a half-life of a week.
BASELINE: Final = structs.replace(MODEL, popularity_half_life_ms=7 * DAY_MS, seeds=0)


class Score(Struct, frozen=True):
    """`hit_rate`: share of tests with the right item in the list. `ndcg`: 1 / log2(place + 1) of it, on average.

    `coverage`: share of the known items that were recommended to anybody.
    """

    tests: int
    hit_rate: float
    ndcg: float
    coverage: float


class Memory:
    """What production keeps in Postgres, in memory."""

    def __init__(self, model: Model = MODEL) -> None:
        self._model = model
        self._histories: dict[str, History] = {}
        self._items: dict[str, ItemDelta] = {}
        self._pairs: dict[str, dict[str, float]] = {}
        self._neighbours: dict[str, tuple[int, Neighbours]] = {}
        self._popular: tuple[int, Popular] = (0, NO_POPULAR)
        self._index = ItemIndex()

    @property
    def items(self) -> Collection[str]:
        return self._items.keys()

    def history(self, user_id: str) -> History:
        return self._histories.get(user_id, NO_HISTORY)

    def learn(self, messages: Iterable[Message]) -> None:
        folded = fold(messages, self._histories, self._model)
        self._histories.update(folded.histories)
        for item_id, delta in folded.items.items():
            held = self._items.setdefault(item_id, delta)
            if held is not delta:
                held.add(delta)
        for (a, b), weight in folded.pairs.items():
            for one, other in ((a, b), (b, a)):
                near = self._pairs.setdefault(one, {})
                near[other] = near.get(other, 0.0) + weight

    def recommend(self, user_id: str, *, now_ms: int, k: int) -> list[str]:
        """What the service would answer without rules and new items: a log tells of neither."""
        request = RecommendationRequest(k=k, now_ms=now_ms)
        answering = serving.for_user(self.history(user_id), request, index=self._index, model=self._model)
        found = serving.answer(answering, lambda need: self._fetch(need, now_ms))
        return [item.item_id for item in found.items]

    def _fetch(self, need: Need, now_ms: int) -> Any:
        match need:
            case RankingInputsFor():
                neighbours = {item_id: self._neighbours_of(item_id, now_ms) for item_id in need.seeds}
                return RankingInputs(neighbours, self._popular_at(now_ms), NO_RULES, EMPTY_POOL)
            case CardsOf():
                return dict.fromkeys(need.item_ids, UNKNOWN)
            case FallbackOf():
                return list(islice(reversed(self._items), FALLBACK_LIMIT))
        raise TypeError(f"a log has no {need}")

    def _neighbours_of(self, item_id: str, now_ms: int) -> Neighbours:
        loaded_ms, near = self._neighbours.get(item_id, (now_ms - LISTS_KEPT_MS, NO_NEIGHBOURS))
        if now_ms - loaded_ms < LISTS_KEPT_MS:
            return near
        item = self._items[item_id]
        weights = self._pairs.get(item_id, {})
        pairs = list(weights), list(weights.values()), [self._items[other].frequency for other in weights]
        near = neighbours_of(
            item.frequency, item.repeat_weight, pairs, now_ms=now_ms, index=self._index, model=self._model
        )
        self._neighbours[item_id] = now_ms, near
        return near

    def _popular_at(self, now_ms: int) -> Popular:
        loaded_ms, popular = self._popular
        if now_ms - loaded_ms >= POPULAR_KEPT_MS:
            known = ((item.popularity, item_id) for item_id, item in self._items.items() if item.popularity > 0.0)
            best = nlargest(POPULAR_LIMIT, known)
            rows = [(item_id, popularity) for popularity, item_id in best]
            popular = popular_of(rows, index=self._index, model=self._model)
            self._popular = now_ms, popular
        return popular


class Trial:
    """One model over one log. `test` and `learn` are called in the log's order; `score` says how it went."""

    def __init__(self, model: Model = MODEL, *, k: int = 20) -> None:
        self._memory = Memory(model)
        self._k = k
        self._recommended: set[str] = set()
        self._hits = 0
        self._gain = 0.0
        self._tests = 0

    def learn(self, messages: Sequence[Message]) -> None:
        self._memory.learn(messages)

    def test(self, message: Message) -> None:
        """Is the next item among the `k`? An impression is nothing that a user chose, and tests nothing."""
        if not isinstance(message, ImpressionMessage):
            self._count(message.user_id, [message.item_id], message.ts_ms)

    def test_all(self, user_id: str, item_ids: Sequence[str], now_ms: int) -> bool:
        """One list for all that a user chose from `now_ms` on, in a state that learns no more; NDCG over all of it.

        Users of whom nothing was learnt have no history to be judged by; they are passed over, with False.
        """
        if not self._memory.history(user_id):
            return False
        self._count(user_id, list(dict.fromkeys(item_ids)), now_ms)
        return True

    def score(self) -> Score:
        tests = max(1, self._tests)
        known = max(1, len(self._memory.items))
        return Score(self._tests, self._hits / tests, self._gain / tests, len(self._recommended) / known)

    def _count(self, user_id: str, wanted: Sequence[str], now_ms: int) -> None:
        recommended = self._memory.recommend(user_id, now_ms=now_ms, k=self._k)
        self._recommended.update(recommended)
        places = [place for place, item_id in enumerate(recommended, 1) if item_id in wanted]
        ideal = sum(1.0 / log2(place + 1) for place in range(1, min(self._k, len(wanted)) + 1))
        self._tests += 1
        self._hits += bool(places)
        self._gain += sum(1.0 / log2(place + 1) for place in places) / ideal


def play(messages: Sequence[Message], trial: Trial, *, last: float, frozen: bool = False) -> Iterator[int]:
    """Plays a log (in time order) through a trial, and yields how many events are done.

    The `last` share of it is tested: each event before it is learnt; or, `frozen`, nothing of it is learnt, and each
    user that is known gets one list, at the time of the first event there, for all that follows.
    """
    begin = len(messages) - round(len(messages) * last)
    for start in range(0, begin, _CHUNK):
        trial.learn(messages[start : min(begin, start + _CHUNK)])
        yield min(begin, start + _CHUNK)
    if frozen:
        yield from _play_frozen(messages[begin:], trial, begin)
        return
    for number, message in enumerate(messages[begin:], begin + 1):
        trial.test(message)
        trial.learn([message])
        yield number


def _play_frozen(messages: Sequence[Message], trial: Trial, done: int) -> Iterator[int]:
    chosen: dict[str, list[str]] = {}
    first_ms: dict[str, int] = {}
    for message in messages:
        if not isinstance(message, ImpressionMessage):
            chosen.setdefault(message.user_id, []).append(message.item_id)
            first_ms.setdefault(message.user_id, message.ts_ms)
    for user_id, item_ids in chosen.items():
        trial.test_all(user_id, item_ids, first_ms[user_id])
        done += len(item_ids)
        yield done
