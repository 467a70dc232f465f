"""Experiments: what one is made of, and what is wrong with a new one."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from app.core import variants
from app.core.buckets import BUCKETS
from app.core.events import PRINTABLE, Currency
from app.core.field_errors import FieldError
from app.core.known_parts import known_items
from app.core.variants import MAX_VARIANTS, NO_VARIANTS, Variant, Variants

Lists: TypeAlias = Literal["reco", "rank", "buy_again"]
Metric: TypeAlias = Literal["ctr", "conversion", "revenue", "watch_time"]

MAX_EXPERIMENTS: Final = 1_000
_MOST_SHARES: Final = 0.99
_ROUNDING: Final = 1e-9

Share = Annotated[float, Meta(ge=0.0, le=_MOST_SHARES, description="of the users, in steps of 0.001")]
Effect = Annotated[
    float,
    Meta(ge=0.001, le=2.0, description="the smallest relative change worth finding: 0.05 is 5 % more than control"),
]
Alpha = Annotated[float, Meta(ge=0.001, le=0.2, description="the chance of a change that is none, over all looks")]
# An integer stays one: some constants are counts.
_Number: TypeAlias = int | float


class VariantBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """Weights of features and constants of the ranking, or a version of the model; neither: as control, which tests the
    measurement.
    """

    name: Annotated[str, Meta(max_length=32, description="1 to 32 of a-z, 0-9, - and _")]
    share: Share
    weights: dict[str, _Number | list[_Number]] | UnsetType = UNSET
    model: Annotated[int, Meta(ge=1, le=2**31 - 1)] | UnsetType = UNSET


class ExperimentBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What is tried, on which lists, and what decides. Users in no variant are control. `reco`: of `/reco`, by POST and
    in batches, too.
    """

    name: Annotated[str, Meta(max_length=32, description="1 to 32 of a-z, 0-9, - and _; never used twice")]
    hypothesis: Annotated[str, Meta(min_length=1, max_length=1_000, pattern=PRINTABLE)]
    lists: Annotated[Lists, Meta(description="the lists that it changes; one runs at a time on each")] = "reco"
    variants: Annotated[list[VariantBody], Meta(min_length=1, max_length=MAX_VARIANTS)]
    primary: Annotated[Metric, Meta(description="the metric that decides")]
    guards: Annotated[list[Metric], Meta(max_length=3, description="metrics that must not get worse")] = []
    currency: Annotated[Currency | None, Meta(description="in which revenue is measured; others do not count")] = None
    window_days: Annotated[
        int, Meta(ge=1, le=28, description="what users do so many days after their first list counts")
    ] = 7
    minimum_effect: Effect = 0.05
    alpha: Alpha = 0.05


class Layer(Struct, frozen=True):
    """Who gets which variant on some lists. `experiment`: the experiment and its stage, as impressions name it; UNSET
    without one.
    """

    variants: Variants = NO_VARIANTS
    experiment: str | UnsetType = UNSET


NO_LAYER: Final = Layer()


def token(name: str, stage: int) -> str:
    """How answers and impressions name an experiment. A stage is the time between two changes of the shares."""
    return f"{name}.{stage}"


def variants_of(body: ExperimentBody) -> tuple[Variant, ...]:
    """Of a body without faults."""
    return variants.checked(_built(body), "$.variants")[0]


def field_errors(body: ExperimentBody) -> list[FieldError]:
    """What is wrong with a decoded body, or with what is known of it (see `known_part`), besides its types."""
    found = [] if variants.is_name(body.name) else [FieldError("$.name", variants.NAME_EXPECTED)]
    found += variants.checked(_built(body), "$.variants", _MOST_SHARES)[1]
    found += [
        fault
        for index, variant in enumerate(known_items(body.variants))
        if isinstance(variant, VariantBody) and isinstance(variant.share, float)
        for fault in _share_errors(variant.share, f"$.variants[{index}].share")
    ]
    guards = [metric for metric in known_items(body.guards) if isinstance(metric, str)]
    if body.primary in guards:
        found.append(FieldError("$.guards", f"{body.primary} is the primary metric; a guard is another one"))
    if len(set(guards)) < len(guards):
        found.append(FieldError("$.guards", "a metric is given twice"))
    metrics = [body.primary, *guards]
    if "revenue" in metrics and body.currency is None:
        found.append(FieldError("$.currency", "revenue needs a currency, such as EUR: amounts of two do not add up"))
    whole = isinstance(body.primary, str) and len(guards) == len(known_items(body.guards))
    if body.currency is not None and "revenue" not in metrics and whole:
        found.append(FieldError("$.currency", "no metric is revenue; leave it out"))
    return found


def share_errors(shares: Mapping[str, float], path: str) -> list[FieldError]:
    """What is wrong with the shares of variants, by name."""
    found = [fault for name, share in shares.items() for fault in _share_errors(share, f"{path}.{name}")]
    return found + variants.share_sum_errors(shares.values(), _MOST_SHARES, path)


def buckets_layer(body: ExperimentBody, stage: int, buckets: Sequence[str]) -> Layer:
    return Layer(Variants(body.name, variants_of(body), buckets), token(body.name, stage))


def _share_errors(share: float, path: str) -> list[FieldError]:
    if 0.0 <= share <= 1.0 and abs(share * BUCKETS - round(share * BUCKETS)) <= _ROUNDING * BUCKETS:
        return []
    return [FieldError(path, f"expected a multiple of 0.001 from 0 to {_MOST_SHARES}")]


def _built(body: ExperimentBody) -> list[Any]:
    """Variants of which nothing is known are empty."""
    return [{} if one is UNSET else msgspec.to_builtins(one) for one in known_items(body.variants)]
