"""Marks of the functions that processes of the service enter: a byte each, in one file that all processes map.

A mark is one store into shared memory, so that it costs next to nothing and is kept when its process is killed.
"""

import ast
import builtins
import json
import mmap
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
# Commands: a test runs each of them, in a process that is no service.
_COMMANDS: Final = (
    "cli.py",
    "commands",
    "checks",
    "devstack",
    "exporting",
    "importing",
    "load",
    "rebuilding",
)
_FOLDER: Final = ROOT / ".reco" / "coverage"
_MARKS: Final = _FOLDER / "entered"
_FIRSTS: Final = _FOLDER / "firsts.json"  # the number of the first function, by module
_NAME: Final = "__entered__"

Function = ast.FunctionDef | ast.AsyncFunctionDef


def clear() -> None:
    """No function is marked. Processes that mark are started after this, and their source stays as it is."""
    shutil.rmtree(_FOLDER, ignore_errors=True)
    _FOLDER.mkdir(parents=True)
    firsts, count = {}, 0
    for path in modules():
        firsts[str(path)] = count
        count += len(_functions_of(path))
    _FIRSTS.write_text(json.dumps(firsts), encoding="utf-8")
    _MARKS.write_bytes(bytes(count))


def entered() -> dict[str, bool]:
    """Whether a process has entered it, by function as `app/module.py: Class.function`."""
    return dict(zip(functions(), map(bool, _MARKS.read_bytes()), strict=True))


def functions() -> list[str]:
    """Those that can be marked, each as `app/module.py: Class.function`."""
    return [f"{path.relative_to(ROOT)}: {name}" for path in modules() for name, _ in _functions_of(path)]


def mark() -> None:
    """From now on this process, and what it forks, marks each function of the modules that it imports."""
    with _MARKS.open("r+b") as file:
        setattr(builtins, _NAME, mmap.mmap(file.fileno(), 0))
    sys.meta_path.insert(0, _Finder(json.loads(_FIRSTS.read_text(encoding="utf-8"))))


def modules() -> list[Path]:
    """The modules that a service may run."""
    found = [*(ROOT / "app").rglob("*.py"), *(ROOT / "workers").rglob("*.py")]
    return [path for path in sorted(found) if path.relative_to(ROOT).parts[1] not in _COMMANDS]


class _Finder:
    """The modules of the service, with marks in their functions."""

    def __init__(self, firsts: dict[str, int]) -> None:
        self._firsts = firsts

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in ("app", "workers"):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin in self._firsts:
            spec.loader = _Loader(fullname, spec.origin, self._firsts[spec.origin])
        return spec


class _Loader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, first: int) -> None:
        super().__init__(fullname, path)
        self._first = first

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: cached bytecode has no marks."""
        tree = ast.parse(self.get_data(self.path), self.path)
        for number, (_, function) in enumerate(_functions(tree), self._first):
            where = 1 if ast.get_docstring(function, clean=False) is not None else 0
            stores = ast.parse(f"{_NAME}[{number}] = 1").body[0]
            for node in ast.walk(stores):
                ast.copy_location(node, function.body[where])
            function.body.insert(where, stores)
        code: Any = compile(tree, self.path, "exec", dont_inherit=True)
        return code


def _functions_of(path: Path) -> list[tuple[str, Function]]:
    return list(_functions(ast.parse(path.read_text(encoding="utf-8"))))


def _functions(tree: ast.Module) -> Iterator[tuple[str, Function]]:
    """The functions with a statement of their own, which methods of a protocol do not have, by name."""
    for name, function in _named(tree.body, ""):
        if not all(isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) for node in function.body):
            yield name, function


def _named(nodes: Iterable[ast.stmt], prefix: str) -> Iterator[tuple[str, Function]]:
    for node in nodes:
        if isinstance(node, Function):
            if any("compiled" in ast.unparse(decorator) for decorator in node.decorator_list):
                continue  # to machine code, which knows no mark
            yield prefix + node.name, node
        if isinstance(node, Function | ast.ClassDef):
            yield from _named(node.body, f"{prefix}{node.name}.")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from _named(node.body, prefix)
