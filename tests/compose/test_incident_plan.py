"""Every command of the incident plan, in its order, against the stack."""

import re
import shutil
from typing import Final

import pytest

from tests.support.compose import ROOT, Compose

pytestmark = pytest.mark.timeout(900)

_BLOCK: Final = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PLAN: Final = (ROOT / "docs" / "incident-plan.md").read_text(encoding="utf-8")

# As an operator knows them from before this plan was written.
KNOWN_FROM_BEFORE: Final = (
    "docker compose ps",
    "docker compose logs --tail 200 api",
    "docker compose logs --tail 200 outbox-relay",
    "docker compose logs --tail 200 feature-consumer",
    "curl -fsS http://localhost:8080/healthz | jq",
    "curl -fsS http://localhost:8080/readyz | jq",
    "python src/replay_outbox.py --limit 1000",
    "python src/replay_feature_consumer_dlq.py --status pending --limit 100",
    "docker compose up -d --no-deps api outbox-relay feature-consumer",
)


def commands() -> list[str]:
    return [line for block in _BLOCK.findall(PLAN) for line in block.splitlines() if line.strip()]


def test_every_command_works_as_written(compose: Compose) -> None:
    for tool in ("jq", "curl", "python"):
        if shutil.which(tool) is None:
            pytest.skip(f"the plan's commands use {tool}, which is not installed")
    found = commands()
    assert set(KNOWN_FROM_BEFORE) <= set(found)
    for command in found:
        compose.wait_until("/readyz answers", lambda: compose.request("GET", "/readyz")[0] == 200)
        compose.run(command.replace("localhost:8080", f"localhost:{compose.port}"))
    compose.wait_healthy()
    assert compose.sql("SELECT count(*) FROM event_outbox WHERE status = 'dead'") == "0"
