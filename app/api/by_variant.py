"""The figures of each variant and how they differ from control's, as `/analytics/baseline` answers them."""

from collections.abc import Iterable

from msgspec import Struct

from app.adapters.analytics import USER_GROUPS, Groups, VariantSums
from app.core import hyperloglog, intervals
from app.core.intervals import Estimate

_DIGITS = 6


class VariantKpis(Struct, kw_only=True):
    """Impressions of a variant at the positions 0 to 19, and the clicks and watches that followed.

    `users` is an estimate with an error of 3 %. `low` and `high` bound 95 % intervals, that treat the events of one
    user as dependent. The differences are to control on the same days; null for control itself, and where no day
    has both.
    """

    variant: str
    users: int
    shown: int
    clicked: int
    watches: int
    ctr_at_20: Estimate | None
    average_watch_sec: Estimate | None
    ctr_at_20_difference: Estimate | None
    average_watch_sec_difference: Estimate | None


def by_variant(found: Iterable[VariantSums]) -> list[VariantKpis]:
    return [_kpis(row) for row in found]


def _kpis(row: VariantSums) -> VariantKpis:
    ctr = watch = None
    if row.paired is not None:
        ctr, watch = (
            intervals.difference(own, control) if own is not None and control is not None else None
            for own, control in zip(*map(_figures, row.paired), strict=True)
        )
    own_ctr, own_watch = _figures(row.sums)
    return VariantKpis(
        variant=row.variant,
        users=hyperloglog.estimate(row.ranks, USER_GROUPS),
        shown=round(sum(row.sums.shown)),
        clicked=round(sum(row.sums.clicked)),
        watches=round(sum(row.sums.watches)),
        ctr_at_20=rounded(own_ctr),
        average_watch_sec=rounded(own_watch),
        ctr_at_20_difference=rounded(ctr),
        average_watch_sec_difference=rounded(watch),
    )


def _figures(sums: Groups) -> tuple[Estimate | None, Estimate | None]:
    """Click rate and average watch time."""
    return intervals.share(sums.clicked, sums.shown), intervals.mean(sums.watch_sec, sums.watches)


def rounded(found: Estimate | None) -> Estimate | None:
    if found is None or found.low is None or found.high is None:
        return None if found is None else Estimate(round(found.value, _DIGITS))
    return Estimate(round(found.value, _DIGITS), round(found.low, _DIGITS), round(found.high, _DIGITS))
