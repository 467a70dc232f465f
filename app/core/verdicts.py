"""What the figures of an experiment say, in words."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

from app.core.experiments import ExperimentBody, Metric
from app.core.sequential import MIN_ACTIVE, MIN_USERS, Moments, RelativeChange, change, shares_doubt
from app.core.variants import CONTROL_NAME

Decision: TypeAlias = Literal["wait", "better", "worse", "guard", "broken"]

NAMES: Final[Mapping[Metric, str]] = {
    "ctr": "the click-through rate",
    "conversion": "the share of users who buy",
    "revenue": "revenue by user",
    "watch_time": "watch time by user",
}
_BROKEN_BELOW: Final = 0.001


class VariantSample(Struct, frozen=True):
    """`exposed`: users who got a list. `moments`: by metric, of those whose window is over."""

    exposed: int
    moments: Mapping[Metric, Moments]


class ExperimentVerdict(Struct, kw_only=True):
    """`wait`: no difference yet. `better`, `worse`: the primary metric. `guard`: a guard metric is worse. `broken`: the
    numbers of users do not fit the shares, so that the figures compare different users.
    """

    decision: Decision
    words: str


def changes(body: ExperimentBody, sample: VariantSample, control: VariantSample) -> dict[Metric, RelativeChange | None]:
    """By metric, in relation to control. The chance of an error is divided among the variants, and among the guards."""
    alpha = body.alpha / len(body.variants)
    found = {}
    for metric in (body.primary, *body.guards):
        found[metric] = change(
            sample.moments[metric],
            control.moments[metric],
            scale=body.minimum_effect,
            alpha=alpha if metric == body.primary else alpha / len(body.guards),
        )
    return found


def verdict(name: str, body: ExperimentBody, found: Mapping[Metric, RelativeChange | None], control: VariantSample,
            sample: VariantSample) -> ExperimentVerdict:  # fmt: skip
    """On the variant of this name; `found`: its changes."""
    worse = [metric for metric in body.guards if (one := found[metric]) is not None and one.high < 0.0]
    if worse:
        harmed = " and ".join(f"{NAMES[metric]} ({_written(found[metric])})" for metric in worse)
        return ExperimentVerdict(
            decision="guard", words=f"Stop: {name} makes {harmed} worse, which guards the experiment."
        )
    primary = found[body.primary]
    if primary is None:
        return ExperimentVerdict(decision="wait", words=_too_few(name, body.primary, sample, control))
    figure = f"{NAMES[body.primary]} ({_written(primary)})"
    if primary.low > 0.0:
        unsure = [metric for metric in body.guards if (one := found[metric]) is None or one.low < -body.minimum_effect]
        guards = f" Not sure yet of {' and '.join(NAMES[metric] for metric in unsure)}." if unsure else ""
        return ExperimentVerdict(decision="better", words=f"{name} raises {figure}.{guards}")
    if primary.high < 0.0:
        return ExperimentVerdict(decision="worse", words=f"{name} lowers {figure}.")
    if -body.minimum_effect < primary.low and primary.high < body.minimum_effect:
        return ExperimentVerdict(
            decision="wait",
            words=f"{name} changes {figure} by less than the {body.minimum_effect:.1%} that is looked for: stop, and"
            " choose what is simpler.",
        )
    return ExperimentVerdict(decision="wait", words=f"No difference yet: {name} changes {figure}. Keep it running.")


def broken(exposed: Sequence[int], shares: Sequence[float]) -> str | None:
    """Why the figures cannot be trusted; None while the numbers of users fit the shares. Control is the first."""
    doubt = shares_doubt(exposed, shares)
    if doubt >= _BROKEN_BELOW:
        return None
    total = sum(exposed)
    found = ", ".join(
        f"{count / total:.1%} in place of {share:.1%}" for count, share in zip(exposed, shares, strict=True)
    )
    return (
        f"Do not trust the figures: the numbers of users do not fit the shares ({CONTROL_NAME} first: {found})."
        " Impressions of one side are lost, or users are sent to a variant by hand."
    )


def _too_few(name: str, metric: Metric, sample: VariantSample, control: VariantSample) -> str:
    users = f"{name} has {sample.moments[metric].users}, {CONTROL_NAME} {control.moments[metric].users}"
    active = f"{sample.moments[metric].active} and {control.moments[metric].active}"
    return (
        f"Too early: each side needs {MIN_USERS} users whose days are over ({users}), and {MIN_ACTIVE} of them with a"
        f" figure above 0 ({active})."
    )


def _written(found: RelativeChange | None) -> str:
    assert found is not None
    return f"{found.value:+.1%}; between {found.low:+.1%} and {found.high:+.1%}"
