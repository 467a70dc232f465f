"""The time that the process goes by: its host's, put right where it is 30 seconds or more off the database's.

Hosts whose clocks are wrong date events alike then. Times are in milliseconds since 1970.
"""

import time
from typing import Final

from app.core.event_times import clock_behind_ms
from app.errors import DependencyDown

# What took longer says too little: the process was stopped meanwhile, or the host's clock was set.
_LONGEST_MS: Final = 1_000


class Clock:
    """`compare` is called with each probe of Postgres. `check` is a probe, too: it raises while the host is wrong."""

    def __init__(self) -> None:
        self._behind_ms = 0

    def now_ms(self) -> int:
        return self.host_ms() + self._behind_ms

    def host_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def compare(self, database_ms: int, *, before_ms: int, after_ms: int) -> None:
        """The database said `database_ms` between the other two times, which are of the host."""
        if 0 <= after_ms - before_ms <= _LONGEST_MS:
            self._behind_ms = clock_behind_ms((before_ms + after_ms) // 2, database_ms)

    def is_wrong(self) -> bool:
        return self._behind_ms != 0

    async def check(self) -> None:
        if self._behind_ms:
            off = f"{abs(self._behind_ms) / 1000:,.0f} s {'behind' if self._behind_ms > 0 else 'ahead of'}"
            raise DependencyDown(
                "clock", f"this host's clock is {off} the database's, which goes for now: set both by NTP"
            )


clock: Final = Clock()
