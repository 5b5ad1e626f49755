"""Bounds of tiles against worst cases found without any of their theory: laws with known quantiles, searched by force.

Eight tiles of heterogeneous laws, normal, skewed both ways, tied and two-valued, h_i(e) = Q_i(Φ(e/σ)), on one drawing.
Claimed jointly: grey levels, an L2 distance, a patch, and a patch with grey levels elsewhere. The worst case of the
mean under L2 is a dynamic programme over a fine grid of e²; of the median, the cheapest half of the tiles lifted, to
every value in turn. Both are reached by some attack, so a bound below is a miss. All four claims of both sides hold
together with probability ≥ 1 − α; false alarms of a test: 0.1%.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, norm

from runtime.bounds.budget import certify_tiles, grey_levels, l2, patch

Law = Callable[[NDArray[np.float64]], NDArray[np.float64]]
"""Quantiles of a tile's scores."""

LAWS: list[Law] = [
    lambda p: 40 + 2 * norm.ppf(p),
    lambda p: np.minimum(38 - 6 * np.log1p(-p), 99),  # a long tail above
    lambda p: np.maximum(52 + 6 * np.log(p), 1),  # a long tail below
    lambda p: np.round(44 + 1.5 * norm.ppf(p)),  # ties
    lambda p: np.where(p <= 0.7, 41.0, 47.0),  # two values
    lambda p: 46 + 0.3 * norm.ppf(p),
    lambda p: np.full_like(p, 45.0),  # one value
    lambda p: 43 + 4 * (p > 0.5) + norm.ppf(p),  # a step
]
BOTTOM, TOP, DRAWS, ALPHA = 0.0, 100.0, 120, 0.2
LEVEL, REACH, SPOILT, SHIFTED = 0.5, 0.9, 2, 0.3
CELLS = 240


def moved(shifts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each tile's score where it was moved up by its shift; of an open end of a law, a little inside."""
    p = np.clip(norm.cdf(shifts) - 1e-9, 1e-9, 1 - 1e-9)
    return np.array([float(law(np.array([q]))[0]) for law, q in zip(LAWS, p, strict=True)])


@lru_cache
def worst(aggregate: str, claim: str, up: bool) -> float:
    """The score that an attacker reaches; ``up`` False: of the mirrored problem, by mirroring it back."""
    way = 1.0 if up else -1.0

    def of(shift: float) -> NDArray[np.float64]:
        return way * moved(np.full(len(LAWS), way * shift))

    def join(scores: NDArray[np.float64]) -> float:
        return float(scores.mean() if aggregate == "mean" else np.median(scores))

    if claim == "levels":
        return way * join(of(LEVEL))
    if claim in ("patch", "patch and levels"):
        scores = of(SHIFTED if "levels" in claim else 0.0)
        end = TOP if up else -BOTTOM
        spoilt = []
        for taken in _pairs():
            changed = scores.copy()
            changed[list(taken)] = end
            spoilt.append(join(changed))
        return way * max(spoilt)
    grid = np.sqrt(np.linspace(0, REACH**2, CELLS + 1))
    curves = np.array([of(shift) for shift in grid])  # cells × tiles
    if aggregate == "mean":
        best = np.zeros(CELLS + 1)
        for curve in curves.T:
            best = np.array(
                [max(best[cell - spent] + curve[spent] for spent in range(cell + 1)) for cell in range(CELLS + 1)]
            )
        return way * float(best[CELLS]) / len(LAWS)
    return way * _highest_median(curves)


def _pairs() -> list[tuple[int, int]]:
    return [(i, j) for i in range(len(LAWS)) for j in range(i)]


def _highest_median(curves: NDArray[np.float64]) -> float:
    """Of eight: the mean of the fourth and the fifth highest. Every pair of values on the curves is tried."""
    half = len(LAWS) // 2
    values = np.unique(curves)

    def cost(value: float) -> NDArray[np.float64]:
        reached = curves >= value
        return np.where(reached.any(0), reached.argmax(0), np.inf)

    costs = {value: cost(value) for value in values}
    best = -np.inf
    for high in values:
        order = np.argsort(costs[high])
        paid = costs[high][order[:half]].sum()
        if paid > CELLS:
            continue
        for low in values[values <= high][::-1]:
            if (low + high) / 2 <= best:
                break
            more = np.sort(np.delete(costs[low], order[:half]))[0]
            if paid + more <= CELLS:
                best = (low + high) / 2
                break
    return float(best)


def misses(runs: int, seed: int, aggregate: str) -> int:
    """Drawings of which one of the eight bounds is wrong."""
    rng, wrong = np.random.default_rng(seed), 0
    claims = {
        "levels": grey_levels(LEVEL),
        "l2": l2(REACH, len(LAWS)),
        "patch": patch(SPOILT),
        "patch and levels": patch(SPOILT, SHIFTED),
    }
    trim = 0 if aggregate == "mean" else (len(LAWS) - 1) // 2
    for _ in range(runs):
        scores = np.array([law(rng.uniform(size=DRAWS)) for law in LAWS])
        bad = False
        for claim, attack in claims.items():
            made = certify_tiles(scores, attack, ALPHA / len(claims), bottom=BOTTOM, top=TOP, trim=trim)
            bad |= made.upper < worst(aggregate, claim, True) - 1e-6
            bad |= made.lower > worst(aggregate, claim, False) + 1e-6
        wrong += bad
    return wrong


@pytest.mark.parametrize("aggregate", ["mean", "median"])
def test_no_attack_found_by_force_gets_out(aggregate: str) -> None:
    assert misses(10, 5, aggregate) <= binom.ppf(0.999, 10, ALPHA)


@pytest.mark.long
@pytest.mark.parametrize("aggregate", ["mean", "median"])
def test_no_attack_found_by_force_gets_out_of_many(aggregate: str) -> None:
    assert misses(600, 6, aggregate) <= binom.ppf(0.999, 600, ALPHA)


def test_the_search_finds_what_is_known() -> None:
    """Levels by hand, and a budget spent on one tile alone is no better than spent on all."""
    assert worst("mean", "levels", True) == pytest.approx(float(moved(np.full(8, LEVEL)).mean()))
    assert worst("mean", "levels", False) == pytest.approx(float(moved(np.full(8, -LEVEL)).mean()))
    for up in (True, False):
        way = 1 if up else -1
        alone = max(way * moved(way * REACH * np.eye(8)[i]).mean() for i in range(8))
        assert way * worst("mean", "l2", up) >= alone - 0.02
        assert way * worst("median", "l2", up) >= way * np.median(moved(np.full(8, way * REACH / np.sqrt(8)))) - 0.02
