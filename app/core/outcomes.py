"""Whether work succeeds, judged by its last outcomes. Times are seconds of any monotonic clock."""

from typing import Final

from msgspec import Struct

# One deadlock or one short lock is no failure of the work.
_FAILURES: Final = 3
# Work that is tried fails at least this often; an older failure says nothing about now.
_VALID_SEC: Final = 10.0
# How long work may be silent before a probe has to tell.
_QUIET_SEC: Final = 5.0
_QUIET_FAILING_SEC: Final = 1.0


class Outcomes(Struct):
    """The outcomes of one kind of work since it last succeeded. `error`: of the last failure."""

    failures: int = 0
    first_failed_at: float = 0.0
    last_at: float | None = None
    error: str = ""

    def worked(self, now: float) -> None:
        self.failures = 0
        self.last_at = now

    def failed(self, now: float, error: str) -> None:
        if self.failures == 0:
            self.first_failed_at = now
        self.failures += 1
        self.last_at = now
        self.error = error

    def failing(self, now: float) -> bool:
        """True after three failures in a row, of which the last is at most 10 s old."""
        return self.failures >= _FAILURES and self.last_at is not None and now - self.last_at <= _VALID_SEC

    def quiet(self, now: float) -> bool:
        """True when no work has told its outcome for 5 s, or for 1 s after a failure: time for a probe."""
        return self.last_at is None or now - self.last_at >= (_QUIET_FAILING_SEC if self.failures else _QUIET_SEC)
