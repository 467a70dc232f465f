"""Compiles the inner loops of the ranking to machine code, which is kept beside the source for the next start."""

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar, cast

from numba import njit

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy"}


def compiled(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compiles a function of numbers and arrays when its module is imported. `signature`: its types, as numba writes
    them.
    """

    def compile_(function: Callable[P, R]) -> Callable[P, R]:
        try:
            found = njit(signature, cache=True, **_OPTIONS)(function)
        except (RuntimeError, OSError):  # no place to keep it, as in a read-only container: at each start
            found = njit(signature, **_OPTIONS)(function)
        return cast("Callable[P, R]", found)

    return compile_
