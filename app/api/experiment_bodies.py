"""What is sent and answered about experiments."""

from collections.abc import Mapping
from typing import Annotated, Final

from msgspec import Meta, Struct

from app.adapters.experiments import StoredExperiment, UserSums
from app.api.timestamps import Timestamp
from app.core.buckets import CONTROL_BUCKET, shares_of
from app.core.events import PRINTABLE
from app.core.experiments import ExperimentBody
from app.core.sequential import Moments, RelativeChange
from app.core.variants import CONTROL_NAME, MAX_VARIANTS
from app.core.verdicts import ExperimentVerdict, broken, changes, verdict

_DIGITS: Final = 6


class ExperimentShares(Struct, kw_only=True, forbid_unknown_fields=True):
    """The new share of each variant; those that are left out keep theirs."""

    shares: Annotated[dict[str, float], Meta(min_length=1, max_length=MAX_VARIANTS)]


Conclusion = Annotated[
    str, Meta(min_length=1, max_length=1_000, pattern=PRINTABLE, description="what was decided, and why")
]


class ExperimentEnd(Struct, kw_only=True, forbid_unknown_fields=True):
    conclusion: Conclusion | None = None


class MetricFigures(Struct, kw_only=True):
    """`value`: by shown place (`ctr`) or by user. `active`: users whose figure is not 0. `deviation`: of one user's
    figure, as a multiple of the value. `change`: in relation to control, null for control and while it is too early.
    """

    users: int
    active: int
    value: float | None
    deviation: float | None
    change: RelativeChange | None


class VariantFigures(Struct, kw_only=True):
    """`exposed`: users who got a list. The metrics are of those whose `window_days` are over."""

    variant: str
    share: float
    exposed: int
    metrics: dict[str, MetricFigures]
    verdict: ExperimentVerdict | None


class ShownExperiment(Struct, kw_only=True):
    """`experiment`: how answers and impressions name it. `stage_at`: since when its figures count."""

    name: str
    experiment: str
    definition: ExperimentBody
    shares: dict[str, float]
    running: bool
    started_at: Timestamp
    stage_at: Timestamp
    ended_at: Timestamp | None
    conclusion: str | None


class ExperimentList(Struct):
    """Those that run first, then the newest."""

    experiments: list[ShownExperiment]


class ExperimentReport(Struct, kw_only=True):
    """`problem`: why the figures cannot be trusted; null where nothing speaks against them."""

    experiment: ShownExperiment
    problem: str | None
    variants: list[VariantFigures]


def shown(stored: StoredExperiment) -> ShownExperiment:
    return ShownExperiment(
        name=stored.body.name,
        experiment=str(stored.layer.experiment),
        definition=stored.body,
        shares=_shares(stored),
        running=stored.ended_at is None,
        started_at=stored.started_at,
        stage_at=stored.stage_at,
        ended_at=stored.ended_at,
        conclusion=stored.conclusion,
    )


def report(stored: StoredExperiment, sums: Mapping[str, UserSums]) -> ExperimentReport:
    """`sums`: control first."""
    body, shares = stored.body, _shares(stored)
    samples = {name: one.sample() for name, one in sums.items()}
    control = samples[CONTROL_NAME]
    problem = broken([one.exposed for one in samples.values()], [shares[name] for name in samples])
    variants = []
    for name, sample in samples.items():
        found = {} if name == CONTROL_NAME else changes(body, sample, control)
        said = None if name == CONTROL_NAME else verdict(name, body, found, control, sample)
        if said is not None and problem is not None:
            said = ExperimentVerdict(decision="broken", words=problem)
        variants.append(
            VariantFigures(
                variant=name,
                share=shares[name],
                exposed=sample.exposed,
                metrics={
                    metric: _figures(moments, found.get(metric))
                    for metric, moments in sample.moments.items()
                    if metric in (body.primary, *body.guards)
                },
                verdict=said,
            )
        )
    return ExperimentReport(experiment=shown(stored), problem=problem, variants=variants)


def _figures(moments: Moments, change: RelativeChange | None) -> MetricFigures:
    return MetricFigures(
        users=moments.users,
        active=moments.active,
        value=_rounded(moments.value),
        deviation=_rounded(moments.deviation),
        change=None
        if change is None
        else RelativeChange(*(round(figure, _DIGITS) for figure in (change.value, change.low, change.high))),
    )


def _shares(stored: StoredExperiment) -> dict[str, float]:
    found = shares_of(stored.buckets)
    names = [variant.name for variant in stored.body.variants]
    return {CONTROL_NAME: found.get(CONTROL_BUCKET, 0.0), **{name: found.get(name, 0.0) for name in names}}


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, _DIGITS)
