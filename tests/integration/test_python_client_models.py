"""The models of `clients/python` are what the OpenAPI document makes of them, and its distribution can be built."""

import ast
import runpy
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Final

from app.settings import Settings
from tests.support.api import serving

CLIENT: Final = Path(__file__).parents[2] / "clients" / "python"
_REMEDY: Final = "run clients/python/generate_models.py as its docstring says, and scripts/check fix"


async def test_models_are_made_from_the_document(settings: Settings) -> None:
    async with serving(settings) as client:
        document = (await client.get("/openapi.json")).json()
    made = runpy.run_path(str(CLIENT / "generate_models.py"))["models_of"](document)
    assert ast.unparse(ast.parse((CLIENT / "reco_client" / "models.py").read_text())) == ast.unparse(ast.parse(made)), (
        _REMEDY
    )


def test_distribution_holds_the_package_and_its_types(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(command, cwd=CLIENT, check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("reco_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"reco_client/{name}" for name in ("__init__.py", "models.py", "testing.py", "py.typed")} <= names
