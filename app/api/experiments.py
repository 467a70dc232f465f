"""Experiments: started, changed, read and ended while the service runs."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
from litestar import Request, delete, get, post, put
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp, Scope

from app.adapters import experiments, ranking_models
from app.adapters.experiments import StoredExperiment, TooManyExperiments
from app.adapters.postgres import Database
from app.adapters.read_replica import ReadSource
from app.api.audited import change
from app.api.experiment_bodies import (
    ExperimentEnd,
    ExperimentList,
    ExperimentReport,
    ExperimentShares,
    ShownExperiment,
    report,
    shown,
)
from app.core.buckets import shares_of
from app.core.decoding import InvalidInput, decode, decode_known
from app.core.experiments import MAX_EXPERIMENTS, ExperimentBody, VariantBody, field_errors, share_errors
from app.core.field_errors import FieldError
from app.core.known_parts import beside, known_items
from app.http import schema
from app.http.body import read_body
from app.http.context import context_of
from app.http.path_ids import path_id
from app.http.problem_codes import ProblemCode
from app.http.problems import ProblemError
from app.http.responses import Reply, reply
from app.serving.running_experiments import RunningExperiments

MAX_EXPERIMENT_BYTES: Final = 64 * 1024

_BODIES: Final = schema.problems(400, 413, 415, 422, 503)
_NONE: Final = "There is no such experiment."
_ENDED: Final = "The experiment has ended."

_new: Final = msgspec.json.Decoder(ExperimentBody)
_shares: Final = msgspec.json.Decoder(ExperimentShares)
_end: Final = msgspec.json.Decoder(ExperimentEnd)

_Request = Request[Any, Any, Any]


def handlers(database: Database, reads: ReadSource, running: RunningExperiments) -> list[HTTPRouteHandler]:
    """The routes; `running` is told of a change. `reads`: for the sums over users."""

    @post(
        "/experiments",
        status_code=201,
        opt=schema.call(
            needs="operate",
            tag="experiments",
            body=ExperimentBody,
            answers={201: ShownExperiment, **_BODIES, **schema.problems(409)},
        ),
    )
    async def post_experiment(request: _Request) -> ASGIApp:
        """Starts an experiment. 409 while another one runs on the lists, or when the name was used before.

        Every process serves it within a second. A user is always in the same variant.
        """
        body, faults = decode_known(_new, await read_body(request, MAX_EXPERIMENT_BYTES))
        async with change(database, context_of(request.scope), "start_experiment") as changed:
            more = [*field_errors(body), *await _missing_models(changed.connection, body)]
            if faults := beside(faults, more):
                raise InvalidInput(*faults)
            try:
                stored = await experiments.start(changed.connection, body)
            except TooManyExperiments:
                raise ProblemError(
                    ProblemCode.TOO_MANY, f"There are {MAX_EXPERIMENTS} experiments already; delete one that has ended."
                ) from None
            if stored is None:
                found = await experiments.read_all(changed.connection)
                raise _in_the_way(body, found, had=await experiments.was_deleted(changed.connection, body.name))
            changed.made([body.name], "started")
        await running.refresh()
        return reply(shown(stored), status=201)

    @get(
        "/experiments",
        opt=schema.call(needs="read", tag="experiments", answers={200: ExperimentList, **schema.problems(503)}),
    )
    async def get_experiments() -> ASGIApp:
        """All experiments, those that run first, then the newest."""
        async with database.connection() as connection:
            found = await experiments.read_all(connection)
        return reply(ExperimentList([shown(stored) for stored in found]))

    @get(
        "/experiments/{name:path}",
        opt=schema.call(
            needs="read", tag="experiments", answers={200: ExperimentReport, **schema.problems(404, 422, 503)}
        ),
    )
    async def get_experiment(scope: Scope) -> ASGIApp:
        """An experiment with its figures, and what they say. Its intervals hold however often it is read."""
        async with database.connection() as connection:
            stored = await experiments.read(connection, path_id(scope))
        if stored is None:
            raise ProblemError(ProblemCode.NO_SUCH_EXPERIMENT, _NONE)
        async with reads.connection() as connection:
            sums = await experiments.read_sums(connection, stored)
        return reply(report(stored, sums))

    @put(
        "/experiments/{name:path}/shares",
        opt=schema.call(
            needs="operate",
            tag="experiments",
            body=ExperimentShares,
            answers={200: ShownExperiment, **_BODIES, **schema.problems(404, 409)},
        ),
    )
    async def put_experiment_shares(request: _Request) -> ASGIApp:
        """Changes the shares of the variants, and moves as few users as possible. The figures start anew."""
        body, faults = decode_known(_shares, await read_body(request, MAX_EXPERIMENT_BYTES))
        name = path_id(request.scope, faults)
        async with change(database, context_of(request.scope), "change_experiment") as changed:
            await experiments.lock(changed.connection)
            stored = await _running(changed.connection, name)
            await experiments.change_shares(changed.connection, stored, _new_shares(stored, body, faults))
            changed.made([name], "changed shares")
            stored = await _running(changed.connection, name)
        await running.refresh()
        return reply(shown(stored))

    @post(
        "/experiments/{name:path}/stop",
        status_code=200,
        opt=schema.call(
            needs="operate",
            tag="experiments",
            body=ExperimentEnd,
            answers={200: ShownExperiment, **_BODIES, **schema.problems(404, 409)},
        ),
    )
    async def stop_experiment(request: _Request) -> ASGIApp:
        """Ends an experiment: all users get what control gets. Its figures stay, as of now."""
        body = decode(_end, await read_body(request, MAX_EXPERIMENT_BYTES))
        name = path_id(request.scope)
        async with change(database, context_of(request.scope), "stop_experiment") as changed:
            if not await experiments.stop(changed.connection, name, body.conclusion):
                await _running(changed.connection, name)
            stored = await experiments.read(changed.connection, name)
            assert stored is not None
            changed.made([name], "stopped")
        await running.refresh()
        return reply(shown(stored))

    @delete(
        "/experiments/{name:path}",
        status_code=200,
        opt=schema.call(needs="operate", tag="experiments", answers={204: None, **schema.problems(404, 409, 422, 503)}),
    )
    async def delete_experiment(scope: Scope) -> ASGIApp:
        """Removes an experiment that has ended, and its figures. Its name stays taken for 90 days."""
        name = path_id(scope)
        async with change(database, context_of(scope), "delete_experiment") as changed:
            if not await experiments.delete(changed.connection, name):
                await _running(changed.connection, name)
                raise ProblemError(
                    ProblemCode.EXPERIMENT_RUNS, f"The experiment runs; POST /experiments/{name}/stop ends it."
                )
            changed.made([name], "deleted")
        return Reply(b"", status=204)

    return [
        post_experiment,
        get_experiments,
        get_experiment,
        put_experiment_shares,
        stop_experiment,
        delete_experiment,
    ]


async def _running(connection: Any, name: str) -> StoredExperiment:
    """Raises `ProblemError`: 404 when there is none, 409 when it has ended."""
    stored = await experiments.read(connection, name)
    if stored is None:
        raise ProblemError(ProblemCode.NO_SUCH_EXPERIMENT, _NONE)
    if stored.ended_at is not None:
        raise ProblemError(ProblemCode.EXPERIMENT_ENDED, _ENDED)
    return stored


async def _missing_models(connection: Any, body: ExperimentBody) -> list[FieldError]:
    """Of a body of which at least a part is known."""
    variants = [(index, one) for index, one in enumerate(known_items(body.variants)) if isinstance(one, VariantBody)]
    named = {index: one.model for index, one in variants if isinstance(one.model, int)}
    known = await ranking_models.read_weights(connection, list(named.values())) if named else {}
    return [
        FieldError(
            f"$.variants[{index}].model", f"there is no version {version}; GET /models lists those that there are"
        )
        for index, version in named.items()
        if version not in known
    ]


def _in_the_way(body: ExperimentBody, found: list[StoredExperiment], *, had: bool) -> ProblemError:
    """`had`: whether one that is deleted had the name."""
    if had or any(one.body.name == body.name for one in found):
        return ProblemError(ProblemCode.NAME_TAKEN, f"There is or was an experiment {body.name}; choose another name.")
    other = next((one.body.name for one in found if one.body.lists == body.lists), "another experiment")
    return ProblemError(
        ProblemCode.EXPERIMENT_RUNS,
        f"{other} runs on the lists {body.lists}; POST /experiments/{other}/stop ends it.",
    )


def _new_shares(stored: StoredExperiment, body: ExperimentShares, faults: Sequence[FieldError]) -> dict[str, float]:
    """Of every variant. Raises `InvalidInput`, with the `faults` that there are already."""
    given = body.shares if isinstance(body.shares, dict) else {}
    found = shares_of(stored.buckets)
    before = {variant.name: found.get(variant.name, 0.0) for variant in stored.body.variants}
    unknown = [
        FieldError(f"$.shares.{name}", f"no such variant; there are {', '.join(before)}")
        for name in given
        if name not in before
    ]
    after = before | {name: share for name, share in given.items() if name in before}
    if faults := beside(faults, [*unknown, *share_errors(after, "$.shares")]):
        raise InvalidInput(*faults)
    return after
