"""How many of n draws fall below the quantile that bounds an attacked score: the law of that count.

**Smoothed score.** X_1 … X_n are independent with quantile function Q: X_i = Q(U_i), U_i uniform. An attacked median is
at most Q(p+), p = Φ(s), s = ε/σ (``ranks.py``). Let B = #{i : U_i ≤ p}. It is *exactly* Bin(n, p), whatever Q
is, ties or not. The next order statistic has U_(B+1) > p, hence, counting from 1,

    attacked median  ≤  X_(B+1),        X_(n+1) = the top of the score's range.                                     (1)

The draws strictly below the quantile are at most B: they are dominated by Bin(n, p), by this coupling.

**Reported score.** An attacked frame is reported next with a sample median of n′ draws. It is at most their upper
middle one, the k-th, k = ⌊n′/2⌋ + 1, which is Q_δ(V) with V ~ Beta(k, n′ + 1 − k). V is independent of U_1 … U_n and of
the attack, because the next noise is. By the lemma Q_δ(v) ≤ Q(Φ(s + Φ⁻¹(v))) for all attacks and all v. So (1) holds
for the reported score with

    B = #{i : U_i ≤ Φ(s + Φ⁻¹(V))},        a mixture of binomials.                                                  (2)

No share of the error is set aside for a median that strays: the law of B pays for it. In a mean of many units the
strays cancel like all other sampling errors.

**Noise.** Where the noise is within a total variation τ of its ideal law, levels move by at most τ. Φ(s) becomes
Φ(s) + τ; in (2) V becomes V + τ first, and the level gains τ again (:func:`runtime.bounds.ranks.widen`).

**Rounding.** Levels are rounded up: 1 − p is taken 2⁻⁴⁰ of itself smaller. V is rounded up to a grid, which raises the
shift by a 200th of its deviation on average. A larger V makes B larger, so (1) still holds. A law is computed by ratios
from its mode, each probability to 4·n·2⁻⁵³ of itself, which :mod:`runtime.bounds.sums` pays.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaincc, ndtr, ndtri

from ..errors import ParameterError
from .alpha import SCOPES, Scope
from .ranks import check_parameters

LEVEL_ROOM = 2.0**-40
"""The relative part by which 1 − p is taken smaller: many times the rounding of Φ and Φ⁻¹."""
CELLS = 100
"""Cells of the grid a deviation of the normal score of V."""
REACH = 12.0
"""The grid ends here, in normal scores or in deviations; beyond it the level is 1."""
BLOCK = 2**20
"""Probabilities held at once while a mixture is summed."""


@lru_cache(maxsize=256)
def count_law(
    samples: int, shift: float, scope: Scope = "smoothed", distance: float = 0.0, next_samples: int | None = None
) -> NDArray[np.float64]:
    """P(B = 0 … n), float64[samples + 1], read-only: the law of the count in (1).

    ``shift`` = ε/σ; ``distance``: τ; ``next_samples``: n′ of the next report, ``samples`` unless given; used with scope
    "reported" only. Raises ParameterError out of range.
    """
    check_parameters(samples, shift, 0.5)
    if scope not in SCOPES:
        raise ParameterError(f"scope is 'smoothed' or 'reported', not {scope!r}")
    if not 0 <= distance < 1:
        raise ParameterError(f"the noise's distance from its law lies between 0 and 1, not {distance!r}")
    law: NDArray[np.float64]
    if scope == "smoothed":
        law = binomial_laws(np.array([samples]), levels_left(np.array([shift]), distance), samples)[0]
    else:
        law = _mixture(samples, shift, distance, samples if next_samples is None else next_samples)
    law.flags.writeable = False
    return law


def levels_left(shifts: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """1 − p for levels p = Φ(shift) + distance, rounded down; 0 where nothing is left."""
    return np.asarray(np.maximum(0.0, ndtr(-shifts) * (1 - LEVEL_ROOM) - distance * (1 + LEVEL_ROOM)))


def _mixture(samples: int, shift: float, distance: float, next_samples: int) -> NDArray[np.float64]:
    check_parameters(next_samples, 0.0, 0.5)
    middle = next_samples // 2 + 1
    rest = next_samples + 1 - middle
    deviation = math.sqrt(middle * rest / (next_samples + 1) ** 2 / (next_samples + 2)) * math.sqrt(2 * math.pi)
    reach = min(REACH, 2 * REACH * deviation)
    edges = np.linspace(-reach, reach, math.ceil(2 * reach / deviation * CELLS) + 1)
    levels = ndtr(edges)
    below = betainc(middle, rest, levels)
    above = betaincc(middle, rest, levels)
    # Differences of whichever tail is small keep their precision.
    masses = np.where(edges[1:] <= 0, np.diff(below), -np.diff(above))
    masses = np.concatenate([below[:1], masses, above[-1:]])
    strayed = -ndtri(levels_left(edges, distance))
    beyond = np.append(levels_left(np.maximum(edges, strayed) + shift, distance), 0.0)
    law = np.zeros(samples + 1)
    step = max(1, BLOCK // (samples + 1))
    for start in range(0, len(masses), step):
        block = beyond[start : start + step]
        law += masses[start : start + step] @ binomial_laws(np.full(len(block), samples), block, samples)
    return np.asarray(law / law.sum())


def binomial_laws(samples: NDArray[np.int64], beyond: NDArray[np.float64], longest: int) -> NDArray[np.float64]:
    """P(Bin(samples[i], 1 − beyond[i]) = 0 … longest), float64[i, longest + 1]."""
    q = beyond[:, None]
    counts = np.arange(longest)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        ratios = np.maximum(0.0, (samples[:, None] - counts) / (counts + 1)) * ((1 - q) / q)
    ratios = np.where(np.isnan(ratios), 0.0, ratios)
    # From the mode, where ratios fall below 1, down and up: products of factors of at most 1.
    rising = ratios >= 1
    up = np.cumprod(np.where(rising, 1.0, ratios), axis=1)
    down = np.cumprod(np.where(rising, 1 / np.maximum(ratios, 1.0), 1.0)[:, ::-1], axis=1)[:, ::-1]
    weights = np.concatenate([down, np.ones_like(q)], axis=1) * np.concatenate([np.ones_like(q), up], axis=1)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))
