"""What tests are marked to show: `pytest.mark.shows("HTTP_PORT")`, or `shows("reco doctor")` for a command."""

import ast
from collections.abc import Iterator

from tests.support.service import ROOT


def shown(*folders: str) -> set[str]:
    """The arguments of the marker in the modules of these folders of `tests`."""
    return {
        name
        for folder in folders
        for path in (ROOT / "tests" / folder).rglob("test_*.py")
        for name in _marked(path.read_text(encoding="utf-8"))
    }


def _marked(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.shows":
            yield from (ast.literal_eval(argument) for argument in node.args)
