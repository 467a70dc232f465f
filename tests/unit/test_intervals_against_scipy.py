"""scipy as an oracle: wherever the groups reduce an interval to one that scipy has, the two are equal.

scipy has no jackknife. It is compared with a Student's t interval where all groups have the same size, and elsewhere
with a jackknife that leaves each group out and computes the figure again.
"""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from app.core.intervals import Estimate, difference, mean, share, student

# `student` approximates scipy's quantiles.
WITHIN = 0.003

groups = st.integers(2, 60)
totals = st.lists(st.floats(100.0, 130.0), min_size=2, max_size=60)
uneven = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 400)), min_size=2, max_size=60).map(
    lambda rows: (np.array([min(part, whole) for part, whole in rows]), np.array([whole for _, whole in rows]))
)


def bounds(found: Estimate | None) -> tuple[float, float]:
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    return found.low, found.high


def wilson(parts: int, whole: int, *, quantile: float) -> tuple[float, float]:
    """scipy's interval with this quantile in place of the normal one."""
    level = 2.0 * stats.norm.cdf(quantile) - 1.0
    found = stats.binomtest(parts, whole).proportion_ci(confidence_level=level, method="wilson")
    return found.low, found.high


def left_out(parts: np.ndarray, wholes: np.ndarray) -> tuple[float, float, float]:
    """The ratio, its jackknife variance, and the 97.5 % quantile for Kish's effective number of groups."""
    ratio = parts.sum() / wholes.sum()
    others = np.array([np.delete(parts, i).sum() / np.delete(wholes, i).sum() for i in range(len(parts))])
    variance = ((others - ratio) ** 2).sum() * (len(parts) - 1) / len(parts)
    effective = wholes.sum() ** 2 / (wholes**2).sum()
    return ratio, variance, stats.t.ppf(0.975, max(1, round(effective) - 1))


@given(st.integers(1, 100_000))
def test_any_freedom_has_students_quantile(freedom: int) -> None:
    assert student(freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=0.002)


@given(st.integers(3, 60), st.integers(1, 40), st.integers(1, 40))  # two groups: a level that floats round to 1
def test_groups_of_one_rate_have_wilsons_interval(count: int, parts: int, others: int) -> None:
    whole = parts + others
    expected = wilson(parts * count, whole * count, quantile=student(count - 1))
    assert bounds(share([parts] * count, [whole] * count)) == pytest.approx(expected, rel=1e-6)


@given(groups, st.integers(1, 40), st.booleans())
def test_a_share_without_variance_counts_groups_only(count: int, whole: int, everything: bool) -> None:
    expected = wilson(count * everything, count, quantile=stats.norm.ppf(0.975))
    found = bounds(share([whole * everything] * count, [whole] * count))
    assert found == pytest.approx(expected, abs=1e-6)


@given(uneven)
def test_uneven_groups_bound_a_share_by_wilsons_equation(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Wilson's bounds are the rates that the observed share lies exactly one quantile of standard errors away from."""
    parts, wholes = drawn
    ratio, variance, quantile = left_out(parts, wholes)
    assume(0.0 < ratio < 1.0)
    alone = ratio * (1.0 - ratio) / wholes.sum()
    observations = ratio * (1.0 - ratio) / max(variance, alone)
    for bound in bounds(share(list(parts), list(wholes))):
        errors = abs(ratio - bound) / np.sqrt(bound * (1.0 - bound) / observations)
        assert errors == pytest.approx(quantile, rel=WITHIN)


@given(totals, st.integers(1, 50))
def test_groups_of_one_size_bound_a_mean_as_students_t(sums: list[float], count: int) -> None:
    assume(np.ptp(sums) > 1e-3)
    means = np.array(sums) / count
    expected = stats.t.interval(0.95, len(means) - 1, loc=means.mean(), scale=stats.sem(means))
    found = mean(sums, [count] * len(sums))
    low, high = bounds(found)
    assert found is not None
    assert found.value == pytest.approx(means.mean())
    assert high - found.value == pytest.approx(expected[1] - means.mean(), rel=WITHIN)
    assert low == pytest.approx(max(0.0, found.value - (high - found.value)))


@given(uneven)
def test_uneven_groups_bound_a_mean_by_the_jackknife(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    sums, counts = drawn
    ratio, variance, quantile = left_out(sums, counts)
    low, high = bounds(mean(list(sums), list(counts)))
    assert high - ratio == pytest.approx(quantile * np.sqrt(variance), rel=WITHIN, abs=1e-9)
    assert low == pytest.approx(max(0.0, 2.0 * ratio - high), abs=1e-9)


@given(st.integers(0, 2**32 - 1), st.floats(-20.0, 20.0), st.floats(0.2, 5.0))
def test_large_arms_differ_in_means_as_in_welchs_test(seed: int, apart: float, times: float) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.normal(100.0 + apart, 5.0, 2000), rng.normal(100.0, 5.0 * times, 2000)
    expected = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95)
    pair = [mean(list(arm), [1.0] * len(arm)) for arm in (one, other)]
    assert pair[0] is not None
    assert pair[1] is not None
    low, high = bounds(difference(pair[0], pair[1]))
    assert high - low == pytest.approx(expected.high - expected.low, rel=WITHIN)
    assert (low + high) / 2.0 == pytest.approx(one.mean() - other.mean())


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((6, 7), (2, 7), (0.0582, 0.8062)),
        ((5, 56), (0, 29), (-0.0381, 0.1926)),
        ((0, 10), (0, 20), (-0.1611, 0.2775)),
    ],
)
def test_wilsons_intervals_differ_as_newcombe_tabulates(
    one: tuple[int, int], other: tuple[int, int], expected: tuple[float, float]
) -> None:
    """Method 10 in table II of the paper that `difference` cites (Statistics in Medicine 17, 1998, p. 873-890)."""
    quantile = stats.norm.ppf(0.975)
    pair = [Estimate(k / n, *wilson(k, n, quantile=quantile)) for k, n in (one, other)]
    assert bounds(difference(*pair)) == pytest.approx(expected, abs=6e-5)
