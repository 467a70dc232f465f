"""The versions of the ranking's weights, which of them serves, and the learner's state.

A new version or a change of what serves, its announcement to the API processes and its audit row are one transaction.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from app.adapters import audit, changes, sql
from app.adapters.audit import AuditEntry
from app.core.named_weights import NamedWeights, complete, from_named, named
from app.core.weights import Weights

if TYPE_CHECKING:
    from app.adapters.postgres import Connection

Origin: TypeAlias = Literal["start", "learned", "imported"]

KEEP: Final = 500
"""So many versions are kept, the newest; and always what serves, what was imported, the first one, and those that an
experiment names.
"""
NAMED_DAYS: Final = 30
"""For so long a version is kept that the setting `VARIANTS` of a process has named."""

_SQL: Final = sql.load(__file__)
# The key of the advisory lock: any number that nothing else takes. Yoyo's lock is a table.
_LOCK: Final = 7_221_114


class RankingModel(Struct, frozen=True, kw_only=True):
    """A row of `ranking_models`. `served_at`: when it last began to serve; `withdrawn_at`: when it was rolled back."""

    version: int
    created_at: datetime
    weights: NamedWeights
    origin: Origin
    reason: str
    figures: Mapping[str, Any]
    served_at: datetime | None
    withdrawn_at: datetime | None


class ServedModel(Struct, frozen=True, kw_only=True):
    """The version that serves, why, and since when. `pinned`: only an operator changes it."""

    version: int
    created_at: datetime
    weights: NamedWeights
    origin: Origin
    made_because: str
    figures: Mapping[str, Any]
    pinned: bool
    reason: str
    changed_at: datetime


class StoredLearner(Struct, frozen=True):
    """The learner's row. `start_from`: the version that it starts from when it has no `state`. `is_held`: whether a
    process holds the right to learn now. `report`: JSON, see `app.core.ranking_learner.LearnerReport`.
    """

    restarts: int
    start_from: int | None
    state: bytes | None
    report: bytes | None
    updated_at: datetime | None
    is_held: bool


class NoSuchModel(Exception):
    """There is no such version."""


class OtherServes(Exception):
    """Another version serves than the one that a change is for, so that nothing is changed."""

    def __init__(self, serves: int, wanted: int) -> None:
        super().__init__(f"version {serves} serves by now, not version {wanted}, so that nothing was changed")


async def read_served(connection: "Connection") -> ServedModel:
    return ServedModel(**_decoded(await connection.fetchrow(_SQL["read_choice"])))


async def read_models(connection: "Connection", limit: int) -> list[RankingModel]:
    """The newest versions, newest first."""
    return [RankingModel(**_decoded(row)) for row in await connection.fetch(_SQL["read_models"], limit)]


async def read_model(connection: "Connection", version: int) -> RankingModel:
    """Raises `NoSuchModel`."""
    row = await connection.fetchrow(_SQL["read_model"], version)
    if row is None:
        raise NoSuchModel
    return RankingModel(**_decoded(row))


async def read_weights(connection: "Connection", versions: Collection[int]) -> dict[int, NamedWeights]:
    """Of those of these versions that exist."""
    rows = await connection.fetch(_SQL["read_weights"], list(versions))
    return {version: msgspec.json.decode(weights) for version, weights in rows}


async def read_before(connection: "Connection", version: int) -> RankingModel | None:
    """The version that served before this one, which serves; None: there is none that was not withdrawn."""
    row = await connection.fetchrow(_SQL["read_before"], version)
    return None if row is None else RankingModel(**_decoded(row))


async def add(
    connection: "Connection", weights: NamedWeights, origin: Origin, reason: str, figures: str, *, actor: str
) -> int:
    """Stores a version that does not serve yet, and returns its number. `figures`: JSON."""
    async with connection.transaction():
        version: int = await connection.fetchval(
            _SQL["add"], msgspec.json.encode(weights).decode(), origin, reason, figures
        )
        await connection.execute(_SQL["prune"], KEEP, NAMED_DAYS)
        await changes.record(connection, [changes.MODEL_CHANGED])
        await _audit(connection, actor, version, "stored")
    return version


async def note_named(connection: "Connection", versions: Collection[int]) -> None:
    """The setting `VARIANTS` of a process names these versions now."""
    await connection.execute(_SQL["note_named"], list(versions))


async def serve(
    connection: "Connection",
    version: int,
    reason: str,
    *,
    actor: str,
    pin: bool | None = None,
    instead_of: int | None = None,
) -> tuple[int, bool]:
    """Makes a version serve; returns the one that served before, and whether the new one is pinned. Raises
    `NoSuchModel`, and `OtherServes` when `instead_of` does not serve. `pin`: None leaves it as it is.
    """
    async with connection.transaction():
        before, pinned = await _locked_choice(connection, instead_of)
        await read_model(connection, version)
        await _serve(connection, version, reason, "served", actor)
        if pin is not None:
            await connection.execute(_SQL["pin"], pin)
            await _audit(connection, actor, version, "pinned" if pin else "unpinned")
    return before, pinned if pin is None else pin


async def promote(
    connection: "Connection", weights: NamedWeights, reason: str, figures: str, *, instead_of: int, actor: str
) -> int | None:
    """Stores learned weights and makes them serve; returns the version. None: what serves is pinned, or another one
    than `instead_of`.
    """
    async with connection.transaction():
        if not await _may_replace(connection, instead_of):
            return None
        version = await add(connection, weights, "learned", reason, figures, actor=actor)
        await _serve(connection, version, reason, "promoted", actor)
    return version


async def roll_back(connection: "Connection", reason: str, *, of: int, actor: str) -> int | None:
    """Withdraws a version and makes the one before it serve; returns that one. None: there is none, or what serves is
    pinned, or another one.
    """
    async with connection.transaction():
        if not await _may_replace(connection, of):
            return None
        before = await read_before(connection, of)
        if before is None:
            return None
        await _give_way(connection, of, before.version, reason, actor)
    return before.version


async def roll_back_to_constants(
    connection: "Connection", constants: Weights, reason: str, *, of: int, actor: str
) -> int | None:
    """As `roll_back`, to the version of these constants; where a release has changed them, to one that is made."""
    async with connection.transaction():
        if not await _may_replace(connection, of):
            return None
        row = await connection.fetchrow(_SQL["read_constants"])
        assert row is not None  # the migration made it
        version: int = row["version"]
        if (from_named(msgspec.json.decode(row["weights"])) != constants).any():
            why = "the constants of a release"
            version = await add(connection, named(constants), "start", why, "{}", actor=actor)
        await _give_way(connection, of, version, reason, actor)
    return version


async def roll_back_for_good(
    connection: "Connection", reason: str, *, of: int | None, actor: str
) -> tuple[int, int | None]:
    """What an operator does: goes back to what served before, whether pinned or not, and pins it. Returns the version
    that served, and the one that serves in its place; None: nothing served before, so what serves is pinned. Raises
    `OtherServes` when `of` does not serve, so that two who decide the same go back once; None: whatever serves.
    """
    async with connection.transaction():
        version, _ = await _locked_choice(connection, of)
        await connection.execute(_SQL["pin"], False)
        before = await roll_back(connection, reason, of=version, actor=actor)
        await pin(connection, True, actor=actor)
    return version, before


async def pin(connection: "Connection", pinned: bool, *, actor: str, version: int | None = None) -> int:
    """Whether only an operator changes what serves; returns the version that serves. Raises `OtherServes` when it is
    not `version`; None: whatever serves.
    """
    async with connection.transaction():
        version, _ = await _locked_choice(connection, version)
        await connection.execute(_SQL["pin"], pinned)
        await _audit(connection, actor, version, "pinned" if pinned else "unpinned")
        await changes.record(connection, [changes.MODEL_CHANGED])
    return version


async def read_learner(connection: "Connection") -> StoredLearner:
    row = await connection.fetchrow(_SQL["read_learner"], _LOCK)
    assert row is not None  # the migration made it
    return StoredLearner(*row)


async def save_learner(connection: "Connection", restarts: int, state: bytes, report: bytes) -> bool:
    """False: an operator made the learner start anew, so this state is not stored."""
    return await connection.fetchval(_SQL["save_learner"], restarts, state, report) is not None


async def restart_learner(connection: "Connection", start_from: int | None, *, actor: str) -> None:
    """Makes the learner start anew, from the weights of a version; None: from those of a new database."""
    async with connection.transaction():
        await connection.execute(_SQL["restart_learner"], start_from)
        await _audit(connection, actor, start_from or 0, "learner_restarted")


async def end_when_frozen(connection: "Connection") -> None:
    """Lets the server end this session, and with it the right to learn, when its process asks nothing for 15 s."""
    await connection.execute(_SQL["end_when_frozen"])


async def take_lock(connection: "Connection") -> bool:
    """The right to learn, which one session of all has. It ends with the session."""
    return bool(await connection.fetchval(_SQL["take_lock"], _LOCK))


async def free_lock(connection: "Connection") -> None:
    await connection.execute(_SQL["free_lock"], _LOCK)


async def _may_replace(connection: "Connection", version: int) -> bool:
    serves, pinned = await _locked_choice(connection)
    return serves == version and not pinned


async def _locked_choice(connection: "Connection", wanted: int | None = None) -> tuple[int, bool]:
    """The version that serves, and whether it is pinned; nobody else changes them in this transaction. Raises
    `OtherServes` when it is not the one that is wanted.
    """
    row = await connection.fetchrow(_SQL["lock_choice"])
    assert row is not None  # the migration made it
    if wanted is not None and row[0] != wanted:
        raise OtherServes(row[0], wanted)
    return row[0], row[1]


async def _serve(connection: "Connection", version: int, reason: str, outcome: str, actor: str) -> None:
    await connection.execute(_SQL["serve"], version, reason)
    await changes.record(connection, [changes.MODEL_CHANGED])
    await _audit(connection, actor, version, outcome)


async def _give_way(connection: "Connection", version: int, to: int, reason: str, actor: str) -> None:
    await _serve(connection, to, f"version {version} was rolled back: {reason}", "rolled_back", actor)
    await connection.execute(_SQL["withdraw"], version)


async def _audit(connection: "Connection", actor: str, version: int, outcome: str) -> None:
    entry = AuditEntry(actor=actor, action="change_model", targets=[str(version)], outcome=outcome, request_id=None)
    await audit.record(connection, [entry])


def _decoded(row: Any) -> dict[str, Any]:
    found = dict(row)
    weights = complete(msgspec.json.decode(found["weights"]))
    return {**found, "weights": weights, "figures": msgspec.json.decode(found["figures"])}
