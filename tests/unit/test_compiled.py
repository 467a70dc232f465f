"""Machine code is kept: where it was made once, a start compiles nothing, also where nothing can be written."""

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.service import ROOT

# Refuses to open files of the project for writing, as the image's read-only root does; numba counts what it compiles.
START: Final = """
import os, sys

def refuse(event, args):
    if event == "open" and str(args[0]).startswith({root!r}) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        raise OSError(30, "read-only file system", args[0])

sys.dont_write_bytecode = True
sys.addaudithook(refuse)
try:
    open({root!r} + "/app/core/__pycache__/probe", "w")
except OSError as error:
    print(error.strerror)

from numba.core.dispatcher import Dispatcher
{imports}
for name, module in list(sys.modules.items()):
    for function in vars(module).values() if name.startswith("app.") else ():
        if isinstance(function, Dispatcher):
            print(function.__name__, sum(function.stats.cache_misses.values()))
"""


def compiling_modules() -> set[str]:
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "app").rglob("*.py")
        if any(
            isinstance(node, ast.ImportFrom) and node.module == "app.core.compiled"
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        )
    }


@pytest.mark.slow
def test_a_start_without_a_place_to_write_compiles_nothing() -> None:
    imports = "\n".join(f"import {name}" for name in sorted(compiling_modules()))
    subprocess.run([sys.executable, "-c", imports], cwd=ROOT, check=True)
    started = [sys.executable, "-c", START.format(root=str(ROOT), imports=imports)]
    output = subprocess.run(started, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    refused, *functions = output.splitlines()
    assert refused == "read-only file system"
    compiled = dict(line.split() for line in functions)
    assert {"gather", "score", "_added_up"} <= set(compiled)
    assert set(compiled.values()) == {"0"}


def test_an_import_of_events_starts_without_the_loops() -> None:
    code = "import sys, app.commands.import_; print('numba' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True) == "False\n"


def test_installation_and_image_compile_every_module_that_has_loops() -> None:
    for path in ("scripts/bootstrap.py", "Dockerfile"):
        made = re.search(r'"import (app\.core\.[\w., ]+)"', (ROOT / path).read_text(encoding="utf-8"))
        assert made is not None, path
        assert set(made[1].split(", ")) == compiling_modules(), path


def test_image_compiles_for_the_processor_that_it_starts_with() -> None:
    text = Path(ROOT / "Dockerfile").read_text(encoding="utf-8")
    build, run = text.split("\nFROM ")[1:]
    assert "NUMBA_CPU_NAME=generic" in build
    assert "NUMBA_CPU_NAME=generic" in run
