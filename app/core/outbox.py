"""When to retry an outbox row that Kafka refused, and where the next claim begins."""

import math
from collections import deque
from typing import Final

from app.core.retry import backoff

# While every claim is full, a claim scans from the start this often.
RESTART_AFTER_SEC: Final = 1.0
# Scans from the start take at most a twentieth of the time.
SCAN_PAUSE: Final = 20.0
_MARKS: Final = 16


def retry_delay(attempts: int, *, max_attempts: int, base_sec: float, max_sec: float, chance: float) -> float | None:
    """Seconds until the next try after attempt number `attempts` (from 1) failed; None when it was the last."""
    if attempts >= max_attempts:
        return None
    return backoff(attempts, base_sec=base_sec, max_sec=max_sec, chance=chance)


class ClaimCursor:
    """The id where a claim starts its scan, so that it skips rows that are deleted, rescheduled or claimed by others.

    Index entries of deleted rows remain until vacuum removes them, and as long as an open transaction might see them. A
    claim from the start scans all of them, more and more while that transaction is open. So:

    - A claim after a full one continues behind its last row.
    - A claim after one that was not full, or after an error, begins at the floor: the greatest id that was claimed
      `longest_insert_sec` ago. A transaction that commits a lower id later than that would have been ended.
    - Rows below the floor (rescheduled, released by a relay that died, of a sequence that was set back) are found from
      the start: in place of the floor, but with a pause of 20 times what the last such scan took; and while all claims
      are full, at most once a second.
    - Where all rows of such a claim wait for their partition, newer ones come first for a second. Then the next goes on
      behind them, up to the floor, so that those behind them have their turn, however many wait.

    Times are seconds of a monotonic clock.
    """

    def __init__(self, longest_insert_sec: float) -> None:
        self._longest_insert_sec = longest_insert_sec
        self._after: int | None = None
        """None: at the floor."""
        self._floor = 0
        self._greatest = 0
        self._marks: deque[tuple[float, int]] = deque()
        """When which id was the greatest that had been claimed: the floors to come."""
        self._start = 0
        """Where the next scan begins: at the start, or behind rows below the floor that the last ones have seen."""
        self._end = 0
        """Where these scans end: at the floor of when the first began."""
        self._wants_start = True
        self._scanned_at = -math.inf
        self._no_scan_before = -math.inf
        self._scan_sec = 0.0

    def begin(self, now: float) -> int:
        """The id after which to scan. While one claim scans from the start, others go on where they were."""
        while self._marks and now - self._marks[0][0] >= self._longest_insert_sec:
            self._floor = self._marks.popleft()[1]
        if self.from_start_in(now) > 0:
            return self._place
        self._wants_start, self._scanned_at = False, now
        if self._start == 0:
            self._end = self._floor
        return self._start

    def claimed(self, after_id: int, last_id: int | None, *, full: bool, began: float, now: float) -> None:
        """Records what a claim that began at `began` behind `after_id` has found, and its greatest id."""
        self._scanned(after_id, began, now)
        is_scan = after_id == self._start
        if is_scan:
            self._start = last_id if full and last_id is not None and last_id < self._end else 0
        if last_id is not None:
            self._greatest = max(self._greatest, last_id)
            if not self._marks or now - self._marks[-1][0] >= self._longest_insert_sec / _MARKS:
                self._marks.append((now, self._greatest))
        if not full or last_id is None:
            self._wants_start = True
            if after_id <= self._place:  # else another claim has found rows further down meanwhile
                self._after = None
        elif is_scan:
            self._after = last_id
        elif after_id <= self._place:
            self._after = max(self._place, last_id)

    def gave_up(self, after_id: int, *, began: float, now: float) -> None:
        """Records a claim that took too long."""
        self._scanned(after_id, began, now)
        self.restart()

    def held_up(self, after_id: int, now: float) -> None:
        """Records, after `claimed`, that all its rows wait for what newer ones need not wait for: those come first, and
        others like these in a second.
        """
        if after_id < self._floor:
            self._after = None
            self._no_scan_before = now + RESTART_AFTER_SEC

    def restart(self) -> None:
        """Rows that were claimed are released: the next claims look for them."""
        self._wants_start, self._start = True, 0
        if self._place >= self._floor:
            self._after = None

    def next_in(self, after_id: int, now: float) -> float:
        """Seconds until a claim may find more than the last one, which found less than it asked for behind `after_id`;
        infinite if there is nothing more.
        """
        if after_id == 0:
            return math.inf
        return 0.0 if after_id > self._place else max(0.0, self.from_start_in(now))

    def from_start_in(self, now: float) -> float:
        """Seconds until a claim begins at the start, or goes on from there."""
        pause = SCAN_PAUSE * self._scan_sec
        scan_at = self._scanned_at + (pause if self._wants_start else max(RESTART_AFTER_SEC, pause))
        return max(scan_at, self._no_scan_before) - now

    @property
    def _place(self) -> int:
        return self._floor if self._after is None else self._after

    def _scanned(self, after_id: int, began: float, now: float) -> None:
        if after_id == 0:
            self._scanned_at, self._scan_sec = now, now - began
