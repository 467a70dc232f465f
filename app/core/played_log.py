"""What production keeps in Postgres and in its caches, for a log that is played in memory."""

from collections.abc import Collection, Mapping, Sequence
from itertools import islice
from types import MappingProxyType
from typing import Final

import numpy as np
from msgspec import Struct, structs
from numpy.typing import NDArray

from app.core.candidates import Candidates
from app.core.content import Content
from app.core.content_index import NO_CONTENT, ContentIndex
from app.core.features import NO_HISTORY, History, ItemDelta, fold
from app.core.history import HistoryBuilder
from app.core.item_features import SUMS
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.messages import Message
from app.core.model import MODEL, Model
from app.core.needs import FALLBACK_LIMIT
from app.core.neighbours import NO_NEIGHBOURS, ItemSums, Neighbours, neighbours_of
from app.core.pair_lists import FOLLOWS, MET, WEIGHT, PairLists
from app.core.popularity import NO_POPULAR, Popular
from app.core.profile import profile_of
from app.core.ranked import NO_EXCLUSIONS, Exclusions
from app.core.ranking import Ranking
from app.core.signals import DAY_MS

# Longer than in production, where both are reloaded within about a second: a log of years would take hours otherwise.
LISTS_KEPT_MS: Final = 10_000
POPULAR_KEPT_MS: Final = 60_000
# Nor longer than so many events: a log may have days instead of times, or one time for all.
LISTS_KEPT_EVENTS: Final = 20
POPULAR_KEPT_EVENTS: Final = 100
# A list whose item's pairs have hardly changed since is made anew once a day: of thousands of users one changes little.
UNCHANGED_KEPT_MS: Final = DAY_MS
CONTENT_KEPT_EVENTS: Final = 200
_LITTLE_CHANGED: Final = 1.02


NO_CATALOGUE: Final[Mapping[str, Content]] = MappingProxyType({})


class _Kept(Struct):
    """`events`: how many were counted when the list was made; `changes`: how often its item's pairs had changed."""

    neighbours: Neighbours
    at_ms: int
    events: int
    changes: int


class PlayedLog:
    """`learn` counts events; `candidates` and `recommend` find what the service would then: `app.core.serving` with the
    same inputs answers the same, but takes several times as long for several weights.
    """

    def __init__(self, model: Model = MODEL, catalogue: Mapping[str, Content] = NO_CATALOGUE) -> None:
        """`catalogue`: its items, without events."""
        self._model = model
        self._histories: dict[str, History] = {}
        self._items: dict[str, ItemDelta] = {}
        self._neighbours: dict[int, _Kept] = {}
        self._popular: Popular = NO_POPULAR
        self._popular_until = 0
        self._catalogue = dict(catalogue)
        self._content = NO_CONTENT
        self._events = 0
        self._content_until = 0
        self.index = ItemIndex()
        self._pairs = PairLists(self.index)
        self.table = ItemTable(self.index, model)

    @property
    def items(self) -> Collection[str]:
        return self._items.keys() | self._catalogue.keys()

    def events(self, item_id: str) -> int:
        """How often users did anything with the item."""
        item = self._items.get(item_id)
        return 0 if item is None else item.taken

    def history(self, user_id: str) -> History:
        return self._histories.get(user_id, NO_HISTORY)

    def had(self, user_id: str, item_id: str) -> bool:
        builder = HistoryBuilder(self.history(user_id), self._model)
        return bool(builder.held(item_id)) or builder.had(item_id)

    def learn(self, messages: Sequence[Message]) -> None:
        folded = fold(messages, self._histories, self._model)
        self._histories.update(folded.histories)
        for item_id, delta in folded.items.items():
            held = self._items.setdefault(item_id, delta)
            if held is not delta:
                held.add(delta, self._model)
        changed = list(folded.items)
        self._events += len(messages)
        numbers = self.index.number(changed)
        rows = [[getattr(self._items[item_id], name) for name in SUMS] for item_id in changed]
        self.table.update(numbers, np.array(rows, np.float64))
        self._pairs.add(folded.pairs.sums())

    def candidates(self, user_id: str, *, now_ms: int) -> tuple[Candidates, int]:
        """What the service would rank for the user, and how many items the history holds."""
        profile = profile_of(self.history(user_id), self._model, counted=self._model)
        popular = self.popular(now_ms)
        neighbours = {seed.item_id: self.neighbours(seed.item_id, now_ms) for seed in profile.seeds}
        found = Candidates(
            profile, neighbours, popular.numbers, self.table, now_ms=popular.log_ms, content=self.content(now_ms)
        )
        return found, len(profile.latest)

    def recommend(self, user_id: str, candidates: Candidates, weights: NDArray[np.floating], k: int) -> list[str]:
        """What the service would answer without rules and new items: a log tells of neither. `weights`: of the user's
        size of history.
        """
        weights, history = weights.astype(np.float32), self.history(user_id)
        ranking = Ranking(self.index, candidates, weights, self.table.scores_of(candidates.numbers, weights))
        ended = candidates.numbers[candidates.ended_rows()].tolist()
        best = ranking.ranked({}, ended, "learned", NO_EXCLUSIONS).best(k)
        if len(best) < k:
            taken = Exclusions({entry.item_id for entry in history.entries}, frozenset(history.seen_hashes))
            best += [item_id for item_id in self.fallback() if item_id not in taken and item_id not in best]
        return best[:k]

    def fallback(self) -> list[str]:
        """What fills free places: the items that were met last for the first time."""
        return list(islice(reversed(self._items), FALLBACK_LIMIT))

    def neighbours(self, item_id: str, now_ms: int) -> Neighbours:
        number = self.index.find(item_id)
        if number is None:
            return NO_NEIGHBOURS
        kept, changes = self._neighbours.get(number), self._pairs.changes[number]
        if kept is not None and (
            (now_ms - kept.at_ms < LISTS_KEPT_MS and self._events - kept.events < LISTS_KEPT_EVENTS)
            or (changes <= kept.changes * _LITTLE_CHANGED and now_ms - kept.at_ms < UNCHANGED_KEPT_MS)
        ):
            return kept.neighbours
        (numbers, sums), item = self._pairs.of(number), self._items[item_id]
        near = neighbours_of(
            ItemSums(item.frequency, item.events, item.users),
            self.table.pair_sums(numbers, sums[:, WEIGHT], sums[:, MET], sums[:, FOLLOWS]),
            now_ms=now_ms,
            model=self._model,
        )
        self._neighbours[number] = _Kept(near, now_ms, self._events, changes)
        return near

    def content(self, now_ms: int) -> ContentIndex:
        if self._catalogue and self._events >= self._content_until:
            for item_id in self._items.keys() & self._catalogue.keys():
                self._catalogue[item_id] = structs.replace(self._catalogue[item_id], events=self.events(item_id))
            self._content = ContentIndex(self._catalogue, now_ms)
            self._content.number(self.index)
            self._content_until = self._events + CONTENT_KEPT_EVENTS
        return self._content

    def popular(self, now_ms: int) -> Popular:
        if now_ms - self._popular.log_ms >= POPULAR_KEPT_MS or self._events >= self._popular_until:
            self._popular_until = self._events + POPULAR_KEPT_EVENTS
            self.table.refresh(now_ms)
            best = self.table.best(self._model.popular)
            self._popular = Popular(best.tobytes(), self.table.popularity(best).tobytes(), now_ms)
        return self._popular
