"""Which functions no running service ever enters: `scripts/service-coverage` runs it.

Coverage is taken inside the processes that the tests start as `python -m app`. A function counts as entered when one of
them ran a line of its body. `tests/never_entered.toml` names the others, each with the reason; what is neither entered
nor named is to be tested through a running service, or deleted.
"""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from tests.support.service import ROOT

EXCEPTIONS: Final = ROOT / "tests" / "never_entered.toml"
DATA: Final = ROOT / ".reco" / "coverage"
# Commands: a test runs each of them, in a process that is no service.
_COMMANDS: Final = ("load", "importing", "devstack", "commands", "checks", "rebuilding")

Lines = Mapping[Path, frozenset[int]]


def main(arguments: Sequence[str]) -> int:
    """Runs the tests, unless the first argument is `--report`, and prints what is wrong. The exit code."""
    if arguments[:1] != ["--report"]:
        shutil.rmtree(DATA, ignore_errors=True)
        DATA.mkdir(parents=True)
        tests = list(arguments)
        if not any(Path(argument.partition("::")[0]).exists() for argument in arguments):
            tests += [str(path.relative_to(ROOT)) for path in tests_of_processes()]
        environ = {**os.environ, "RECO_SERVICE_COVERAGE": str(DATA / "run")}
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "", "-o", "timeout=600", *tests],
            cwd=ROOT,
            env=environ,
            check=False,
        )
    entered = lines_run(DATA)
    if not entered:
        print("No process wrote what it ran: did a test start a service?", file=sys.stderr)
        return 2
    named, at_times = exceptions(), exceptions("at_times")
    never = {
        name
        for path in modules()
        for name, body in functions(path)
        if not body & entered.get(path, frozenset()) and module_of(name) not in named and name not in at_times
    }
    named = {name: reason for name, reason in named.items() if name not in module_names()}
    for name in sorted(never - named.keys()):
        print(f"never entered: {name}")
    for name in sorted(named.keys() - never):
        print(f"entered, or gone, but named in {EXCEPTIONS.name}: {name}")
    return 0 if never == named.keys() else 1


def tests_of_processes() -> list[Path]:
    """The folders and modules whose tests start the service as a process."""
    using = re.compile(r"^from tests\.support\.service import", re.MULTILINE)
    found = [
        path for path in sorted((ROOT / "tests" / "integration").glob("test_*.py")) if using.search(path.read_text())
    ]
    folders = [ROOT / "tests" / name for name in ("acceptance", "faults", "browser")]
    return [*folders, *found]


def modules() -> list[Path]:
    """The modules that a service may run."""
    found = [*(ROOT / "app").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
    return [path for path in sorted(found) if path.relative_to(ROOT).parts[1] not in _COMMANDS]


def module_names() -> set[str]:
    return {str(path.relative_to(ROOT)) for path in modules()}


def module_of(function: str) -> str:
    return function.partition(":")[0]


def functions(path: Path) -> Iterator[tuple[str, frozenset[int]]]:
    """Each function of a module, as `app/module.py: Class.function`, with the lines of its own body.

    A function without a statement, such as a method of a protocol, is left out.
    """
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for name, node in _named(tree.body, ""):
        body = frozenset(_lines(node.body))
        if body:
            yield f"{path.relative_to(ROOT)}: {name}", body


def lines_run(folder: Path) -> Lines:
    """The lines that any process ran, by module."""
    from coverage import CoverageData

    found: dict[Path, set[int]] = {}
    for file in folder.glob("run.*"):
        data = CoverageData(basename=str(file))
        data.read()
        for module in data.measured_files():
            found.setdefault(Path(module), set()).update(data.lines(module) or ())
    return {module: frozenset(lines) for module, lines in found.items()}


def exceptions(table: str = "never") -> dict[str, str]:
    """The reason by function, or by module for all of its functions."""
    named: dict[str, dict[str, str]] = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))
    return named[table]


def _named(nodes: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in nodes:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + node.name, node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _named(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _named(node.body, prefix)


def _lines(body: Sequence[ast.stmt]) -> Iterator[int]:
    """The first lines of the statements, those of nested functions aside. A docstring and `...` are none."""
    for statement in body:
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
            continue
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from (decorator.lineno for decorator in statement.decorator_list)
            yield statement.lineno
            continue
        yield from range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
