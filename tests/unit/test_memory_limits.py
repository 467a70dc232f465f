"""The limits of memory that we hand out fit what docs/sizes.md says that a process holds with the default settings."""

import re
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from app.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = (ROOT / "docs" / "sizes.md").read_text()
UNITS: Final = {"m": 2**20, "g": 2**30, "Mi": 2**20, "Gi": 2**30}
COLUMNS: Final = {"api": 0, "feature-consumer": 1}


def rows() -> dict[str, list[int]]:
    """The megabytes of each row of the table that adds up."""
    section = PAGE.partition("\n### In all\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\| (.+) \| ([\d,]+) \| ([\d,]+) \|$", section, re.MULTILINE)
    return {what: [int(number.replace(",", "")) for number in numbers] for what, *numbers in lines}


def size(text: str) -> int:
    ((number, unit),) = re.findall(r"^(\d+)(\D+)$", text)
    return int(number) * UNITS[unit]


def limits(name: str) -> list[int]:
    compose: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
    (deployment, *_) = yaml.safe_load_all((ROOT / "ops" / "kubernetes" / f"{name}.yaml").read_text())
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    return [size(compose["services"][name]["mem_limit"]), size(container["resources"]["limits"]["memory"])]


@pytest.mark.parametrize("name", COLUMNS)
def test_total_is_the_sum_and_the_limits_leave_a_tenth_more(name: str) -> None:
    found = rows()
    total = found.pop("**in all**")[COLUMNS[name]]
    assert total == sum(numbers[COLUMNS[name]] for numbers in found.values())
    assert all(limit > 1.1 * total * 10**6 for limit in limits(name))


def test_table_is_about_the_default_settings() -> None:
    assert Settings(database_url="").online_cache_memory_max_keys == 100_000
    assert Settings(database_url="").feature_consumer_members == 2
    assert Settings(database_url="").feature_consumer_max_poll_records == 1_000
    assert Settings(database_url="").ingest_max_pending_events == 10_000
