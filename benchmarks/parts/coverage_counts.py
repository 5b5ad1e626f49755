"""How often intervals miss the worst that their theorem lets an attack do, for scores of a known law.

An attacked median is at most the quantile of level Φ(s) of the frame's own scores, and at least that of level Φ(−s).
An interval *misses* where it ends before one of the two. No attack on the model is needed: these are the ends of what
any attack could do, so real ones are rarer misses still.

Every function takes scores, one certificate a row, makes the intervals with the functions of ``runtime``, and returns
bool[certificates], True for a miss on either side. ``alpha`` is the error of both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import beta, binom, norm

from runtime import Tampering
from runtime.bounds import Aggregate, Scope, Units, certify_mean, schedule, scope_ranks
from runtime.results import Domain, bound_tiles

Misses = NDArray[np.bool_]
Scores = NDArray[np.float64]

PARTS = 16
"""An L2 budget is split over tiles in all ways that give each a number of these parts."""


@dataclass(frozen=True, eq=False)
class Law:
    """The law of a frame's score, as N sorted reference scores; ``shift``: s = ε/(kσ), ``distance``: of the noise.

    ``doubt`` 0: the reference *is* the law, and quantiles are exact. Else it is a sample of the law, and each quantile
    is taken on the near side of its confidence bound: with probability ≥ 1 − doubt the true one is further out, so a
    miss that is counted is a miss.
    """

    ordered: Scores
    shift: float
    distance: float
    doubt: float = 0.0

    def above(self, shifts: ArrayLike) -> Scores:
        """The quantiles just above level Φ(shift): what the attacked score is at most."""
        return np.asarray(self.ordered[self._ranks(norm.cdf(shifts)) - 1])

    def below(self, shifts: ArrayLike) -> Scores:
        """The quantiles of level Φ(−shift): what the attacked score is at least."""
        return np.asarray(self.ordered[len(self.ordered) - self._ranks(norm.cdf(shifts))])

    def _ranks(self, levels: ArrayLike) -> NDArray[np.int64]:
        """From 1: the least with more than ``level`` of the law at or below it; with doubt, X_(rank) ≤ it."""
        n = len(self.ordered)
        exact = np.floor(np.multiply(levels, n)) + 1
        ranks = binom.ppf(self.doubt, n, levels) if self.doubt else exact
        return np.asarray(np.clip(ranks, 1, n), np.int64)


def _next_report(rng: np.random.Generator, count: int, samples: int) -> Scores:
    """Φ⁻¹ of the level at which the middle one of an odd number of next draws falls (bounds/counts.py)."""
    middle = samples // 2 + 1
    return np.asarray(norm.ppf(beta.rvs(middle, samples + 1 - middle, size=count, random_state=rng)))


def one_frame(scores: Scores, law: Law, alpha: float, scope: Scope, rng: np.random.Generator) -> Misses:
    """``scores``: (certificates, n), n odd. With scope "reported" the next report of the worst attack is drawn."""
    count, samples = scores.shape
    lower, upper = scope_ranks(samples, law.shift, alpha, scope, law.distance)
    if lower is None or upper is None:
        raise ValueError(f"{samples} samples bound nothing at alpha={alpha:g}")
    ordered = np.partition(scores, (lower - 1, upper - 1), axis=1)
    if scope == "reported":
        high = law.above(law.shift + _next_report(rng, count, samples))
        low = law.below(law.shift + _next_report(rng, count, samples))
    else:
        low, high = law.below(law.shift), law.above(law.shift)
    return np.asarray((ordered[:, lower - 1] > low) | (ordered[:, upper - 1] < high))


def early_stop(scores: Scores, law: Law, alpha: float, tolerance: float) -> tuple[Misses, Misses]:
    """(misses where an interval no wider than ``tolerance`` stopped the draws, misses at any look).

    The second are those of a gate whose threshold is the worst one: the end of what an attack can do.
    """
    made = schedule(scores.shape[1], law.shift, alpha, "smoothed", law.distance)
    stopped, ever = np.zeros((2, len(scores)), np.bool_)
    waiting = np.ones(len(scores), np.bool_)
    low, high = law.below(law.shift), law.above(law.shift)
    for look, drawn in enumerate(made.looks):
        lower, upper = made.ranks(look)
        if lower is None or upper is None:
            continue
        ordered = np.partition(scores[:, :drawn], (lower - 1, upper - 1), axis=1)
        bottom, top = ordered[:, lower - 1], ordered[:, upper - 1]
        missed = (bottom > low) | (top < high)
        ends = waiting & ((top - bottom <= tolerance) | (drawn == made.looks[-1]))
        stopped |= ends & missed
        ever |= missed
        waiting &= ~ends
    return stopped, ever


def one_mean(
    scores: Scores,
    laws: Sequence[Law],
    alpha: float,
    scope: Scope,
    score_range: tuple[float, float],
    rng: np.random.Generator,
) -> Misses:
    """``scores``: (certificates, frames, n), a law a frame, of one shift and distance: their collective bound."""
    count, frames, samples = scores.shape
    units = Units(frames, samples, laws[0].shift, laws[0].distance)
    low, high = np.zeros((2, count))
    for law in laws:
        strays = [_next_report(rng, count, samples) if scope == "reported" else np.zeros(count) for _ in range(2)]
        low += law.below(law.shift + strays[0]) / frames
        high += law.above(law.shift + strays[1]) / frames
    bottom, top = score_range
    made = [certify_mean([one], [units], alpha, bottom=bottom, top=top, scope=scope) for one in scores]
    return np.array([m.lower > a or m.upper < b for m, a, b in zip(made, low, high, strict=True)])


def frame_of_tiles(
    scores: Scores,
    laws: Sequence[Law],
    alpha: float,
    tampering: Tampering,
    domain: Domain,
    aggregate: Aggregate,
    score_range: tuple[float, float],
) -> Misses:
    """``scores``: (certificates, n, tiles), a law a tile, against the worst of ``worst_tampering``."""
    low, high = worst_tampering(laws, tampering, domain, aggregate, score_range)
    made = [
        bound_tiles(
            one.astype(np.float32), tampering, domain, aggregate, alpha, "smoothed", laws[0].distance, score_range
        )
        for one in scores
    ]
    return np.array([m.lower > low or m.upper < high for m in made])


def worst_tampering(
    laws: Sequence[Law],
    tampering: Tampering,
    domain: Domain,
    aggregate: Aggregate,
    score_range: tuple[float, float],
) -> tuple[float, float]:
    """(lowest, highest) score of the frame: the quantiles of each tile, over what may be done to the tiles.

    Grey levels move all tiles alike; a patch spoils each choice of as many tiles as it may touch; an L2 budget is
    split in each way of ``PARTS`` parts. Some split in between may be worse: what is found is what can be reached.
    """
    shift, tiles = tampering.shift(domain), len(laws)
    if tampering.epsilon is None:
        touched = min(tiles, tampering.tiles_touched(domain))
        lows = np.array([[law.below(shift) for law in laws]])
        highs = np.array([[law.above(shift) for law in laws]])
        spoilt = np.zeros((0, tiles), np.bool_)
        for chosen in combinations(range(tiles), touched):
            spoilt = np.vstack([spoilt, np.isin(np.arange(tiles), chosen)])
        lows, highs = np.where(spoilt, score_range[0], lows), np.where(spoilt, score_range[1], highs)
    else:
        splits = np.array([s for s in product(range(PARTS + 1), repeat=tiles) if sum(s) == PARTS])
        # Rounded inwards: together they spend no more than the budget.
        shifts = shift * np.sqrt(splits / PARTS) * (1 - 2.0**-40)
        lows = np.stack([law.below(shifts[:, i]) for i, law in enumerate(laws)], axis=1)
        highs = np.stack([law.above(shifts[:, i]) for i, law in enumerate(laws)], axis=1)
    return min(map(aggregate.of, lows)), max(map(aggregate.of, highs))


def most_misses(certificates: int, alpha: float) -> int:
    """What independent misses of probability ``alpha`` stay at or below with 99.9%."""
    return int(binom.ppf(0.999, certificates, alpha))
