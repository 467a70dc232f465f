"""Each alert fires on what the running service exports during the fault that the alert is for, and not before."""

import json
import shutil
import subprocess
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.acceptance.every_metric.recording import Recording, Scrape, Series, selected, selectors
from tests.support.service import ROOT

pytestmark = pytest.mark.slow

PROMETHEUS: Final = ROOT / "ops" / "prometheus"
RULES: Final[dict[str, str]] = {
    rule["alert"]: rule["expr"] for rule in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"][0]["rules"]
}
# The step of the recording in which the fault of the alert happens.
FAULTS: Final = {
    "RecoNotReady": "outage",
    "RecoProcessNotReady": "outage",
    "RecoKafkaDown": "kafka away",
    "RecoRedisDown": "redis away",
    "RecoCacheChosen": "cache chosen",
    "RecoErrorBudgetFast": "postgres",
    "RecoErrorBudgetSlow": "postgres",
    "RecoRecommendationsSlow": "redis",
    "RecoOutboxDead": "dead rows",
    "RecoOutboxOld": "old rows",
    "RecoRelayErrors": "kafka",
    "RecoConsumerLag": "behind",
    "RecoFeaturesLate": "lag",
    "RecoDeadLetters": "messages",
    "RecoDeadLettersMany": "old rows",
    "RecoDeadLettersOld": "old rows",
    "RecoTaskRestarts": "crash",
    "RecoTaskFails": "outage",
    "RecoEventsUncounted": "uncounted",
    "RecoTopicSettings": "topic wrong",
    "RecoDatabaseErrors": "postgres",
    "RecoTransactionOld": "old transaction",
    "RecoRankingBehind": "ranking behind",
}
# What is recorded is a process with all roles. These are about no process that answers, and about one without the API.
NOT_RECORDED: Final = {"RecoDown", "RecoWorkersNotReady"}
# By how much the age of what was recorded grows in a minute.
AGES: Final = {"reco_database_oldest_transaction_seconds": 60}
_MINUTES: Final = 400


def queries() -> list[tuple[str, str]]:
    found = list(RULES.items())
    for path in sorted((ROOT / "ops" / "grafana" / "dashboards").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            found += [(f"{path.stem}: {panel['title']}", target["expr"]) for target in panel["targets"]]
    return found


def test_every_alert_has_a_fault_that_it_is_for() -> None:
    assert FAULTS.keys() | NOT_RECORDED == RULES.keys()


@pytest.mark.parametrize(("where", "query"), queries())
def test_every_query_finds_series_of_the_running_service(recording: Recording, where: str, query: str) -> None:
    for name, matchers in selectors(query):
        labels = ", ".join(f'{label}{how}"{text}"' for label, how, text in matchers if label not in ("job", "instance"))
        assert any(selected(f"{name}{{{labels}}}", series) for series in recording.seen), f"{where}: {name}{{{labels}}}"


def test_alerts_fire_during_their_faults_and_not_before(recording: Recording, tmp_path: Path) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt install prometheus)")
    healthy = recording.steps["refusals"][0]
    cases = [case("traffic alone", FAULTS, healthy, healthy, fires=False)]
    for step in sorted(set(FAULTS.values())):
        alerts = [alert for alert in FAULTS if FAULTS[alert] == step]
        cases.append(case(step, alerts, *recording.steps[step], fires=True))
    tests = {"rule_files": [str(PROMETHEUS / "rules.yml")], "evaluation_interval": "5m", "tests": cases}
    file = tmp_path / "recorded.yml"
    file.write_text(yaml.safe_dump(tests))
    done = subprocess.run(["promtool", "test", "rules", str(file)], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def case(step: str, alerts: Collection[str], before: Scrape, after: Scrape, *, fires: bool) -> dict[str, Any]:
    """What was recorded goes on for hours: a gauge stays as it was, a counter grows each minute as in the step."""
    series = [entry for entry in before.keys() | after.keys() if any(selected(RULES[alert], entry) for alert in alerts)]
    ages = AGES if fires else {}
    return {
        "name": f"{', '.join(alerts)} during {step}",
        "interval": "1m",
        "input_series": [{"series": text(one), "values": values(one, before, after, ages)} for one in series],
        "promql_expr_test": [
            {
                "expr": f'(count(ALERTS{{alertname="{alert}", alertstate="firing"}}) or vector(0)) > bool 0',
                "eval_time": f"{_MINUTES - 10}m",
                "exp_samples": [{"labels": "{}", "value": int(fires)}],
            }
            for alert in alerts
        ],
    }


def values(series: Series, before: Scrape, after: Scrape, ages: Mapping[str, int]) -> str:
    name, _ = series
    first, last = before.get(series, 0.0), after.get(series, 0.0)
    if name.endswith(("_total", "_bucket", "_count", "_sum")):
        return f"{first:f}+{last - first:f}x{_MINUTES}"
    return f"{last:f}+{ages.get(name, 0)}x{_MINUTES}"


def text(series: Series) -> str:
    name, labels = series
    pairs = {**dict(labels), "job": "api", "instance": "a:8080"}
    return name + "{" + ", ".join(f'{label}="{value}"' for label, value in sorted(pairs.items())) + "}"
