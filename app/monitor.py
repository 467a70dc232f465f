"""Probes each dependency twice a second, and records its state and since when."""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import anyio
import structlog
from msgspec import Struct, structs

from app import metrics
from app.errors import DependencyDown, UserError, describe
from app.health import DependencyState, DependencyStatus, Requirement
from app.supervisor import Progress, wait_for_stop

_log = structlog.get_logger(__name__)

_EVERY_SEC: Final = 0.5
_DEADLINE_SEC: Final = 3.0


class Dependency(Struct, frozen=True):
    """`probe` returns when the dependency works; otherwise it raises `DependencyDown` or `UserError`.

    `need` is asked each time. None: the dependency is not in use, and it is neither probed nor shown.
    """

    name: str
    probe: Callable[[], Awaitable[None]]
    need: Callable[[], Requirement | None]


class Monitor:
    """`run` is the supervised task `health-probe`; `report` returns the latest states."""

    def __init__(self, dependencies: Sequence[Dependency]) -> None:
        self._dependencies = dependencies
        self._entries = {
            dependency.name: DependencyStatus(state="starting", since=_now(), last_progress=None, need="required")
            for dependency in dependencies
        }

    def report(self) -> dict[str, DependencyStatus]:
        needs = {dependency.name: dependency.need() for dependency in self._dependencies}
        return {
            name: structs.replace(entry, need=need)
            for name, entry in self._entries.items()
            if (need := needs[name]) is not None
        }

    async def run(self, stop: asyncio.Event, progress: Progress) -> None:
        async with anyio.create_task_group() as group:
            for dependency in self._dependencies:
                group.start_soon(self._watch, dependency, stop, progress)

    async def _watch(self, dependency: Dependency, stop: asyncio.Event, progress: Progress) -> None:
        while not stop.is_set():
            if dependency.need() is None:
                self._forget(dependency)
                progress.beat()
                await wait_for_stop(stop, _EVERY_SEC)
                continue
            started = time.perf_counter()
            try:
                # Not a scope of anyio: a probe may hold a pooled connection, which is given back in an await (ADR 22).
                async with asyncio.timeout(_DEADLINE_SEC):
                    await dependency.probe()
            except DependencyDown as error:
                self._turn(dependency, "down", error.reason)
            except (TimeoutError, UserError) as error:
                self._turn(dependency, "down", describe(error))
            else:
                self._turn(dependency, "up", None, (time.perf_counter() - started) * 1000)
            progress.beat()
            await wait_for_stop(stop, _EVERY_SEC)

    def _forget(self, dependency: Dependency) -> None:
        self._entries[dependency.name] = DependencyStatus(
            state="starting", since=_now(), last_progress=None, need="required"
        )
        with contextlib.suppress(KeyError):
            metrics.API_CHECK.remove("dependency", dependency.name)

    def _turn(
        self, dependency: Dependency, state: DependencyState, error: str | None, latency_ms: float | None = None
    ) -> None:
        before = self._entries[dependency.name]
        if before.state != state:
            log = _log.info if state == "up" else _log.warning
            log("dependency", name=dependency.name, state=state, error=error)
        self._entries[dependency.name] = DependencyStatus(
            state=state,
            since=before.since if before.state == state else _now(),
            last_progress=_now() if state == "up" else before.last_progress,
            need="required",
            latency_ms=None if latency_ms is None else round(latency_ms, 2),
            error=error,
        )
        metrics.API_CHECK.labels("dependency", dependency.name).set(state == "up")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
