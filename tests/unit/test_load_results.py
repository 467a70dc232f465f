"""From rounds to medians, ratios and drain rates; conditions on them; the report."""

import json
from io import StringIO

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from app.errors import UserError
from app.load import plan as plans
from app.load import report, thresholds
from app.load.jobs import Series
from app.load.latency import Latencies
from app.load.plan import Plan
from app.load.requests import Endpoint
from app.load.results import MedianRange, Results, Sample, drain_rate, median_range, values_of
from app.load.store import CheckResult
from app.load.workload import Shape

PLAN = Plan(
    url=None,
    headers=(),
    layout="all",
    api_processes=1,
    scenarios=("single", "reco"),
    rounds=3,
    seconds=1.0,
    connections=4,
    batch_clients=2,
    shape=Shape(users=10, items=10, history=1, seed=1),
    rate=100.0,
    k=20,
    backlog=1000,
    baselines=True,
    check=True,
)
GOOD = CheckResult(sent=10, accepted=9, refused=0, unknown=1, stored=10, consumed=10, violations=[])


def results_of(**rates: list[float]) -> Results:
    results = Results()
    for row, values in rates.items():
        for value in values:
            results.add(row.replace("_", "."), Sample(values={"rate": value, "p99": value / 10}))
    return results


def test_medians_go_with_least_and_greatest() -> None:
    assert results_of(single=[3.0, 1.0, 2.0]).median_range("single", "rate") == MedianRange(2.0, 1.0, 3.0)
    assert results_of(single=[3.0]).median_range("reco", "rate") is None
    assert median_range([]) is None


def test_a_ratio_is_taken_round_by_round() -> None:
    # The machine was half as fast in the second round: both halves slow down and the ratio stays.
    results = results_of(single=[600.0, 300.0, 700.0], baseline_post=[1000.0, 500.0, 1000.0])
    assert results.ratio("single", "rate", "baseline.post", "rate") == MedianRange(0.6, 0.6, 0.7)


def test_an_unknown_row_or_field_is_refused() -> None:
    with pytest.raises(ValueError, match="no such row"):
        Results().add("singel", Sample(values={"rate": 1.0}))
    with pytest.raises(ValueError, match="no such row"):
        Results().add("single", Sample(values={"speed": 1.0}))


def recorded(seconds: list[float]) -> str:
    latencies = Latencies()
    for value in seconds:
        latencies.record(value)
    return latencies.encoded()


def test_values_of_a_series_are_per_second_of_the_window() -> None:
    series = Series(seconds=2.0, requests=3, good=300, latency=recorded([0.0001, 0.000127, 0.000127]))
    assert values_of(series) == {"rate": 150.0, "p50": 0.127, "p95": 0.127, "p99": 0.127, "p999": 0.127}
    assert values_of(Series(seconds=1.0)) == {"rate": 0.0}


@given(
    rate=st.floats(min_value=100, max_value=50_000),
    start=st.floats(min_value=0, max_value=3),
    total=st.integers(min_value=20_000, max_value=500_000),
)
def test_the_drain_rate_is_that_of_the_drain_alone(rate: float, start: float, total: int) -> None:
    times = [index / 4 for index in range(int((start + total / rate) * 4) + 3)]
    samples = [(at, min(float(total), max(0.0, (at - start) * rate))) for at in times]
    found, slope = drain_rate(samples, total)
    moving = [count for _, count in samples if 0 < count < total]
    if len(moving) >= 6:
        assert found == pytest.approx(rate)
        assert slope == pytest.approx(1.0)
    else:
        assert rate / 5 <= found <= rate * 1.001
        assert slope is None


def test_a_drain_that_slows_down_has_a_slope() -> None:
    fast = [(float(second), 1000.0 * second) for second in range(5)]
    slow = [(4.0 + 2 * second, 4000.0 + 1000.0 * second) for second in range(1, 5)]
    samples = [*fast, *slow, (13.0, 8500.0)]
    _, slope = drain_rate(samples, 8500)
    assert slope == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("condition", "met"),
    [
        ("single.rate/baseline.post>=0.6", True),
        ("single.rate/floor.post>=0.6", True),
        ("single/baseline.post.rate > 0.6", False),
        ("single.rate >= 600", True),
        ("single.p99<60", False),
        (" baseline.post <= 1000 ", True),
        ("reco>1", False),
        ("single/reco>=0", False),
        ("single.cpu<=100", False),
    ],
)
def test_a_condition_is_met_or_not_by_the_median(condition: str, met: bool) -> None:
    checked = thresholds.evaluate(thresholds.parse(condition), results_of(single=[600.0], baseline_post=[1000.0]))
    assert checked.passed is met


def test_an_unmeasured_condition_is_not_met() -> None:
    checked = thresholds.evaluate(thresholds.parse("reco.p99<1000"), Results())
    assert checked.actual is None
    assert not checked.passed


@pytest.mark.parametrize(
    "condition",
    [
        *("", "single", "single>=", "single>=-1", "single>=1e3", "singel>=1", "single.speed>=1", "single/reco/reco>=1"),
        *("single.rate=>1", "single>=1; reco>=1", "__import__('os')>=1", "single.rate>=0.6 or 1>0", "single>=nan"),
    ],
)
def test_an_invalid_condition_is_refused(condition: str) -> None:
    with pytest.raises(UserError):
        thresholds.parse(condition)


