"""Compiles the inner loops of the ranking to machine code, which is kept beside the source for the next start.

A task of Spark may run where only this package was sent to (`reco rebuild --engine spark`). Without numba the loops run
as Python there, with the same result.
"""

from collections.abc import Callable
from typing import Any, Final, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")

_OPTIONS: Final[dict[str, Any]] = {"error_model": "numpy"}

try:
    import numba
    from numba.core.caching import InTreeCacheLocator
except ModuleNotFoundError as error:
    if error.name != "numba":
        raise

    def compiled(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        return lambda function: function

else:

    class BesideSource(InTreeCacheLocator):
        """`__pycache__`, also where it cannot be written, as in the image: numba's own needs to write it."""

        @classmethod
        def from_function(cls, py_func: Any, py_file: str) -> "BesideSource":
            return cls(py_func, py_file)

    cast("Any", numba.config).CACHE_LOCATOR_CLASSES = f"{__name__}.{BesideSource.__name__}"

    def compiled(signature: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Compiles a function of numbers and arrays when its module is imported. `signature`: its types, as numba
        writes them.
        """

        def compile_(function: Callable[P, R]) -> Callable[P, R]:
            try:
                found = numba.njit(signature, cache=True, **_OPTIONS)(function)
            except OSError:  # nothing is kept for this processor, and nothing can be: each start compiles
                found = numba.njit(signature, **_OPTIONS)(function)
            return cast("Callable[P, R]", found)

        return compile_
