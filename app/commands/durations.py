"""Ages on the command line: 90s, 10m, 2h, 7d."""

import re
from typing import Any, Final

import click

_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_PATTERN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")


class Duration(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.4 on
    """Seconds, as float."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        match = _PATTERN.fullmatch(str(value).strip())
        if match is None:
            self.fail(f"{value!r} is not an age; write 90s, 10m, 2h or 7d", param, ctx)
        return float(match[1]) * _UNITS[match[2]]
