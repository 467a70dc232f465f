"""docs/guarantees.md names every story of tests/faults, and no test that is not there; each waits as it says."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What shows that the suite itself works.
OF_THE_SUITE = {"test_model_finds_a_flaw", "test_same_seed_draws_the_same_rounds"}
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
BOUND = re.compile(r"^\|[^|]*\| (\d+) s \| `(tests/[\w/]+\.py)::(\w+)`", re.MULTILINE)
STORIES = ROOT / "tests" / "faults" / "stories.py"
# The soak has the bounds of its own plan; the others compare what their own constants make the service do.
WAITS_ELSEWHERE = {
    "test_random_faults_of_a_short_soak",
    "test_a_head_without_an_end_is_cut_off",
    "test_a_client_that_asks_on_and_reads_nothing_is_ended_without_an_error",
}


def test_each_test_that_the_page_names_exists() -> None:
    named = NAMED.findall((ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"))
    assert named
    missing = [f"{path}::{name}" for path, name in named if name not in functions(ROOT / path)]
    assert missing == []


def test_each_story_of_a_fault_is_on_the_page() -> None:
    named = {name for _, name in NAMED.findall((ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"))}
    stories = {
        name: path.name
        for path in (ROOT / "tests" / "faults").rglob("test_*.py")
        for name in functions(path)
        if name.startswith("test_")
    }
    assert {name: file for name, file in stories.items() if name not in named | OF_THE_SUITE} == {}


def test_each_bound_of_the_page_is_what_its_test_waits_for() -> None:
    bounds = BOUND.findall((ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8"))
    assert bounds
    waited = {name: set(waits(ROOT / path, name)) for _, path, name in bounds if name not in WAITS_ELSEWHERE}
    assert {name: waited[name] for sec, _, name in bounds if name in waited and int(sec) not in waited[name]} == {}


def waits(path: Path, name: str) -> Iterator[float]:
    """The bounds in seconds of all waits in this function, in those of its module that it calls, and in its stories."""
    known = functions(path)
    constants: dict[str, float] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        match node:
            case ast.AnnAssign(target=ast.Name(id), value=ast.Constant(float() | int() as sec)):
                constants[id] = sec
    for found in ast.walk(known[name]):
        match found:
            case ast.Call(func=ast.Name(id="eventually"), args=[_, bound, *_]) | ast.keyword("within_sec", bound):
                match bound:
                    case ast.Constant(float() | int() as sec):
                        yield sec
                    case ast.Name(id):
                        yield constants[id]
            case ast.Call(func=ast.Name(id)) if id in known and id != name:
                yield from waits(path, id)
            case ast.Attribute(ast.Name("stories"), story):
                yield from waits(STORIES, story)


def functions(path: Path) -> dict[str, ast.AST]:
    if not path.is_file():
        return {}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
