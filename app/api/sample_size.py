"""How many users an experiment needs, before it starts."""

from typing import Annotated, Any, Final

import msgspec
from litestar import Request, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import UNSET, Meta, Struct

from app.core.decoding import decode_checked
from app.core.experiments import Alpha, Effect, Metric
from app.core.field_errors import FieldError
from app.core.sample_size import users_needed
from app.http import schema
from app.http.body import read_body
from app.http.responses import reply

_MAX_BYTES: Final = 4 * 1024
# What the metrics that are shares are shares of.
_WHOLES: Final = {"ctr": "shown places that are clicked", "conversion": "users who buy"}


class SampleSizeBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """`baseline`: the metric now. `deviation`: that of one user's figure, as a multiple of the baseline; an experiment
    answers it for each metric, and `conversion` needs none. `users_by_day`: who see a list for the first time.
    """

    metric: Metric
    baseline: Annotated[float, Meta(ge=1e-6, le=1e9)]
    deviation: Annotated[float, Meta(gt=0.0, le=1_000.0)] | None = None
    minimum_effect: Effect = 0.05
    share: Annotated[float, Meta(ge=0.001, le=0.99, description="of the variant")] = 0.5
    control_share: Annotated[float, Meta(ge=0.001, le=0.999, description="left out: all other users")] | None = None
    variants: Annotated[int, Meta(ge=1, le=20)] = 1
    alpha: Alpha = 0.05
    power: Annotated[float, Meta(ge=0.5, le=0.99)] = 0.8
    users_by_day: Annotated[float, Meta(gt=0.0, le=1e12)] | None = None
    window_days: Annotated[int, Meta(ge=1, le=28)] = 7


class SampleSize(Struct, kw_only=True):
    """Users at most, until a true change of `minimum_effect` shows with the chance `power`. `total`: users who see a
    list. `days`: until the days of the last of them are over; null without `users_by_day`.
    """

    control: int
    variant: int
    total: int
    days: float | None


_size: Final = msgspec.json.Decoder(SampleSizeBody)


def handlers() -> list[HTTPRouteHandler]:
    @post(
        "/experiments:sample-size",
        status_code=200,
        opt=schema.call(
            needs="read",
            tag="experiments",
            body=SampleSizeBody,
            answers={200: SampleSize, **schema.problems(400, 413, 415, 422)},
        ),
    )
    async def sample_size(request: Request[Any, Any, Any]) -> ASGIApp:
        """How many users an experiment needs, before it starts."""
        return reply(_sample_size(decode_checked(_size, await read_body(request, _MAX_BYTES), _faults)))

    return [sample_size]


def _faults(body: SampleSizeBody) -> list[FieldError]:
    """Of a body of which at least a part is known."""
    found = []
    if isinstance(body.baseline, float) and (whole := _WHOLES.get(body.metric)) is not None:
        if body.baseline >= 1.0:
            found.append(FieldError("$.baseline", f"expected the share of {whole}, below 1"))
        elif isinstance(body.minimum_effect, float) and body.baseline * (1.0 + body.minimum_effect) > 1.0:
            most = 1.0 / body.baseline - 1.0
            found.append(
                FieldError("$.minimum_effect", f"no share is above 1: {body.baseline:g} can grow by {most:.3g} at most")
            )
    if body.metric == "conversion" and body.deviation is not None:
        found.append(FieldError("$.deviation", "conversion needs none: it follows from the baseline"))
    if isinstance(body.metric, str) and body.metric != "conversion" and body.deviation is None:
        found.append(
            FieldError(
                "$.deviation",
                f"{body.metric} needs it; GET /experiments/NAME answers it for each metric, so run one with a variant"
                " without weights first",
            )
        )
    given: list[object] = [body.share, body.variants, body.control_share]
    if UNSET not in given and _control_share(body) + body.share * body.variants > 1.0 + 1e-9:
        found.append(FieldError("$.control_share", "the shares sum to more than 1"))
    return found


def _control_share(body: SampleSizeBody) -> float:
    return 1.0 - body.share if body.control_share is None else body.control_share


def _sample_size(body: SampleSizeBody) -> SampleSize:
    deviation, active, control = body.deviation, 1.0, _control_share(body)
    if deviation is None:  # of a conversion alone
        deviation, active = ((1.0 - body.baseline) / body.baseline) ** 0.5, body.baseline
    ours, theirs = users_needed(
        deviation=deviation,
        minimum_effect=body.minimum_effect,
        shares=(control, body.share),
        alpha=body.alpha / body.variants,
        power=body.power,
        active=active,
    )
    total = round(ours / control)
    days = None if body.users_by_day is None else round(total / body.users_by_day + body.window_days, 1)
    return SampleSize(control=ours, variant=theirs, total=total, days=days)
