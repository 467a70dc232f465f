"""`scripts/sbom` names what the image installs."""

import json
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_bill_of_materials_has_each_locked_package_with_its_hashes() -> None:
    done = subprocess.run([ROOT / "scripts" / "sbom"], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    bill = json.loads(done.stdout)
    assert bill["bomFormat"] == "CycloneDX"
    assert (
        bill["metadata"]["component"]["name"] == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["name"]
    )
    locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert {component["name"]: component["version"] for component in bill["components"]} == locked
    for component in bill["components"]:
        assert component["purl"] == f"pkg:pypi/{component['name']}@{component['version']}"
        assert any(reference.get("hashes") for reference in component["externalReferences"])
