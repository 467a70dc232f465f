"""The generations of stored sums, and what their parameters make of the model (docs/adr/0037)."""

from typing import TYPE_CHECKING, Final

import structlog

from app.adapters import sql
from app.core.generation import RELEASE, Unsupported, encode_parameters, model_of
from app.core.model import MODEL, Model
from app.errors import DependencyDown

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

_log = structlog.get_logger(__name__)
_SQL: Final = sql.load(__file__)


class ServingGeneration:
    """The generation in Postgres as this process last read it. `model` counts and ranks with its parameters."""

    def __init__(self) -> None:
        self.number = 0
        self.model: Model = MODEL
        self.removals = 0
        """How often items were removed from the tables that serve."""

    async def follow(self, connection: "Connection") -> Model:
        """Reads which generation serves now; returns its model.

        In the transaction that adds to sums, call it after the dedupe rows are written: from then on no other
        generation takes over before the commit. In a new database the parameters of this release become the first
        generation. Raises `DependencyDown` when this release cannot honour the stored parameters.
        """
        number, parameters, self.removals = await _serving(connection)
        if number != self.number:
            try:
                self.model = model_of(parameters)
            except Unsupported as error:
                raise DependencyDown("postgres", f"{unsupported(number)}: {error}. {REMEDY}") from error
            if self.number:
                _log.info("generation_changed", generation=number, before=self.number)
            self.number = number
        return self.model


async def begin_first(connection: "Connection") -> None:
    """Makes sure that a generation serves: in a new database one with the parameters of this release."""
    await _serving(connection)


async def building(connection: "Connection") -> tuple[int, str, str] | None:
    """The generation that is being built: its number, and its parameters and progress as JSON."""
    row = await connection.fetchrow(_SQL["building"])
    return None if row is None else tuple(row)


async def begin_building(connection: "Connection", progress: str) -> None:
    """A generation with the parameters of this release. Another one serves."""
    await connection.execute(_SQL["begin_building"], encode_parameters(RELEASE), progress)


async def set_progress(connection: "Connection", progress: str) -> None:
    await connection.execute(_SQL["set_progress"], progress)


async def drop_building(connection: "Connection") -> None:
    await connection.execute(_SQL["drop_building"])


async def serve_building(connection: "Connection") -> None:
    """In the transaction that swaps the tables."""
    await connection.execute(_SQL["retire"])
    await connection.execute(_SQL["serve"])


async def serving(connection: "Connection") -> tuple[int, str, int] | None:
    """The number of the generation that serves, its parameters as JSON, and how often items were removed from it.

    None until a process begins the first.
    """
    row = await connection.fetchrow(_SQL["serving"])
    return None if row is None else (row[0], row[1], row[2])


def unsupported(number: int) -> str:
    return f"this release cannot count into generation {number} of the stored sums"


REMEDY: Final = (
    "Make sums with the parameters of this release with `reco rebuild`, or run the release that wrote these "
    "(docs/pipeline.md)"
)


async def _serving(connection: "Connection") -> tuple[int, str, int]:
    found = await serving(connection)
    if found is None:
        await connection.execute(_SQL["begin_first"], encode_parameters(RELEASE))
        found = await serving(connection)
        assert found is not None  # written here, or by the process that was first
    return found