@given(st.text(max_size=40))
def test_any_text_is_a_condition_or_a_user_error(text: str) -> None:
    try:
        found = thresholds.parse(text)
    except UserError:
        return
    assert found.text == text.strip()


def test_the_document_is_json_and_holds_every_value() -> None:
    results = results_of(single=[600.0, 700.0], baseline_post=[1000.0, 1000.0])
    verdicts = [thresholds.evaluate(thresholds.parse("single/baseline.post>=0.6"), results)]
    document = json.loads(msgspec.json.encode(report.document(PLAN, results, verdicts, GOOD)))
    assert document["rows"]["single"]["rate"] == {"median": 650.0, "least": 600.0, "greatest": 700.0}
    assert document["rows"]["single"]["of_baseline"]["median"] == pytest.approx(0.65)
    condition = document["thresholds"][0]
    assert condition == {"condition": "single/baseline.post>=0.6", "actual": pytest.approx(0.65), "passed": True}
    assert document["check"]["violations"] == []
    assert document["passed"] is True


def test_the_values_of_headers_stay_out_of_the_document() -> None:
    headers = (("Authorization", "Bearer s3"),)
    plan = msgspec.structs.replace(PLAN, url=Endpoint("example.com", 443, True, "", headers), headers=headers)
    text = msgspec.json.encode(report.document(plan, Results(), [], None)).decode()
    assert "Authorization" in text
    assert "s3" not in text


def test_the_tables_name_errors_unmet_conditions_and_lost_events() -> None:
    results = results_of(single=[600.0], baseline_post=[1000.0])
    results.add("single", Sample(values={"rate": 1.0}, errors={"503": 12}, first_bodies={"503": '{"detail": "away"}'}))
    verdicts = [thresholds.evaluate(thresholds.parse("single/baseline.post>=0.9"), results)]
    bad = msgspec.structs.replace(GOOD, violations=["3 events accepted, but not stored"])
    out = StringIO()
    Console(file=out, width=160).print(report.tables(PLAN, results, verdicts, bad))
    text = out.getvalue()
    assert "bare Litestar" in text
    assert '12 × 503; the first: {"detail": "away"}' in text
    assert "NOT MET: single/baseline.post>=0.9 (measured 0.6)" in text
    assert "3 events accepted, but not stored" in text


@pytest.mark.parametrize(
    ("errors", "condition", "verdict", "expected"),
    [
        ({}, "single>=1", GOOD, True),
        ({}, "single>=1", None, True),
        ({"503": 1}, "single>=1", GOOD, False),
        ({}, "single>=10", GOOD, False),
        ({}, "single>=1", msgspec.structs.replace(GOOD, violations=["one lost"]), False),
    ],
)
def test_a_run_passes_when_nothing_went_wrong(
    errors: dict[str, int], condition: str, verdict: CheckResult | None, expected: bool
) -> None:
    results = Results()
    results.add("single", Sample(values={"rate": 5.0}, errors=errors))
    verdicts = [thresholds.evaluate(thresholds.parse(condition), results)]
    assert report.passed(results, verdicts, verdict) is expected


def test_options_that_contradict_each_other_are_named() -> None:
    replace = msgspec.structs.replace
    url = Endpoint("127.0.0.1", 8080)
    assert plans.errors(PLAN) == []
    assert "pipeline" in plans.errors(replace(PLAN, url=url, scenarios=("pipeline",)))[0]
    assert "fresh" in plans.errors(replace(PLAN, layout="api", scenarios=("fresh",)))[0]
    assert "--layout" in plans.errors(replace(PLAN, api_processes=2))[0]
    assert "pipeline" not in plans.possible(url, "all")
    assert "fresh" not in plans.possible(None, "api")
    asked_for = {"filter", "rank", "endure"}
    assert plans.possible(None, "all") == tuple(name for name in plans.SCENARIOS if name not in asked_for)
    assert "100 items" in plans.errors(replace(PLAN, scenarios=("rank",), shape=replace(PLAN.shape, items=50)))[0]


def test_a_busy_machine_and_a_generator_at_its_limit_are_pointed_out() -> None:
    def shown(noise: float, generator: float) -> str:
        results = Results()
        results.add("idle", Sample(values={"machine_cpu": noise}))
        results.add("baseline.post", Sample(values={"rate": 1.0, "generator_cpu": generator}))
        out = StringIO()
        Console(file=out, width=160).print(report.tables(PLAN, results, [], None))
        return out.getvalue()

    assert "at rest" not in shown(0.0, 0.3)
    assert "generator was at its own limit" not in shown(0.0, 0.3)
    assert "cores busy at rest" in shown(1000.0, 0.3)
    assert "baseline.post: the generator was at its own limit" in shown(0.0, 0.97)


@pytest.mark.parametrize(("reached", "said"), [(99.0, False), (90.0, True)])
def test_a_rate_that_was_asked_for_and_not_reached_is_pointed_out(reached: float, said: bool) -> None:
    out = StringIO()
    Console(file=out, width=160).print(report.tables(PLAN, results_of(endure=[reached] * 3), [], None))
    assert (f"endure: {reached:,.0f} a second, and not the 100 that were asked for" in out.getvalue()) is said
