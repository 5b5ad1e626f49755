"""Which order statistics of n noisy scores bound the smoothed score of every frame within ε.

**Theorem** (Chiang et al. 2020, arXiv 2007.03730, Lemma 1; from Neyman–Pearson for Gaussians). Let
G ~ N(0, σ²I) and h_p(x) the p-quantile of f(x+G). For every ‖δ‖₂ ≤ ε

    h_{Φ(−ε/σ)}(x)  ≤  h_{1/2}(x+δ)  ≤  h_{Φ(ε/σ)}(x).

**Order statistics.** X_(1) ≤ … ≤ X_(n), numbered from 1, from n independent scores of x. The event
X_(k) < h_p needs at least k of n draws below h_p, each of which has probability ≤ p, so

    P(X_(k) < h_p) ≤ P(Bin(n, p) ≥ k),        P(X_(k) > h_p) ≤ P(Bin(n, p) ≤ k−1),

with or without ties. With ``shift`` s = ε/σ and α/2 a side:

    lower = max{k : P(Bin(n, Φ(−s)) ≤ k−1) ≤ α/2},     upper = min{k : P(Bin(n, Φ(s)) ≥ k) ≤ α/2},

and upper = n + 1 − lower, because Bin(n, Φ(s)) is n − Bin(n, Φ(−s)); only the lower one is computed, from
the small probability, which keeps its precision. Where no k qualifies the bound is infinite. Ranks here
count from 1: X_(k) is ``sorted_scores[k − 1]``.

**The reported score** is not h_{1/2} but the median of n′ draws, which lies above h_{1/2+η} only if at
most ⌊n′/2⌋ draws fall at or below it: with P(Bin(n′, ½+η) ≤ ⌊n′/2⌋) = a′ that has probability ≤ a′, and
h_{1/2+η}(x+δ) ≤ h_{Φ(ε/σ + Φ⁻¹(½+η))}(x) by the same lemma. So the next reported score of any frame
within ε obeys the bound of shift ε/σ + Φ⁻¹(½+η), with α split over four events of α/4.

**Failed scores** (NaN, ±inf) are never dropped: they count as +inf above and −inf below.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincc, betaincinv, ndtr, ndtri

from ..errors import ParameterError
from .alpha import LOWER, STRAYS_UP, UPPER, Scope, frame_shares, side_share

LEAST_ALPHA = 1e-100
"""Below it 1 − Φ of the shifts that such errors ask for rounds to 0."""


def check_parameters(samples: int, shift: float, alpha: float) -> None:
    """Raise ParameterError unless samples ≥ 1, shift ≥ 0 and 1e-100 ≤ alpha < 1."""
    if isinstance(samples, bool) or not isinstance(samples, (int, np.integer)) or samples < 1:
        raise ParameterError(f"samples must be a whole number of at least 1, not {samples!r}")
    if not shift >= 0:
        raise ParameterError(f"the shift epsilon/sigma must be 0 or more, not {shift!r}")
    if not LEAST_ALPHA <= alpha < 1:
        raise ParameterError(f"alpha must lie between {LEAST_ALPHA:g} and 1, not {alpha!r}")


def binomial_cdf(count: int, samples: int, p: float) -> float:
    """P(Bin(samples, p) ≤ count) for 0 ≤ count < samples, precise for small p, where SciPy's bdtr is not."""
    return float(betaincc(count + 1, samples - count, p))


def order_statistics(samples: int, shift: float, alpha: float) -> tuple[int | None, int | None]:
    """Ranks (lower, upper), from 1, whose order statistics bound the smoothed score; None where none does.

    ``shift`` is ε/σ and ``alpha`` the total error, α/2 a side. Raises ParameterError outside their ranges.
    """
    check_parameters(samples, shift, alpha)
    p = float(ndtr(-shift))
    # The CDF grows with j: the number of j with CDF(j) ≤ α/2 is the largest k with CDF(k−1) ≤ α/2.
    lower = bisect_right(range(samples), side_share(alpha), key=lambda j: binomial_cdf(j, samples, p))
    if lower == 0:
        return None, None
    return lower, samples + 1 - lower


def least_samples(shift: float, alpha: float) -> int | None:
    """The least n that bounds the smoothed score: (1 − Φ(−s))ⁿ ≤ α/2. None where no n of 2⁵³ would do."""
    check_parameters(1, shift, alpha)
    p = float(ndtr(-shift))
    if p < 2**-50:
        return None
    n = max(1, math.ceil(math.log(side_share(alpha)) / math.log1p(-p)))
    # The logarithms may be off in the last place; the definition decides.
    while n > 1 and order_statistics(n - 1, shift, alpha)[0] is not None:
        n -= 1
    while order_statistics(n, shift, alpha)[0] is None:
        n += 1
    return n


