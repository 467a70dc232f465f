"""The flow of events as the console draws it: five stages, each with its state, and what to do where one is broken."""

from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

StageName = Literal["api", "outbox", "kafka", "features", "cache"]
StageState = Literal["ok", "degraded", "down", "unknown"]
STAGES: Final[tuple[StageName, ...]] = ("api", "outbox", "kafka", "features", "cache")

# By box, how the names of its tasks begin.
_TASKS: Final[Mapping[StageName, tuple[str, ...]]] = {
    "api": (
        "http-server",
        "ingest-",
        "health-probe",
        "change-feed",
        "erasure-feed",
        "warm-up",
        "histories",
        "sla-window",
        "refused-keys",
    ),
    "outbox": ("outbox-relay",),
    "features": ("feature-consumer",),
    "cache": ("cache-switch",),
}

# From these on, what waits is shown as a fault. The alerts RecoOutboxOld and RecoConsumerLag have longer patience.
_OLD_MS: Final = 30_000.0
_LONG_LAG: Final = 10_000


class Advice(Struct, frozen=True):
    """What the incident plan says in a sentence, and the title of its section."""

    text: str
    section: str


POSTGRES_DOWN: Final = Advice(
    "Events are refused with 503 until Postgres is back; clients send them again. Look at its log, disk and "
    "connections, and start it.",
    "API not ready",
)
API_BROKEN: Final = Advice("`reco doctor` checks each dependency and says what to do.", "API not ready")
KAFKA_DOWN: Final = Advice(
    "The API goes on accepting events, and they wait in the outbox. Find out why Kafka is down, and start it.",
    "Kafka is down",
)
OUTBOX_OLD: Final = Advice(
    "Check that Kafka runs and has the topics, and that a relay runs; more relays publish faster.",
    "Outbox backlog or dead rows growing",
)
ROWS_DEAD: Final = Advice(
    "Kafka refused these messages too often. Find the cause in their errors, then send them again.",
    "Outbox backlog or dead rows growing",
)
LAGGING: Final = Advice(
    "Check that a consumer runs and that its dependencies are up; more consumers count faster.", "Consumer lag growing"
)
LETTERS: Final = Advice(
    "Some messages cannot be counted. Open one to see its error; replay them once the cause is gone.",
    "Consumer lag growing",
)
TASK_FAILS: Final = Advice("The error says what its work failed with.", "The work of a task fails")
REDIS_DOWN: Final = Advice(
    "Answers stay correct: histories come from Postgres. Start Redis, or use memory until it is back.", "Redis is down"
)


class Counts(Struct, frozen=True):
    """What was done so far, of all processes; rates are differences of two of them."""

    accepted: int
    published: int
    counted: int


class Backlogs(Struct, frozen=True):
    """What waits or has failed. `oldest_ms`: the age of the oldest row that waits."""

    pending: int
    oldest_ms: float
    dead: int
    dead_letters: int


class Faults(Struct, frozen=True):
    """Errors of this process by dependency and by task; a dependency that it does not use is not in `uses`."""

    uses: frozenset[str]
    dependencies: Mapping[str, str]
    tasks: Mapping[str, str]


class FlowStage(Struct, frozen=True, kw_only=True):
    """One box. `rate`: events a second, of the cache reads of this process. `backlog`: what waits there. `failed`: dead
    rows or dead letters. Null: not known here.
    """

    name: StageName
    state: StageState = "ok"
    rate: float | None = None
    backlog: int | None = None
    age_ms: float | None = None
    failed: int | None = None
    error: str | None = None
    advice: Advice | None = None


def stages(
    rates: Mapping[str, float | None],
    backlogs: Backlogs | None,
    faults: Faults,
    *,
    buffered: int,
    lag: int | None,
    event_age_ms: float | None,
) -> list[FlowStage]:
    """The boxes, in the order of the flow. `lag`: messages in Kafka that are not counted; None: no consumer here."""
    return [
        _api(rates, faults, buffered),
        _outbox(rates, backlogs, faults),
        _kafka(rates, backlogs, faults, lag),
        _features(rates, backlogs, faults, event_age_ms),
        _cache(rates, faults),
    ]


