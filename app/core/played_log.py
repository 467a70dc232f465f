"""What production keeps in Postgres and in its caches, for a log that is played in memory."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Any, Final

import numpy as np

from app.core import serving
from app.core.candidates import Candidates
from app.core.catalogue import UNKNOWN
from app.core.exploration import EMPTY_POOL
from app.core.features import NO_HISTORY, History, ItemDelta, fold
from app.core.history import HistoryBuilder
from app.core.item_index import ItemIndex
from app.core.item_table import EVENTS, FREQUENCY, SUMS, USERS, ItemTable
from app.core.messages import Message
from app.core.model import MODEL, Model
from app.core.needs import FALLBACK_LIMIT, CardsOf, FallbackOf, Need, RankingInputs, RankingInputsFor
from app.core.neighbours import NO_NEIGHBOURS, ItemSums, Neighbours, PairSums, neighbours_of
from app.core.pair_lists import FOLLOWS, MET, WEIGHT, PairLists
from app.core.popularity import NO_POPULAR, Popular
from app.core.profile import Profile
from app.core.recommendation import RecommendationRequest
from app.core.rules import NO_RULES
from app.core.weights import Weights

# Longer than in production, where both are reloaded within about a second: a log of years would take hours otherwise.
LISTS_KEPT_MS: Final = 10_000
POPULAR_KEPT_MS: Final = 60_000


class PlayedLog:
    """`learn` counts events; `recommend` and `candidates` answer as the service would then."""

    def __init__(self, model: Model = MODEL) -> None:
        self._model = model
        self._histories: dict[str, History] = {}
        self._items: dict[str, ItemDelta] = {}
        self._pairs: list[PairLists] = []
        self._neighbours: dict[int, tuple[int, Neighbours]] = {}
        self._popular: Popular = NO_POPULAR
        self.index = ItemIndex()
        self._table = ItemTable(self.index, model.covisitation_half_life_ms)

    @property
    def items(self) -> Collection[str]:
        return self._items.keys()

    def history(self, user_id: str) -> History:
        return self._histories.get(user_id, NO_HISTORY)

    def had(self, user_id: str, item_id: str) -> bool:
        builder = HistoryBuilder(self.history(user_id))
        return bool(builder.held(item_id)) or builder.had(item_id)

    def learn(self, messages: Iterable[Message]) -> None:
        folded = fold(messages, self._histories, self._model)
        self._histories.update(folded.histories)
        for item_id, delta in folded.items.items():
            held = self._items.setdefault(item_id, delta)
            if held is not delta:
                held.add(delta)
        changed = list(folded.items)
        numbers = self.index.number(changed)
        self._pairs += [PairLists() for _ in range(len(self.index.ids) - len(self._pairs))]
        rows = [[getattr(self._items[item_id], name) for name in SUMS] for item_id in changed]
        self._table.update(numbers, np.array(rows, np.float64))
        for pair, (weight, met, forth, back) in folded.pairs.items():
            one, other = self.index.number(pair).tolist()
            self._pairs[one].add(other, weight, met, forth)
            self._pairs[other].add(one, weight, met, back)

    def recommend(self, user_id: str, weights: Weights, *, now_ms: int, k: int) -> list[str]:
        """What the service would answer without rules and new items: a log tells of neither."""
        request = RecommendationRequest(k=k, now_ms=now_ms)
        answering = serving.for_user(self.history(user_id), request, table=self._table, model=self._model)
        found = serving.answer(answering, lambda need: self._fetch(need, weights, now_ms))
        return [item.item_id for item in found.items]

    def candidates(self, user_id: str, *, now_ms: int) -> tuple[Candidates, int]:
        """What the service would rank for the user, and how many items the history holds."""
        profile = Profile(self.history(user_id), self._model)
        neighbours = {seed.item_id: self._neighbours_of(seed.item_id, now_ms) for seed in profile.seeds}
        popular = self._popular_at(now_ms)
        found = Candidates(profile, neighbours, popular.numbers, self._table, now_ms=now_ms)
        return found, len(profile.latest)

    def _fetch(self, need: Need, weights: Weights, now_ms: int) -> Any:
        match need:
            case RankingInputsFor():
                neighbours = {item_id: self._neighbours_of(item_id, now_ms) for item_id in need.seeds}
                return RankingInputs(neighbours, self._popular_at(now_ms), weights, None, NO_RULES, EMPTY_POOL)
            case CardsOf():
                return dict.fromkeys(need.item_ids, UNKNOWN)
            case FallbackOf():
                return list(islice(reversed(self._items), FALLBACK_LIMIT))
        raise TypeError(f"a log has no {need}")

    def _neighbours_of(self, item_id: str, now_ms: int) -> Neighbours:
        number = self.index.find(item_id)
        if number is None:
            return NO_NEIGHBOURS
        loaded_ms, near = self._neighbours.get(number, (now_ms - LISTS_KEPT_MS, NO_NEIGHBOURS))
        if now_ms - loaded_ms < LISTS_KEPT_MS:
            return near
        pairs, item = self._pairs[number], self._items[item_id]
        others = self._table.sums(pairs.numbers)
        near = neighbours_of(
            ItemSums(item.frequency, item.events, item.users),
            PairSums(
                pairs.numbers,
                pairs.sums[:, WEIGHT],
                pairs.sums[:, MET],
                pairs.sums[:, FOLLOWS],
                others[:, FREQUENCY],
                others[:, EVENTS],
                others[:, USERS],
            ),
            now_ms=now_ms,
            model=self._model,
        )
        self._neighbours[number] = now_ms, near
        return near

    def _popular_at(self, now_ms: int) -> Popular:
        if now_ms - self._popular.log_ms >= POPULAR_KEPT_MS:
            self._table.refresh(now_ms)
            best = self._table.best(self._model.popular)
            self._popular = Popular(best.tobytes(), self._table.popularity(best).tobytes(), now_ms)
        return self._popular
