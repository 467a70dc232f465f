"""Candidates with their scores, what a user does not get again, and the best candidates in order."""

from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

from app.core.history import seen_hash
from app.core.item_index import ItemIndex, Scores, highest


class Exclusions(Struct, frozen=True):
    """What the user has and does not get again: `item_ids`, and the items whose `seen_hash` is in `seen_hashes`, but
    for those in `repeatable`. The two sets of items share none.
    """

    item_ids: Collection[str] = frozenset()
    seen_hashes: frozenset[int] = frozenset()
    repeatable: Collection[str] = ()

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.item_ids or (bool(self.seen_hashes) and not self.unseen([item_id]))

    def unseen(self, item_ids: Sequence[str]) -> list[str]:
        """Without those that the hashes exclude."""
        seen_hashes, repeatable = self.seen_hashes, self.repeatable
        return [item_id for item_id in item_ids if item_id in repeatable or seen_hash(item_id) not in seen_hashes]


NO_EXCLUSIONS: Final = Exclusions()


class Candidates:
    """Items with scores above 0. `best` sorts no more of them than are asked for."""

    __slots__ = ("_found", "_index", "_sums", "exclusions")

    def __init__(self, index: ItemIndex, sums: Scores, exclusions: Exclusions = NO_EXCLUSIONS) -> None:
        """`sums`: the scores by item number, from `index.sums`; already 0 for `exclusions.item_ids`."""
        self._index = index
        self._sums = sums
        self._found: dict[str, float] = {}
        self.exclusions = exclusions

    def best(self, count: int) -> list[str]:
        """The `count` best candidates in order, or all if there are fewer."""
        exclusions = self.exclusions
        wanted = count
        while True:
            found = self._highest(wanted)
            complete = len(found) < wanted
            if exclusions.seen_hashes:
                found = exclusions.unseen(found)
            if complete or len(found) >= count:
                return found[:count]
            wanted *= 4

    def _highest(self, count: int) -> list[str]:
        """Of equal scores the lesser id comes first: item numbers differ from process to process."""
        numbers = highest(self._sums, count)
        scores = self._sums.take(numbers)
        order = scores.argsort()[::-1]
        item_ids = [self._index.ids[number] for number in numbers.take(order).tolist()]
        found = dict(zip(item_ids, scores.take(order).tolist(), strict=True))
        if len(set(found.values())) < len(found):  # which is rare, and sorting by both takes longer than all the rest
            found = dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))
        self._found = found
        return list(found)[:count]

    def score(self, item_id: str) -> float:
        """0 for an item that is not a candidate."""
        score = self._found.get(item_id)
        if score is None:
            number = self._index.find(item_id)
            score = 0.0 if number is None else float(self._sums[number])
        return score

    def scores(self, item_ids: Sequence[str]) -> list[float]:
        try:
            return list(map(self._found.__getitem__, item_ids))
        except KeyError:  # one that `best` did not reach: pinned, explored, or of the catalogue
            return list(map(self.score, item_ids))
