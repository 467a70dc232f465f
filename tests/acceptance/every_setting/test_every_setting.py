"""Each setting has a test, marked `shows`, in which a running service does what the setting says.

Most are in this folder, on one process (`world`). A setting that needs a process of its own has its test elsewhere.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from app.settings import Settings
from tests.acceptance.every_setting.world import World
from tests.support.service import ROOT

HERE: Final = Path(__file__).parent
# Shown by processes that a test of this folder starts beside `world`.
_OTHER_PROCESSES: Final = {"online_cache_enabled", "online_cache_backend"}


def marked(path: Path) -> Iterator[str]:
    """The settings that the tests of a module are marked to show."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.shows":
            yield from (ast.literal_eval(argument) for argument in node.args)


def test_every_setting_has_a_test_that_shows_its_effect() -> None:
    modules = [
        path
        for folder in ("acceptance", "faults", "integration")
        for path in (ROOT / "tests" / folder).rglob("test_*.py")
    ]
    shown = {name for path in modules for name in marked(path)}
    assert shown == {name.upper() for name in Settings.__struct_fields__}


@pytest.mark.parametrize(
    "name", sorted({name.lower() for path in HERE.glob("test_*.py") for name in marked(path)} - _OTHER_PROCESSES)
)
def test_a_setting_that_is_shown_here_has_another_value_than_the_default(world: World, name: str) -> None:
    assert getattr(world.settings, name) != getattr(Settings(database_url=""), name)
