"""Ranks against the published table, a brute-force binomial, and their defining property."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.special import ndtr

from runtime.bounds.ranks import (
    Scope,
    interval,
    least_samples,
    order_statistics,
    radius_shift,
    reported_shift,
    sample_median,
    scope_least_samples,
    scope_ranks,
    sorted_sides,
    widen,
)
from runtime.errors import ParameterError

COUNTS = (100, 500, 1000, 2000, 10000)
TABLE = {
    0.10: ((30, 71), (194, 307), (408, 593), (847, 1154), (4438, 5563), 13),
    0.25: ((24, 77), (165, 336), (351, 650), (731, 1270), (3852, 6149), 15),
    0.50: ((16, 85), (121, 380), (261, 740), (550, 1451), (2934, 7067), 21),
    1.00: ((5, 96), (54, 447), (122, 879), (265, 1736), (1467, 8534), 44),
    1.50: ((None, None), (17, 484), (42, 959), (98, 1903), (587, 9414), 110),
    2.00: ((None, None), (2, 499), (9, 992), (25, 1976), (180, 9821), 331),
}


@pytest.mark.parametrize("shift", TABLE)
def test_table(shift: float) -> None:
    *ranks, least = TABLE[shift]
    assert [order_statistics(n, shift, 0.001) for n in COUNTS] == ranks
    assert least_samples(shift, 0.001) == least


def _binomial_cdf(n: int, p: Fraction) -> list[Fraction]:
    """P(Bin(n, p) ≤ k) for k = 0 … n, in exact arithmetic."""
    total, cumulative = Fraction(0), []
    for k in range(n + 1):
        total += math.comb(n, k) * p**k * (1 - p) ** (n - k)
        cumulative.append(total)
    return cumulative


def test_brute_force_binomial() -> None:
    """200 random cases against the definition, summed in exact fractions."""
    rng = np.random.default_rng(7)
    for _ in range(200):
        n = int(rng.integers(1, 60))
        shift, alpha = float(rng.uniform(0, 2.5)), float(10 ** rng.uniform(-4, -0.5))
        upper_cdf = _binomial_cdf(n, Fraction(float(ndtr(shift))))
        lower_cdf = _binomial_cdf(n, Fraction(float(ndtr(-shift))))
        half = Fraction(alpha) / 2
        uppers = [k for k in range(1, n + 1) if upper_cdf[k - 1] >= 1 - half]
        lowers = [k for k in range(1, n + 1) if lower_cdf[k - 1] <= half]
        assert order_statistics(n, shift, alpha) == (max(lowers, default=None), min(uppers, default=None))


def test_least_samples_is_least() -> None:
    for shift in (0.0, 0.3, 0.9, 1.7, 2.6):
        for alpha in (0.2, 0.01, 1e-6):
            least = least_samples(shift, alpha)
            assert least is not None
            assert order_statistics(least, shift, alpha)[0] is not None
            assert least == 1 or order_statistics(least - 1, shift, alpha)[0] is None
            reported = scope_least_samples(shift, alpha, "reported")
            assert reported is not None
            assert reported > least
            assert scope_ranks(reported, shift, alpha, "reported")[0] is not None


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
@pytest.mark.parametrize("shift", [4.0, 5.0, 6.0, 7.0, 7.5])
def test_least_samples_of_large_shifts(shift: float, scope: Scope) -> None:
    """Billions of samples are told at once, and agree with (1 − p)ⁿ ≤ α/2 in logarithms."""
    least = scope_least_samples(shift, 0.001, scope)
    assert least is not None
    assert scope_ranks(least, shift, 0.001, scope)[0] is not None
    assert scope_ranks(least - 1, shift, 0.001, scope)[0] is None
    if scope == "smoothed":
        assert least == pytest.approx(math.log(0.0005) / math.log1p(-float(ndtr(-shift))), rel=1e-9, abs=1)


def test_errors_too_small_to_compute_with_are_refused() -> None:
    with pytest.raises(ParameterError, match="alpha"):
        least_samples(1.0, 5e-324)
    assert order_statistics(10000, 0.5, 1e-100)[0] is not None


def test_no_count_bounds_an_absurd_shift() -> None:
    assert least_samples(40, 0.001) is None
    assert order_statistics(1000, 40, 0.001) == (None, None)


def test_wider_radius_is_never_narrower() -> None:
    ranks = [order_statistics(1000, shift, 0.001)[0] or 0 for shift in np.linspace(0, 3, 200)]
    assert ranks == sorted(ranks, reverse=True)
    assert all(
        (scope_ranks(1000, s, 0.001, "reported")[0] or 0) <= (order_statistics(1000, s, 0.001)[0] or 0)
        for s in (0, 0.5, 1)
    )


@pytest.mark.parametrize("samples", [11, 12, 501, 1000])
def test_reported_shift_inverts_the_binomial(samples: int) -> None:
    from scipy.stats import binom

    shift = reported_shift(samples, 0.01)
    assert binom.cdf(samples // 2, samples, ndtr(shift)) == pytest.approx(0.01, rel=1e-6)


def test_failures_count_against_both_sides() -> None:
    low, high = sorted_sides([1.0, math.nan, 3.0, math.inf, 2.0, -math.inf, 4.0])
    assert low.tolist() == [-math.inf, -math.inf, -math.inf, 1, 2, 3, 4]
    assert high.tolist() == [1, 2, 3, 4, math.inf, math.inf, math.inf]
    assert interval(low, high, (3, 5)) == (-math.inf, math.inf)
    assert interval(low, high, (4, 4)) == (1, 4)
    assert interval(low, high, (None, None)) == (-math.inf, math.inf)
    assert sample_median(low, high) == 2.5
    assert math.isnan(sample_median(*sorted_sides([1.0, math.nan, math.nan])))


def test_ranks_count_from_one() -> None:
    low, high = sorted_sides(np.arange(1, 101))
    assert interval(low, high, order_statistics(100, 0.5, 0.001)) == (16, 85)


def test_radius_by_hand() -> None:
    """All scores within the tolerance: 1 − F ≤ (1 − u)(1 − q) with both beta quantiles in closed form."""
    from scipy.stats import beta, norm

    ordered = np.linspace(0, 1, 101)
    u = beta.ppf(0.005, 51, 51)
    q = 0.005 ** (1 / 50)
    assert radius_shift(ordered, 0.5, 1.0, 0.01) == pytest.approx(-norm.ppf((1 - u) * (1 - q)))
    assert radius_shift(ordered, 0.5, 0.0, 0.01) < 0


def test_widen() -> None:
    assert 0.5 <= widen(0.5, 0.0) <= 0.5 + 1e-12
    assert ndtr(-widen(0.5, 1e-3)) == pytest.approx(ndtr(-0.5) - 1e-3)
    assert widen(3.0, 0.01) == math.inf


@pytest.mark.parametrize(
    ("samples", "shift", "alpha"),
    [(0, 0.1, 0.1), (2.5, 0.1, 0.1), (True, 0, 0.1), (9, -1, 0.1), (9, math.nan, 0.1), (9, 0.1, 0), (9, 0.1, 1)],
)
def test_bad_parameters(samples: int, shift: float, alpha: float) -> None:
    with pytest.raises(ParameterError):
        order_statistics(samples, shift, alpha)
