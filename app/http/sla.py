"""The service levels of the last minutes, from snapshots of metrics that exist anyway: requests pay nothing for it."""

import asyncio
import time
from collections import deque
from typing import Final

from app import metrics
from app.core.sla import WINDOW_SEC, Snapshot
from app.supervisor import Progress, wait_for_stop

_EVERY_SEC: Final = 10.0


class SlaWindow:
    """`run` is the supervised task; `bounds` are the oldest snapshot inside the window and one of now."""

    def __init__(self) -> None:
        self._snapshots = deque([take()], maxlen=int(WINDOW_SEC / _EVERY_SEC) + 1)

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        while not await wait_for_stop(stop, _EVERY_SEC):
            self._snapshots.append(take())
            progress.beat()

    def bounds(self) -> tuple[Snapshot, Snapshot]:
        return self._snapshots[0], take()


def take() -> Snapshot:
    """A snapshot of the latency histogram and the answer counts."""
    calls: dict[str, dict[float, float]] = {}
    for sample in next(iter(metrics.API_LATENCY.collect())).samples:
        if sample.name.endswith("_bucket"):
            calls.setdefault(sample.labels["route"], {})[float(sample.labels["le"])] = sample.value
    families = {
        sample.labels["status_family"]: sample.value
        for sample in next(iter(metrics.API_REQUESTS.collect())).samples
        if sample.name.endswith("_total")
    }
    bounds = tuple(next(iter(calls.values()), ()))
    counts = {route: tuple(buckets.values()) for route, buckets in calls.items()}
    return Snapshot(time.monotonic(), bounds, counts, families)
