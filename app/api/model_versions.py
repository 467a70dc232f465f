"""The versions of the ranking's weights: list them, and choose which one serves."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta, Struct

from app.adapters import ranking_models
from app.adapters.postgres import Database
from app.adapters.ranking_models import NoSuchModel, Origin, OtherServes
from app.api.timestamps import Timestamp
from app.core.decoding import decode
from app.core.events import PRINTABLE
from app.core.field_errors import FieldError
from app.core.named_weights import NamedWeights
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import reply

_MAX_BYTES: Final = 4 * 1024
_PROBLEMS: Final = schema.problems(400, 409, 413, 415, 422, 503)

Version = Annotated[int, Meta(ge=1, le=2**31 - 1, description="The number of a version.")]
Why = Annotated[str, Meta(min_length=1, max_length=500, pattern=PRINTABLE, description="Why; kept with the change.")]


class ModelListQuery(Struct, frozen=True, forbid_unknown_fields=True):
    limit: Annotated[int, Meta(ge=1, le=500, description="How many to list.")] = 20


class ModelVersion(Struct, kw_only=True):
    """`figures`: what it was worth when it was made, as in `ModelReport`; empty for one that was not learned.
    `served_at`: when it last began to serve; `withdrawn_at`: when it was rolled back.
    """

    version: int
    origin: Origin
    created_at: Timestamp
    reason: str
    served_at: Timestamp | None
    withdrawn_at: Timestamp | None
    figures: Mapping[str, Any]
    weights: NamedWeights


class ModelList(Struct, kw_only=True):
    """The newest versions, newest first. `serves`: the one that serves. `pinned`: only an operator changes that."""

    serves: int
    pinned: bool
    versions: list[ModelVersion]


class Promotion(Struct, forbid_unknown_fields=True, kw_only=True):
    """`pin`: it serves until it is unpinned. Otherwise a pin stays as it is: where the version that it replaces was
    pinned, as after a rollback, this one is, else the learner decides from there on. `instead_of`: the version that it
    replaces; when another one serves, nothing is changed. Null: whatever serves.
    """

    version: Version
    reason: Why = "an operator chose it"
    pin: bool = False
    instead_of: Version | None = None


class ModelRollback(Struct, forbid_unknown_fields=True, kw_only=True):
    """`version`: the one that is rolled back; when another one serves, as after somebody else's rollback, nothing is
    changed. Null: whatever serves, so that two requests go back two versions.
    """

    version: Version | None = None
    reason: Why = "an operator decided it"


class ModelPin(Struct, forbid_unknown_fields=True, kw_only=True):
    """`version`: the one that is meant; when another one serves, nothing is changed. Null: whatever serves."""

    pinned: bool
    version: Version | None = None


class ModelChoice(Struct, kw_only=True):
    """What serves from now on, in all processes within a second; and what served before, where that is another one."""

    serves: int
    pinned: bool
    instead_of: int | None


_promotion_decoder: Final = msgspec.json.Decoder(Promotion)
_rollback_decoder: Final = msgspec.json.Decoder(ModelRollback)
_pin_decoder: Final = msgspec.json.Decoder(ModelPin)


def handlers(database: Database) -> list[HTTPRouteHandler]:
    @get(
        "/models",
        opt=schema.call(
            needs="read", tag="analytics", query=ModelListQuery, answers={200: ModelList, **schema.problems(422, 503)}
        ),
    )
    async def get_models(request: Request[Any, Any, Any]) -> ASGIApp:
        """The versions of the ranking's weights, with the figures that each had when it was made."""
        query = schema.query_of(request.scope, ModelListQuery)
        async with database.connection() as connection:
            served = await ranking_models.read_served(connection)
            found = await ranking_models.read_models(connection, query.limit)
        versions = [msgspec.convert(msgspec.structs.asdict(one), ModelVersion) for one in found]
        return reply(ModelList(serves=served.version, pinned=served.pinned, versions=versions))

    @post(
        "/model/promote",
        status_code=200,
        opt=schema.call(
            needs="operate",
            tag="operations",
            body=Promotion,
            answers={200: ModelChoice, **_PROBLEMS, **schema.problems(404)},
        ),
    )
    async def promote_model(request: Request[Any, Any, Any]) -> ASGIApp:
        """Makes a version serve within a second, whatever its figures."""
        asked = decode(_promotion_decoder, await read_body(request, _MAX_BYTES))
        actor = context_of(request.scope).actor
        with _refused("$.instead_of"):
            async with database.connection() as connection:
                before, pinned = await ranking_models.serve(
                    connection,
                    asked.version,
                    asked.reason,
                    actor=actor,
                    pin=asked.pin or None,
                    instead_of=asked.instead_of,
                )
        return _choice(asked.version, pinned, before)

    @post(
        "/model/rollback",
        status_code=200,
        opt=schema.call(needs="operate", tag="operations", body=ModelRollback, answers={200: ModelChoice, **_PROBLEMS}),
    )
    async def roll_back_model(request: Request[Any, Any, Any]) -> ASGIApp:
        """Goes back to what served before, and pins it. Where nothing served before, what serves is pinned."""
        asked = decode(_rollback_decoder, await read_body(request, _MAX_BYTES))
        actor = context_of(request.scope).actor
        with _refused("$.version"):
            async with database.connection() as connection:
                version, before = await ranking_models.roll_back_for_good(
                    connection, asked.reason, of=asked.version, actor=actor
                )
        return _choice(version if before is None else before, True, version)

    @post(
        "/model/pin",
        status_code=200,
        opt=schema.call(needs="operate", tag="operations", body=ModelPin, answers={200: ModelChoice, **_PROBLEMS}),
    )
    async def pin_model(request: Request[Any, Any, Any]) -> ASGIApp:
        """Pins what serves, so that the learner changes nothing, or lets the learner decide again."""
        asked = decode(_pin_decoder, await read_body(request, _MAX_BYTES))
        actor = context_of(request.scope).actor
        with _refused("$.version"):
            async with database.connection() as connection:
                version = await ranking_models.pin(connection, asked.pinned, actor=actor, version=asked.version)
        return _choice(version, asked.pinned, version)

    return [get_models, promote_model, roll_back_model, pin_model]


@contextmanager
def _refused(path: str) -> Iterator[None]:
    """`path`: of the field that names the version which has to serve."""
    try:
        yield
    except NoSuchModel:
        known = FieldError("$.version", "GET /models lists those that there are")
        raise ProblemError(ProblemCode.NO_SUCH_VERSION, "There is no such version.", errors=[known]) from None
    except OtherServes as error:
        told = FieldError(path, str(error))
        detail = (
            "Another version serves than the one that this is for. GET /model says which one, and why; decide anew."
        )
        raise ProblemError(ProblemCode.MODEL_CHANGED, detail, errors=[told]) from None


def _choice(serves: int, pinned: bool, before: int) -> ASGIApp:
    return reply(ModelChoice(serves=serves, pinned=pinned, instead_of=None if before == serves else before))