def reported_shift(samples: int, error: float) -> float:
    """Φ⁻¹(½+η) where the median of ``samples`` draws exceeds h_{1/2+η} with probability ``error``; inf if never.

    P(Bin(n′, ½+η) ≤ m) = error with m = ⌊n′/2⌋, inverted by the beta quantile. For even n′ the median is the
    mean of the two middle scores, which lies below the upper one, X_(m+1).
    """
    check_parameters(samples, 0.0, error)
    m = samples // 2
    return max(0.0, -float(ndtri(betaincinv(samples - m, m + 1, error))))


def widen(shift: float, distance: float) -> float:
    """The shift that also covers a total variation ``distance`` of the noise from its ideal law.

    If every event has its ideal probability up to τ, a quantile of level p under one law is at most that of
    level p + τ under the other: Φ(s) becomes Φ(s) + τ, the shift −Φ⁻¹(Φ(−s) − τ), infinite where nothing is left.
    """
    left = float(ndtr(-shift)) - distance
    return max(shift, -float(ndtri(left))) if left > 0 else math.inf


def scope_ranks(
    samples: int, shift: float, alpha: float, scope: Scope, distance: float = 0.0
) -> tuple[int | None, int | None]:
    """Ranks for the smoothed score, or for the next score reported from as many samples.

    ``distance``: total variation distance of the noise from its ideal law, for a whole frame. It enters
    once where this frame's samples are drawn, and once more where the next reported score is.
    """
    check_parameters(samples, shift, alpha)
    shares = frame_shares(alpha, scope)
    if scope == "reported":
        shift += widen(reported_shift(samples, shares[STRAYS_UP]), distance)
    return order_statistics(samples, widen(shift, distance), shares[LOWER] + shares[UPPER])


def scope_least_samples(shift: float, alpha: float, scope: Scope) -> int | None:
    """The least n from which on ``scope_ranks`` finds a bound; None where no n of about 2⁵³ would do."""
    shares = frame_shares(alpha, scope)
    least = least_samples(shift, shares[LOWER] + shares[UPPER])
    if least is None or scope == "smoothed":
        return least

    # The reported shift falls with n, but odd and even n differ a little: two in a row must do.
    def suffices(n: int) -> bool:
        return all(scope_ranks(m, shift, alpha, scope)[0] is not None for m in (n, n + 1))

    most = least
    while not suffices(most):
        if most > 2**52:
            return None
        most *= 2
    return bisect_left(range(most), True, lo=most // 2, key=suffices)


def sorted_sides(scores: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Scores sorted with failures at −inf (for the lower side) and at +inf (for the upper side)."""
    values = np.asarray(scores, np.float64).reshape(-1)
    failed = ~np.isfinite(values)
    return np.sort(np.where(failed, -np.inf, values)), np.sort(np.where(failed, np.inf, values))


def interval(
    low: NDArray[np.float64], high: NDArray[np.float64], ranks: tuple[int | None, int | None]
) -> tuple[float, float]:
    """(X_(lower), X_(upper)) of the sides of :func:`sorted_sides`; infinite where there is no rank."""
    lower, upper = ranks
    return (
        -math.inf if lower is None else float(low[lower - 1]),
        math.inf if upper is None else float(high[upper - 1]),
    )


def sample_median(low: NDArray[np.float64], high: NDArray[np.float64]) -> float:
    """The reported score: the middle score, the mean of the two middle ones for even n; NaN where failures
    reach the middle. Failures pull the two sides apart, and the score is halfway between their medians."""
    with np.errstate(invalid="ignore"):
        return float((np.median(low) + np.median(high)) / 2)


def radius_shift(ordered: NDArray[np.float64], centre: float, tolerance: float, error: float) -> float:
    """The largest s such that h_{Φ(s)} ≤ centre + tolerance, with error at most ``error``; −inf if none.

    ``ordered``: n sorted scores; ``centre``: their median. The threshold depends on the data, so the plain
    Clopper–Pearson bound for P(f ≤ threshold) would not be valid. Given the upper middle score X_(r),
    r = ⌊n/2⌋ + 1, the N = n − r scores above it are independent draws beyond it: with X = F⁻¹(U), U_(r) = u,
    the count J of those ≤ c = centre + tolerance is Bin(N, (F(c) − u)/(1 − u)), ties or not. Hence, at
    half of the error each, u ≥ the beta quantile of U_(r) and (F(c) − u)/(1 − u) ≥ the Clopper–Pearson bound q:

        1 − F(c) ≤ (1 − u)(1 − q),        s = −Φ⁻¹((1 − u)(1 − q)).
    """
    n = len(ordered)
    rank = n // 2 + 1
    limit = centre + tolerance
    if limit < ordered[rank - 1]:
        return -math.inf
    inside = int(np.searchsorted(ordered[rank:], limit, side="right"))
    beyond = n - rank
    median_level = float(betaincinv(rank, beyond + 1, side_share(error)))
    share = float(betaincinv(inside, beyond - inside + 1, side_share(error))) if inside else 0.0
    return -float(ndtri((1 - median_level) * (1 - share)))
