"""Which functions no running service ever enters: `scripts/service-coverage` runs it.

A function counts as entered when a process that the tests started as `python -m app` began to run its body.
`tests/never_entered.toml` names the others, each with the reason; what is neither entered nor named is to be tested
through a running service, or deleted.
"""

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.support import marks
from tests.support.marks import ROOT

EXCEPTIONS: Final = ROOT / "tests" / "never_entered.toml"


def main(arguments: Sequence[str]) -> int:
    """Runs the tests, unless the first argument is `--report`, and prints what is wrong. The exit code."""
    if arguments[:1] != ["--report"]:
        marks.clear()
        tests = list(arguments)
        if not any(Path(argument.partition("::")[0]).exists() for argument in arguments):
            tests += [str(path.relative_to(ROOT)) for path in tests_of_processes()]
        subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-m", "", *tests],
            cwd=ROOT,
            env={**os.environ, "RECO_MARK_ENTERED": "true"},
            check=False,
        )
    entered = marks.entered()
    if not any(entered.values()):
        print("No process entered a function: did a test start a service?", file=sys.stderr)
        return 2
    named, at_times = exceptions("never"), exceptions("at_times")
    modules = {name for name in named if ":" not in name}
    never = {
        name
        for name, is_entered in entered.items()
        if not is_entered and name not in at_times and name.partition(":")[0] not in modules
    }
    named = {name: reason for name, reason in named.items() if name not in modules}
    for name in sorted(never - named.keys()):
        print(f"never entered: {name}")
    for name in sorted(named.keys() - never):
        print(f"entered, or gone, but named in {EXCEPTIONS.name}: {name}")
    if never != named.keys():
        return 1
    print(f"Each of {len(entered)} functions was entered, or is named in {EXCEPTIONS.name}.")
    return 0


def tests_of_processes() -> list[Path]:
    """The folders and modules whose tests start the service as a process."""
    using = re.compile(r"^from tests\.support\.service import", re.MULTILINE)
    found = [
        path for path in sorted((ROOT / "tests" / "integration").glob("test_*.py")) if using.search(path.read_text())
    ]
    folders = [ROOT / "tests" / name for name in ("acceptance", "faults", "browser")]
    return [*folders, *found]


def exceptions(table: str) -> dict[str, str]:
    """The reason by function, or by module for all of its functions."""
    named: dict[str, dict[str, str]] = tomllib.loads(EXCEPTIONS.read_text(encoding="utf-8"))
    return named[table]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
