"""The commands of the incident plan are written so that a script can run them, too."""

import re
from pathlib import Path

PLAN = (Path(__file__).parents[2] / "docs" / "incident-plan.md").read_text(encoding="utf-8")


def test_no_command_in_a_container_wants_a_terminal() -> None:
    found = re.findall(r"docker compose exec(.*)", PLAN)
    assert found
    assert [options for options in found if not options.startswith(" -T ")] == []
