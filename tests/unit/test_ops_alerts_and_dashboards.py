"""Alerts, dashboards and the incident plan name metrics, settings and places that exist; every query parses."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml

from app import metrics
from app.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
PROMETHEUS: Final = ROOT / "ops" / "prometheus"
DASHBOARDS: Final = sorted((ROOT / "ops" / "grafana" / "dashboards").glob("*.json"))
PLAN: Final = (ROOT / "docs" / "incident-plan.md").read_text(encoding="utf-8")
RULES: Final[list[dict[str, Any]]] = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][0]["rules"]
CASES: Final[list[dict[str, Any]]] = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]

_METRIC: Final = re.compile(r"\breco_[a-z_]+\b")
_SETTING: Final = re.compile(r"\b(?:[A-Z]+_)+[A-Z]+\b")
_PLAN_METRIC: Final = re.compile(r"\breco_[a-z_]+")
# Of docker compose, of the client commands and of the images, not of the service.
_NOT_SETTINGS: Final = {"RECO_TAG", "RECO_API_KEY"}


def exposed() -> set[str]:
    """The names of all series that `/metrics` can show."""
    names = set()
    for metric in metrics.REGISTRY.collect():
        suffixes = {"counter": ["_total"], "histogram": ["_bucket", "_count", "_sum"]}.get(metric.type, [""])
        names |= {metric.name + suffix for suffix in suffixes}
    return names


def queries() -> list[tuple[str, str]]:
    found = [(rule["alert"], rule["expr"]) for rule in RULES]
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


@pytest.mark.parametrize(("where", "query"), queries())
def test_every_query_asks_for_metrics_that_exist(where: str, query: str) -> None:
    asked = set(_METRIC.findall(query))
    assert asked or "up" in query
    assert asked <= exposed()


def test_the_plan_names_metrics_that_exist() -> None:
    prose = re.sub(r"```.*?```", "", PLAN, flags=re.DOTALL)
    found = set(_PLAN_METRIC.findall(prose))
    assert len(found) > 10
    assert {name for name in found if name not in exposed() and f"{name}_bucket" not in exposed()} == set()


def test_the_plan_names_settings_that_exist() -> None:
    known = {name.upper() for name in Settings.__struct_fields__} | _NOT_SETTINGS
    assert {name for name in _SETTING.findall(PLAN) if name not in known} == set()


def test_the_plan_names_alerts_that_exist_and_all_of_them_lead_into_it() -> None:
    anchors = set(re.findall(r'<a id="([a-z-]+)">', PLAN))
    names = {rule["alert"] for rule in RULES}
    assert set(re.findall(r"`(Reco[A-Za-z]+)`", PLAN)) <= names
    for rule in RULES:
        assert rule["labels"]["severity"] in ("SEV-1", "SEV-2", "SEV-3")
        assert rule["annotations"]["summary"]
        document, anchor = rule["annotations"]["runbook"].split("#")
        assert document == "docs/incident-plan.md"
        assert anchor in anchors


def test_each_alert_is_named_in_the_section_that_it_leads_to() -> None:
    sections = dict(re.findall(r'<a id="([a-z-]+)"></a>\n(.*?)(?=\n## |\Z)', PLAN, re.DOTALL))
    named = {anchor: set(re.findall(r"`(Reco[A-Za-z]+)`", text)) for anchor, text in sections.items()}
    led = {anchor: set() for anchor in sections}
    for rule in RULES:
        led[rule["annotations"]["runbook"].partition("#")[2]].add(rule["alert"])
    assert named == led


def test_the_plan_names_log_lines_that_are_written() -> None:
    sources = [path.read_text() for folder in ("app", "workers") for path in (ROOT / folder).rglob("*.py")]
    written = set(re.findall(r'\b_?log(?:\.\w+)?\(\s*"([a-z_]+)"', "\n".join(sources)))
    found = set(re.findall(r"[Ll]og line `([a-z_]+)`", " ".join(PLAN.split())))
    assert len(found) > 5
    assert found <= written


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    fires = {test["alertname"] for case in CASES for test in case["alert_rule_test"] if test["exp_alerts"]}
    silent = {test["alertname"] for case in CASES for test in case["alert_rule_test"] if not test["exp_alerts"]}
    assert fires == silent == {rule["alert"] for rule in RULES}


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "rules", "rules.yml"],
        ["check", "config", "prometheus.yml"],
        pytest.param(["test", "rules", "rules_test.yml"], marks=pytest.mark.slow),
    ],
)
def test_promtool_agrees(arguments: list[str]) -> None:
    _promtool(arguments)


@pytest.mark.parametrize(("where", "query"), queries())
def test_every_query_parses(where: str, query: str) -> None:
    promql_parser.parse(query.replace("$__rate_interval", "1m"))


def test_an_invalid_query_does_not_parse() -> None:
    with pytest.raises(ValueError, match="unknown"):
        promql_parser.parse("summ(reco_api_requests_total)")


@pytest.mark.parametrize(
    ("board", "needed"),
    [
        (
            "reco-service",
            "reco_api_requests_total reco_api_latency_ms_bucket reco_watch_event_to_feature_latency_ms_bucket",
        ),
        ("reco-service", "reco_api_check_status reco_ingest_events_total reco_database_errors_total"),
        (
            "reco-pipeline",
            "reco_outbox_backlog_events reco_outbox_backlog_oldest_lag_ms reco_outbox_relay_failed_total",
        ),
        ("reco-pipeline", "reco_feature_consumer_partition_lag reco_feature_consumer_dlq_backlog"),
        ("reco-pipeline", "reco_feature_consumer_dlq_events_total"),
        ("reco-recommendations", "reco_kpi_clicked_places reco_kpi_shown_places reco_kpi_items_shown"),
    ],
)
def test_a_dashboard_shows_what_it_is_for(board: str, needed: str) -> None:
    shown = {name for where, query in queries() if where.startswith(f"{board}:") for name in _METRIC.findall(query)}
    assert set(needed.split()) <= shown


def test_rates_of_a_dashboard_suit_any_range() -> None:
    rates = [query for where, query in queries() if ":" in where and "rate(" in query]
    assert rates
    assert all("[$__rate_interval]" in query for query in rates)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_the_panels_of_a_dashboard_do_not_overlap(path: Path) -> None:
    board = json.loads(path.read_text())
    assert board["uid"] == path.stem
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = set()
    for panel in panels:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"]["uid"] == "prometheus"
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        taken = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not taken & cells
        cells |= taken


def _promtool(arguments: list[str]) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    done = subprocess.run(["promtool", *arguments], check=False, cwd=PROMETHEUS, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
