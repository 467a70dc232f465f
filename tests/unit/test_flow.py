"""What the console draws of the flow: which box is broken, why, and what the incident plan says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from app.core import flow
from app.core.flow import Advice, Backlogs, Faults, FlowStage, stages

PLAN: Final = Path(__file__).resolve().parents[2] / "docs" / "incident-plan.md"
QUIET: Final = Backlogs(pending=3, oldest_ms=40.0, dead=0, dead_letters=0)
RATES: Final = {"api": 5.0, "outbox": 5.0, "kafka": 4.0, "features": 4.0, "cache": 9.0}
EVERYTHING: Final = frozenset({"postgres", "kafka", "redis"})


def drawn(
    backlogs: Backlogs | None = QUIET,
    dependencies: Mapping[str, str] = {},
    tasks: Mapping[str, str] = {},
    uses: frozenset[str] = EVERYTHING,
    lag: int | None = 0,
) -> dict[str, FlowStage]:
    faults = Faults(uses, dependencies, tasks)
    found = stages(RATES, backlogs, faults, buffered=1, lag=lag, event_age_ms=80.0)
    assert [stage.name for stage in found] == list(flow.STAGES)
    return {stage.name: stage for stage in found}


def test_flow_that_works_has_figures_and_no_error() -> None:
    found = drawn()
    assert {stage.state for stage in found.values()} == {"ok"}
    assert (found["outbox"].backlog, found["outbox"].age_ms, found["features"].age_ms) == (3, 40.0, 80.0)
    assert [stage.rate for stage in found.values()] == list(RATES.values())


@pytest.mark.parametrize(
    ("dependency", "down"), [("postgres", {"outbox", "features"}), ("kafka", {"kafka"}), ("redis", {"cache"})]
)
def test_dependency_that_is_down_is_red_where_it_is(dependency: str, down: set[str]) -> None:
    found = drawn(None if dependency == "postgres" else QUIET, {dependency: "refused"}, {"outbox-relay": "no Kafka"})
    assert {name for name, stage in found.items() if stage.state == "down"} == down
    for name in down:
        assert "refused" in str(found[name].error)
        assert found[name].advice is not None
    assert (found["kafka"].backlog is None) == (dependency == "kafka")


@pytest.mark.parametrize(
    ("backlogs", "stage"),
    [
        (Backlogs(0, 0.0, 2, 0), "outbox"),
        (Backlogs(9, 90_000.0, 0, 0), "outbox"),
        (Backlogs(0, 0.0, 0, 7), "features"),
    ],
)
def test_what_failed_or_waits_long_needs_a_look(backlogs: Backlogs, stage: str) -> None:
    found = drawn(backlogs)
    assert {name for name, entry in found.items() if entry.state == "degraded"} == {stage}


@pytest.mark.parametrize(
    ("task", "stage"),
    [
        ("ingest-buffer", "api"),
        ("outbox-relay", "outbox"),
        ("feature-consumer-2", "features"),
        ("cache-switch", "cache"),
    ],
)
def test_task_that_fails_shows_at_its_stage(task: str, stage: str) -> None:
    found = drawn(tasks={task: "it broke"})
    assert {name for name, entry in found.items() if entry.state == "degraded"} == {stage}
    assert found[stage].error == f"{task}: it broke"


def test_tasks_of_the_roles_have_a_box_or_are_told_beside() -> None:
    assert flow.has_box("feature-consumer-2")
    assert [name for name in ("maintenance", "learner", "otlp-metrics") if flow.has_box(name)] == []


def test_kafka_is_unknown_to_a_process_without_it_once_rows_wait() -> None:
    uses = frozenset({"postgres", "redis"})
    assert drawn(uses=uses, lag=None)["kafka"].state == "ok"
    assert drawn(Backlogs(9, 90_000.0, 0, 0), uses=uses, lag=None)["kafka"].state == "unknown"
    assert drawn(lag=20_000)["kafka"].state == "degraded"


def test_advice_names_a_section_of_the_incident_plan() -> None:
    titles = {line.removeprefix("## ") for line in PLAN.read_text().splitlines() if line.startswith("## ")}
    advice = [value for value in vars(flow).values() if isinstance(value, Advice)]
    assert advice
    assert {entry.section for entry in advice} <= titles
