"""The profile `monitoring`: Prometheus takes its configuration, finds every service by name and loads the rules."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest
import yaml

from app.devstack.ports import choose
from tests.support.compose import ROOT, Compose

pytestmark = pytest.mark.timeout(600)

JOBS = {"api", "outbox-relay", "feature-consumer"}


class Prometheus:
    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/api/v1"

    def get(self, path: str) -> Any:
        """The data of an answer; None while there is none."""
        try:
            with urlopen(f"{self._url}/{path}", timeout=5) as response:
                return json.loads(response.read())["data"]
        except (URLError, OSError):
            return None

    def up(self) -> dict[str, int]:
        """How many targets of each job answer."""
        found = (self.get("targets?state=active") or {"activeTargets": []})["activeTargets"]
        jobs = [target["labels"]["job"] for target in found if target["health"] == "up"]
        return {job: jobs.count(job) for job in jobs}

    def value(self, query: str) -> dict[str, float]:
        """The values of an instant query, by job."""
        result = (self.get(f"query?query={query}") or {"result": []})["result"]
        return {series["metric"]["job"]: float(series["value"][1]) for series in result}


def has_image() -> bool:
    """Whether Prometheus' image is here, or can be pulled."""
    image = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["prometheus"]["image"]
    return any(
        subprocess.run(["docker", *asked, image], check=False, capture_output=True).returncode == 0
        for asked in (("image", "inspect"), ("pull",))
    )


@pytest.fixture(scope="module")
def prometheus(compose: Compose) -> Iterator[Prometheus]:
    if not has_image():
        pytest.skip("the image of Prometheus is not here and cannot be pulled")
    port = choose()
    compose.run("docker compose --profile monitoring up -d --no-deps prometheus", PROMETHEUS_PORT=str(port))
    try:
        yield Prometheus(port)
    finally:
        compose.run("docker compose --profile monitoring rm -sf prometheus", PROMETHEUS_PORT=str(port))
        compose.run(f"docker volume rm {compose.project}_prometheus")


def test_prometheus_scrapes_every_container_of_the_three_services(compose: Compose, prometheus: Prometheus) -> None:
    compose.wait_until("each job up", lambda: prometheus.up() == dict.fromkeys(JOBS, 1))
    ready = "reco_api_check_status{scope=%22process%22,check=%22ready%22}"
    compose.wait_until("each process ready", lambda: prometheus.value(ready) == dict.fromkeys(JOBS, 1.0))
    scaled = "docker compose up -d --no-deps --scale outbox-relay=%d outbox-relay"
    compose.run(scaled % 2)
    try:
        compose.wait_until(
            "the second relay as well", lambda: prometheus.up() == {**dict.fromkeys(JOBS, 1), "outbox-relay": 2}
        )
    finally:
        compose.run(scaled % 1)


def test_prometheus_evaluates_every_rule(compose: Compose, prometheus: Prometheus) -> None:
    (wanted,) = yaml.safe_load((ROOT / "ops" / "prometheus" / "rules.yml").read_text())["groups"]

    def health() -> dict[str, str]:
        groups = (prometheus.get("rules") or {"groups": []})["groups"]
        return {rule["name"]: rule["health"] for group in groups for rule in group["rules"]}

    expected = {rule["alert"]: "ok" for rule in wanted["rules"]}
    compose.wait_until("every rule evaluated", lambda: health() == expected)


def test_an_alert_of_a_service_that_stops_is_pending(compose: Compose, prometheus: Prometheus) -> None:
    def alerts() -> set[tuple[str, str]]:
        found = (prometheus.get("alerts") or {"alerts": []})["alerts"]
        return {(alert["labels"]["alertname"], alert["labels"].get("job", "")) for alert in found}

    compose.wait_until("outbox-relay up", lambda: prometheus.up().get("outbox-relay") == 1)
    compose.run("docker compose pause outbox-relay")
    try:
        compose.wait_until("RecoDown", lambda: ("RecoDown", "outbox-relay") in alerts())
    finally:
        compose.run("docker compose unpause outbox-relay")
    compose.wait_healthy()
