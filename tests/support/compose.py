"""An operator at the stack of compose.yaml.

The project has a name of its own, so a stack that is in use on this host is not touched.
"""

import json
import os
import secrets
import subprocess
import time
from collections.abc import Callable
from typing import Any, Final

import httpx
import pytest

from app.devstack.ports import choose, is_free
from tests.support.marks import ROOT

OLD_TAG: Final = "compose-test-old"
NEW_TAG: Final = "compose-test-new"
SERVICES: Final = ("api", "outbox-relay", "feature-consumer", "postgres", "kafka", "redis")


class Compose:
    """Runs commands as an operator would, in the folder of compose.yaml."""

    def __init__(self) -> None:
        self.project = f"reco-test-{secrets.token_hex(3)}"
        self.port = 8080 if is_free(8080, "0.0.0.0") else choose()
        self.environ = {
            **{name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "ROLE")},
            "COMPOSE_PROJECT_NAME": self.project,
            "HTTP_PORT": str(self.port),
            "RECO_IMAGE": "reco",
            "RECO_TAG": OLD_TAG,
            "KAFKA_TOPIC_PARTITIONS": "6",
        }

    def run(self, command: str, *, timeout_sec: float = 180, check: bool = True, **environ: str) -> str:
        """The output of a shell command; fails the test with it when the exit code is not 0."""
        done = subprocess.run(
            ["/bin/bash", "-o", "pipefail", "-c", command],
            check=False,
            cwd=ROOT,
            env=self.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_sec,
        )
        if check and done.returncode != 0:
            pytest.fail(f"exit code {done.returncode} of: {command}\n{done.stdout[-4000:]}")
        return done.stdout

    def containers(self, service: str = "") -> list[dict[str, Any]]:
        """What `docker inspect` says of the project's containers, one-off ones left out."""
        labels = [f"com.docker.compose.project={self.project}", "com.docker.compose.oneoff=False"]
        labels += [f"com.docker.compose.service={service}"] if service else []
        filters = " ".join(f"--filter label={label}" for label in labels)
        ids = self.run(f"docker ps -aq {filters}").split()
        found: list[dict[str, Any]] = json.loads(self.run(f"docker inspect {' '.join(ids)}")) if ids else []
        return found

    def health(self, service: str) -> list[str]:
        return [
            container["State"].get("Health", {}).get("Status", "none")
            if container["State"]["Running"]
            else container["State"]["Status"]
            for container in self.containers(service)
        ]

    def wait_until(self, what: str, holds: Callable[[], bool], timeout_sec: float = 90) -> None:
        """Asks again until it holds: only Docker and the service know when."""
        deadline = time.monotonic() + timeout_sec
        while not holds():
            if time.monotonic() > deadline:
                pytest.fail(f"not within {timeout_sec:g} s: {what}\n{self.run('docker compose ps', check=False)}")
            time.sleep(0.5)

    def wait_healthy(self, **counts: int) -> None:
        """`outbox_relay=2`: so many containers of it, all healthy; one of each service that is not named."""
        for service in SERVICES:
            count = counts.get(service.replace("-", "_"), 1)
            self.wait_until(f"{count} {service} healthy", lambda s=service, n=count: self.health(s) == ["healthy"] * n)

    def request(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Status and JSON; status 0 when there is no answer."""
        try:
            answer = httpx.request(method, f"http://127.0.0.1:{self.port}{path}", json=body, timeout=5)
            return answer.status_code, answer.json() if answer.content else None
        except (httpx.TransportError, ValueError):
            return 0, None

    def sql(self, statement: str) -> str:
        command = f'docker compose exec -T postgres psql -U reco -d reco -qAt -c "{statement}"'
        return self.run(command).strip()
