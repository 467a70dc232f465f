"""docs/guarantees.md names every story of tests/faults, and no test that is not there."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What shows that the suite itself works.
OF_THE_SUITE = {"test_model_finds_a_flaw", "test_same_seed_draws_the_same_rounds"}
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


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


def functions(path: Path) -> set[str]:
    if not path.is_file():
        return set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
