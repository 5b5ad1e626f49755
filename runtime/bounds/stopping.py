"""When enough samples have been drawn: bounds that hold at every look at once, so that stopping costs no error.

Samples are drawn in order and looked at after n_1 < … < n_K of them. A rank r_j belongs to each look, and X_(r_j) of
the first n_j scores is the lower bound there. With p = Φ(−ε/σ) it is wrong only where at most r_j − 1 of the n_j
scores lie at or below h_p, each of which has probability at least p. Let S_n be the sum of n independent
Bernoulli(p) draws, coupled below those counts draw by draw. Whatever the distribution, ties or not,

    P(some look is wrong)  ≤  P(S_{n_j} ≤ r_j − 1 for some j)  =: c(r_1 … r_K).

c is a number, not a bound: it is summed exactly over the walk S, look by look (:func:`crossing`). The ranks are
chosen one after the other, each the largest for which the walk has crossed by look j with probability at most

    (α/2) · n_j/n_K                                                                                            (*)

(error spending, Lan & DeMets 1983, Biometrika 70:659; what one look cannot spend, counts being whole, the next one
may). Then c ≤ α/2. The upper side is the mirror image, rank n_j + 1 − r_j, as in ``ranks.py``. So with
probability ≥ 1−α the intervals of *all* looks hold, and with them the one of whichever look sampling stopped at: for
any reason, the scores so far, the interval wished for, another frame, or somebody's patience.

**The reported score** is the median of as many samples as were drawn, and the next report may stop elsewhere. For it
to exceed h_{1/2+η} at any of the looks, the walk with P = ½ + η must be at most ⌊n_j/2⌋ at one of them; η is such
that this has probability α/4 (:func:`stray_shift`). As in ``ranks.py`` the shift becomes ε/σ + Φ⁻¹(½+η) and
the interval covers the next score reported *at any of these looks*. η is little more than the first look alone would
need, so with scope "reported" no look comes before a quarter of the samples, nor before one that has a rank.

Measured against a union bound over looks and a beta-binomial mixture (Howard & Ramdas 2022, arXiv 1906.09712, valid
at every n): docs/stopping_figures.md, ``python -m benchmarks.stopping``.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, ndtri, xlog1py, xlogy

from .alpha import LOWER, STRAYS_UP, Scope, equal_share, frame_shares, radius_shares
from .ranks import binomial_cdf, check_parameters, radius_shift, reported_shift, widen

STEP = 8
"""Looks come at multiples of this, so that whole batches are drawn."""
GROWTH = 1.1
"""The least ratio of two looks: finer ones save less than 3% of the samples."""
REPORTED_SHARE = 4
"""With scope "reported" the first look comes after this part, a quarter, of the samples."""
RESERVE = 1e-6
"""The part of the error kept back: it pays for rounding, 1e-8 of a sum at n = 10⁷, and for tails cut off."""
CUT = 1e-10
"""A tail below this part of the error is cut off. Three a look: 3,000 looks would fit in the reserve."""


@dataclass(frozen=True)
class Schedule:
    """``looks``: n_1 < … < n_K, the last of them the samples asked for. ``lower_ranks``: r_j, None where none holds."""

    looks: tuple[int, ...]
    lower_ranks: tuple[int | None, ...]

    def ranks(self, look: int) -> tuple[int | None, int | None]:
        """The 1-based ranks (lower, upper) of look number ``look``, from 0; None where nothing is bounded yet."""
        lower = self.lower_ranks[look]
        return (None, None) if lower is None else (lower, self.looks[look] + 1 - lower)


@dataclass(frozen=True)
class Stopping:
    """Where sampling stopped: the ``rule`` in JSON types, the ``schedule``, and the number of the ``look``, from 0."""

    rule: Mapping[str, Any]
    schedule: Schedule
    look: int

    def ranks_at(self, shift: float, alpha: float, scope: Scope, distance: float) -> tuple[int | None, int | None]:
        """The ranks of this look for another shift or alpha, valid at every look too."""
        looks = self.schedule.looks
        return Schedule(looks, boundary(looks, shift, alpha, scope, distance)).ranks(self.look)

    def to_dict(self) -> dict[str, Any]:
        """What all frames of one file share: the rule, the looks and their lower ranks; not where one stopped."""
        return {
            "rule": dict(self.rule),
            "looks": list(self.schedule.looks),
            "lower_ranks": list(self.schedule.lower_ranks),
        }


@lru_cache(maxsize=64)
def schedule(samples: int, shift: float, alpha: float, scope: Scope, distance: float = 0.0) -> Schedule:
    """Looks up to ``samples`` and their ranks. ``shift`` = ε/σ; ``alpha``: total error, both sides, all looks.

    ``distance``: total variation distance of the noise from its ideal law. Raises ParameterError out of range.
    """
    check_parameters(samples, shift, alpha)
    looks = looks_from(-(-samples // (REPORTED_SHARE * STEP)) * STEP if scope == "reported" else STEP, samples)
    ranks = boundary(looks, shift, alpha, scope, distance)
    # A look without a rank cannot be stopped at; the next reported score need not be bounded there either.
    while ranks[0] is None and len(looks) > 1:
        useful = next((i for i, rank in enumerate(ranks) if rank is not None), len(looks) - 1)
        looks = looks[useful:]
        ranks = boundary(looks, shift, alpha, scope, distance)
    return Schedule(looks, ranks)


def looks_from(first: int, samples: int) -> tuple[int, ...]:
    """``first``, then each a tenth more, in multiples of STEP, and at last ``samples``."""
    looks = []
    while first < samples:
        looks.append(first)
        first = math.ceil(max(first * GROWTH, first + 1) / STEP) * STEP
    return (*looks, samples)


@lru_cache(maxsize=64)
def boundary(
    looks: tuple[int, ...], shift: float, alpha: float, scope: Scope, distance: float = 0.0
) -> tuple[int | None, ...]:
    """The lower rank of each look, so that with probability ≥ 1−alpha the intervals of all looks hold."""
    shares = frame_shares(alpha, scope)
    if scope == "reported":
        shift += widen(stray_shift(looks, shares[STRAYS_UP]), distance)
    ranks = spending_ranks(looks, float(ndtr(-widen(shift, distance))), shares[LOWER])
    return tuple(rank or None for rank in ranks)


def spending_ranks(looks: Sequence[int], p: float, error: float) -> list[int]:
    """r_j ≥ 0, the largest one after the other with P(S_{n_i} ≤ r_i − 1 for some i ≤ j) ≤ error·n_j/n_K."""
    ranks: list[int] = []
    spent = 0.0
    walk = Walk(p, error * CUT)
    for n in looks:
        walk.step(n)
        total = spent + np.cumsum(walk.mass)
        count = int(np.searchsorted(total, error * (1 - RESERVE) * n / looks[-1], side="right"))
        if count:
            spent = float(total[count - 1])
        ranks.append(walk.least + count)
        walk.absorb(ranks[-1])
    return ranks


def crossing(looks: Sequence[int], ranks: Sequence[int], p: float, cut: float = 0.0) -> float:
    """P(S_{n_j} ≤ r_j − 1 for some j), S a sum of Bernoulli(p) draws; too small by at most 3·cut a look."""
    walk = Walk(p, cut)
    crossed = 0.0
    for n, rank in zip(looks, ranks, strict=True):
        walk.step(n)
        crossed += walk.absorb(rank)
    return crossed


@lru_cache(maxsize=64)
def stray_shift(looks: tuple[int, ...], error: float) -> float:
    """Φ⁻¹(½+η) where the median at *some* look exceeds h_{1/2+η} with probability at most ``error``; inf if never.

    Found by bisection, to a thousandth of the union bound's slack, from the side that holds.
    """
    low = max(reported_shift(n, error) for n in looks)
    high = max(reported_shift(n, equal_share(error, len(looks))) for n in looks)
    if len(looks) == 1 or not math.isfinite(high):
        return high
    middles = [n // 2 + 1 for n in looks]
    for _ in range(10):
        shift = (low + high) / 2
        if crossing(looks, middles, float(ndtr(shift)), error * CUT) <= error * (1 - RESERVE):
            high = shift
        else:
            low = shift
    return high


def scope_radius_shift(
    ordered: NDArray[np.float64],
    centre: float,
    tolerance: float,
    alpha: float,
    scope: Scope,
    looks: tuple[int, ...],
    distance: float = 0.0,
) -> float | None:
    """The largest ε/σ at which the score stays within centre ± tolerance, with error ``alpha``; None if none.

    ``ordered``: sorted scores up to one of the ``looks``, (n,) for a count fixed beforehand. α is split over the events
    that may fail: two a side for the smoothed score, and one more a side, that the next reported score strays from it,
    for the reported one; over K looks by the union bound, a K-th at each.
    """
    ranks, stray = radius_shares(alpha, scope)
    above = radius_shift(ordered, centre, tolerance, equal_share(ranks, len(looks)))
    below = radius_shift(-ordered[::-1], -centre, tolerance, equal_share(ranks, len(looks)))
    shift = -float(ndtri(min(1.0, float(ndtr(-min(above, below))) + distance)))
    if scope == "reported":
        shift -= widen(stray_shift(looks, stray), distance)
    return shift if shift >= 0 else None


class Walk:
    """The law of S_n where it has not been absorbed: ``mass[i]`` = P(S_n = least + i), n so far.

    Its tails below ``cut`` are left out, those of each step and the upper one of the sum.
    """

    def __init__(self, p: float, cut: float) -> None:
        self.least = 0
        self.mass = np.ones(1)
        self._p = p
        self._cut = cut
        self._n = 0

    def step(self, n: int) -> None:
        """On to S_n: the convolution with Bin(n − n_before, p)."""
        low, law = _binomial(n - self._n, self._p, self._cut)
        self._n = n
        self.least += low
        self.mass = np.convolve(self.mass, law)
        above = np.cumsum(self.mass[::-1])
        gone = int(np.searchsorted(above, self._cut, side="right"))
        if gone:
            self.mass = self.mass[: max(1, len(self.mass) - gone)]

    def absorb(self, rank: int) -> float:
        """Take out S_n ≤ rank − 1, and return its probability."""
        count = max(0, rank - self.least)
        taken = float(self.mass[:count].sum())
        self.mass = self.mass[count:]
        self.least += count
        return taken


def _binomial(n: int, p: float, cut: float) -> tuple[int, NDArray[np.float64]]:
    """(k_0, P(Bin(n, p) = k) for k = k_0 …) without tails of probability below ``cut`` each."""
    low = bisect_right(range(n), cut, key=lambda k: binomial_cdf(k, n, p))
    high = n - bisect_right(range(n), cut, key=lambda k: binomial_cdf(k, n, 1 - p))
    k = np.arange(low, high + 1)
    return low, np.exp(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) + xlogy(k, p) + xlog1py(n - k, -p))