def _api(rates: Mapping[str, float | None], faults: Faults, buffered: int) -> FlowStage:
    stage = FlowStage(name="api", rate=rates.get("api"), backlog=buffered)
    broken = _task_error(faults, "api")
    if "postgres" in faults.dependencies:
        return _with(stage, "degraded", "refuses events while Postgres is down", POSTGRES_DOWN)
    return stage if broken is None else _with(stage, "degraded", broken, API_BROKEN)


def _outbox(rates: Mapping[str, float | None], backlogs: Backlogs | None, faults: Faults) -> FlowStage:
    stage = FlowStage(
        name="outbox",
        rate=rates.get("outbox"),
        backlog=None if backlogs is None else backlogs.pending,
        age_ms=None if backlogs is None else backlogs.oldest_ms,
        failed=None if backlogs is None else backlogs.dead,
    )
    if (error := faults.dependencies.get("postgres")) is not None:
        return _with(stage, "down", f"Postgres: {error}", POSTGRES_DOWN)
    if backlogs is not None and backlogs.dead:
        dead = "1 row is dead" if backlogs.dead == 1 else f"{backlogs.dead:,} rows are dead"
        return _with(stage, "degraded", dead, ROWS_DEAD)
    if backlogs is not None and backlogs.oldest_ms > _OLD_MS:
        return _with(stage, "degraded", "rows wait to be published", OUTBOX_OLD)
    if (error := _task_error(faults, "outbox")) is not None and "kafka" not in faults.dependencies:
        return _with(stage, "degraded", error, TASK_FAILS)
    return stage


def _kafka(rates: Mapping[str, float | None], backlogs: Backlogs | None, faults: Faults, lag: int | None) -> FlowStage:
    error = faults.dependencies.get("kafka")
    # While Kafka is down, the lag is that of when it last answered.
    stage = FlowStage(name="kafka", rate=rates.get("kafka"), backlog=lag if error is None else None)
    if error is not None:
        return _with(stage, "down", f"Kafka: {error}", KAFKA_DOWN)
    if lag is not None and lag > _LONG_LAG:
        return _with(stage, "degraded", "messages wait to be counted", LAGGING)
    # A process without relay and consumer has no connection to Kafka, so that only what waits for it tells.
    unknown = "kafka" not in faults.uses and (backlogs is None or backlogs.oldest_ms > _OLD_MS)
    return _with(stage, "unknown", None, None) if unknown else stage


def _features(
    rates: Mapping[str, float | None], backlogs: Backlogs | None, faults: Faults, event_age_ms: float | None
) -> FlowStage:
    letters = None if backlogs is None else backlogs.dead_letters
    stage = FlowStage(name="features", rate=rates.get("features"), age_ms=event_age_ms, failed=letters)
    if (error := faults.dependencies.get("postgres")) is not None:
        return _with(stage, "down", f"Postgres: {error}", POSTGRES_DOWN)
    if (error := _task_error(faults, "features")) is not None and "kafka" not in faults.dependencies:
        return _with(stage, "degraded", error, TASK_FAILS)
    if letters:
        waiting = "1 dead letter waits" if letters == 1 else f"{letters:,} dead letters wait"
        return _with(stage, "degraded", f"{waiting} for a decision", LETTERS)
    return stage


def _cache(rates: Mapping[str, float | None], faults: Faults) -> FlowStage:
    stage = FlowStage(name="cache", rate=rates.get("cache"))
    if (error := faults.dependencies.get("redis")) is not None:
        return _with(stage, "down", f"Redis: {error}", REDIS_DOWN)
    error = _task_error(faults, "cache")
    return stage if error is None else _with(stage, "degraded", error, TASK_FAILS)


def has_box(task: str) -> bool:
    """Whether an error of this task is shown at one of the boxes."""
    return any(task.startswith(names) for names in _TASKS.values())


def _task_error(faults: Faults, stage: StageName) -> str | None:
    return next((f"{name}: {error}" for name, error in faults.tasks.items() if name.startswith(_TASKS[stage])), None)


def _with(stage: FlowStage, state: StageState, error: str | None, advice: Advice | None) -> FlowStage:
    return FlowStage(
        name=stage.name,
        state=state,
        rate=stage.rate,
        backlog=stage.backlog,
        age_ms=stage.age_ms,
        failed=stage.failed,
        error=error,
        advice=advice,
    )
