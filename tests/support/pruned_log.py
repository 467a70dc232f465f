"""A played log whose pairs are pruned now and then, as the service prunes the table of pairs.

`python -m tests.support.pruned_log FILE.csv` compares it with a log that keeps all pairs (columns user_id, item_id,
ts_ms, event_type).
"""

import csv
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from app.core import rankers
from app.core.evaluation import Score, Trial, play
from app.core.folded_pairs import FoldedPairs
from app.core.item_features import SUMS
from app.core.item_index import ItemIndex
from app.core.item_table import ItemTable
from app.core.messages import ClickMessage, Message, PurchaseMessage, ViewMessage
from app.core.neighbours import evidence
from app.core.pair_bounds import NO_FLOOR, ItemEnd, judge_pairs
from app.core.pair_lists import PairLists
from app.core.played_log import PlayedLog
from app.core.signals import DAY_MS, LANDMARK_MS

_FREQUENCY, _EVENTS = SUMS.index("frequency"), SUMS.index("events")
_CHOSEN = {"purchase": PurchaseMessage, "click": ClickMessage, "view": ViewMessage}


class PrunedPairs(PairLists):
    """Judges the pairs of all items whenever `every` events were added. `most`: the most pairs that there were."""

    def __init__(self, index: ItemIndex, table: ItemTable, *, kept: int, young_ms: int, every: int) -> None:
        super().__init__(index)
        self._table = table
        self._kept = kept
        self._young_ms = young_ms
        self._every = every
        self._added = 0
        self._made_ms: list[int] = []
        self._floors: dict[int, float] = {}
        self.most = 0

    @property
    def stored(self) -> int:
        return sum(made_ms > 0 for made_ms in self._made_ms)

    @property
    def ever(self) -> int:
        return len(self._row_of)

    def add(self, pairs: FoldedPairs) -> None:
        super().add(pairs)
        self._made_ms += [0] * (self.ever - len(self._made_ms))
        numbers = self._index.number(pairs.ids)
        for first, second in zip(numbers[pairs.one].tolist(), numbers[pairs.other].tolist(), strict=True):
            row = self._row_of[first, second]
            self._made_ms[row] = self._made_ms[row] or self._table.log_ms
        self._added += 1
        if self._added % self._every == 0:
            self.most = max(self.most, self.stored)
            for item in range(len(self.changes)):
                if len(self._others[item]) > self._kept:
                    self._prune(item, self._table.log_ms)

    def _prune(self, item: int, now_ms: int) -> None:
        others, rows = np.array(self._others[item], np.int32), np.array(self._rows[item], np.int32)
        second = rows < 0
        rows[second] = -1 - rows[second]
        made_ms = np.array([self._made_ms[row] for row in rows])
        there = made_ms > 0
        others, rows, second, made_ms = others[there], rows[there], second[there], made_ms[there]
        sums, ends, own = self._sums[rows], self._table.sums(others), self._table.sums(np.array([item], np.int32))
        judged = judge_pairs(
            ItemEnd(own[:, _FREQUENCY], own[:, _EVENTS]),
            ItemEnd(ends[:, _FREQUENCY], ends[:, _EVENTS]),
            weights=sums[:, 0],
            follows=np.where(second, sums[:, 3], sums[:, 2]),
            followed=np.where(second, sums[:, 2], sums[:, 3]),
            floors=np.array([self._floors.get(other, NO_FLOOR) for other in others.tolist()]),
            young=made_ms > now_ms - self._young_ms,
            kept=self._kept,
            evidence=evidence(now_ms),
        )
        self._floors[item] = judged.floor
        for row in rows[judged.pruned].tolist():
            self._sums[row] = 0.0
            self._made_ms[row] = 0


class PrunedLog(PlayedLog):
    def __init__(self, *, kept: int, young_ms: int, every: int) -> None:
        super().__init__()
        self.pairs = self._pairs = PrunedPairs(self.index, self.table, kept=kept, young_ms=young_ms, every=every)


def scores(messages: Sequence[Message], log: PlayedLog) -> dict[str, Score]:
    trial = Trial({"learned": rankers.learning(), "fixed": rankers.unchanged(rankers.FIXED)}, vsknn=False)
    trial._log = log
    for _ in play(messages, trial, last=0.2):
        pass
    return trial.scores()


def read(path: Path) -> list[Message]:
    """The log, moved so that it ends at the landmark."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    moved = LANDMARK_MS - int(rows[-1]["ts_ms"])
    return [
        _CHOSEN[row["event_type"]](
            v=1,
            event_id="x" * 8,
            user_id=row["user_id"],
            session_id="s",
            ts_ms=int(row["ts_ms"]) + moved,
            received_ms=int(row["ts_ms"]) + moved,
            item_id=row["item_id"],
        )
        for row in rows
    ]


def main(paths: Iterable[str], kept: int, young_days: float) -> None:
    for path in paths:
        messages = read(Path(path))
        whole, pruned = PlayedLog(), PrunedLog(kept=kept, young_ms=int(young_days * DAY_MS), every=2_000)
        for name, log in (("all", whole), ("pruned", pruned)):
            for ranking, score in scores(messages, log).items():
                print(f"{Path(path).stem:10s} {name:7s} {ranking:8s} {score.all.hit_rate:.4f} / {score.all.ndcg:.4f}")
        pairs = pruned.pairs
        print(f"  {len(pruned.items)} items x {kept}: {pairs.stored:,} of {pairs.ever:,} pairs, at most {pairs.most:,}")


if __name__ == "__main__":
    main(sys.argv[3:], int(sys.argv[1]), float(sys.argv[2]))
