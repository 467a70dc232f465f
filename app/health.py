"""What `/healthz` and `/readyz` say: one entry per task of the role and per dependency it needs."""

from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

TaskState = Literal["starting", "running", "failing", "restarting", "wedged", "stopped"]
DependencyState = Literal["starting", "up", "down"]
Requirement = Literal["required", "degrades"]
Time = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


class TaskStatus(Struct, kw_only=True):
    """One supervised task. `need` is what its absence does to the process, as with a dependency.

    A task that is `failing` runs, but its last pieces of work have failed; `error` says how. Times are ISO 8601, UTC.
    """

    state: TaskState
    since: Time
    last_progress: Time | None
    restarts: int
    need: Requirement
    detail: str | None = None
    error: str | None = None


class DependencyStatus(Struct, kw_only=True):
    """One dependency. Without one that is `required` the process is not ready, without another it is degraded."""

    state: DependencyState
    since: Time
    last_progress: Time | None
    need: Requirement
    latency_ms: float | None = None
    error: str | None = None


class ProcessInfo(Struct, kw_only=True):
    """The process that answers. `revision`: the commit it was built from, or `unknown`."""

    pid: int
    version: str
    revision: str


class CacheStatus(Struct, kw_only=True):
    """The backend of the cache of histories in use. Without `chosen_by` it is that of ONLINE_CACHE_BACKEND; otherwise
    an operator chose it with `reco cache use`.
    """

    backend: Literal["redis", "memory"]
    chosen_by: str | None = None
    since: Time | None = None


class Readiness(Struct, kw_only=True):
    """The body of `/readyz`; `ready` decides between 200 and 503. `cache` is null if ONLINE_CACHE_ENABLED is false."""

    status: Literal["ready", "degraded", "unavailable", "draining"]
    ready: bool
    role: list[str]
    process: ProcessInfo
    tasks: dict[str, TaskStatus]
    dependencies: dict[str, DependencyStatus]
    cache: CacheStatus | None


def summarize(
    role: Sequence[str],
    process: ProcessInfo,
    tasks: dict[str, TaskStatus],
    dependencies: dict[str, DependencyStatus],
    cache: CacheStatus | None = None,
    *,
    draining: bool,
) -> Readiness:
    """Ready when every required task runs and every required dependency is up; degraded when another is not."""
    missing = {task.need for task in tasks.values() if task.state != "running"}
    missing |= {entry.need for entry in dependencies.values() if entry.state != "up"}
    ready = "required" not in missing and not draining
    if draining:
        status: Literal["ready", "degraded", "unavailable", "draining"] = "draining"
    elif not ready:
        status = "unavailable"
    else:
        status = "degraded" if missing else "ready"
    return Readiness(
        status=status,
        ready=ready,
        role=sorted(role),
        process=process,
        tasks=tasks,
        dependencies=dependencies,
        cache=cache,
    )
