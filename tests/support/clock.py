"""A process that lives at another time than the database."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

# Python imports this at its start.
_CLOCK: Final = """
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {off}
time.time_ns = lambda: _time_ns() + {off} * 1_000_000_000
"""


def off_by(environment: Mapping[str, str], seconds: int, folder: Path) -> dict[str, str]:
    """The environment of a process whose clock is so far ahead; negative: behind. `folder` is its own."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(_CLOCK.format(off=seconds))
    return {**environment, "PYTHONPATH": str(folder)}
