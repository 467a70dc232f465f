"""The package works from where it is installed, not only from a checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from app import build
from app.adapters import migrations

ROOT = Path(__file__).resolve().parents[2]

_SCRIPT = """
import json
from app import build
from app.adapters import migrations, schema_check
texts = {path.stem: path.read_text() for path in sorted(migrations.DIRECTORY.glob("*.sql"))}
print(json.dumps({
    "module": migrations.__file__,
    "checksums": migrations.checksums(migrations.DIRECTORY),
    "errors": schema_check.order_errors(texts),
    "version": build.VERSION,
    "revision": build.current_revision(),
}))
"""


def test_an_installed_wheel_finds_its_own_migrations(tmp_path: Path) -> None:
    installed, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("reco-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    # A folder of the same name where the command runs must not be taken for it.
    (elsewhere / "migrations").mkdir(parents=True)
    (elsewhere / "migrations" / "0001.other.sql").write_text("-- depends:\n")

    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(installed)}
    ended = subprocess.run(
        [sys.executable, "-c", _SCRIPT], cwd=elsewhere, env=environment, check=True, capture_output=True, timeout=60
    )
    found = json.loads(ended.stdout)
    assert found["module"].startswith(str(installed))
    assert found["checksums"] == migrations.checksums(migrations.DIRECTORY)
    assert found["errors"] == []
    assert found["version"] == build.VERSION
    assert found["revision"] == build.UNKNOWN
