"""Many independent scores, one mean: a bound in which their sampling errors cancel.

**Setting.** Units m = 1 … M: frames of a clip, or tiles of a frame. Unit m has n_m draws X_m,(1) ≤ … ≤ X_m,(n_m) of its
own, counted from 1; X_m,(n_m + 1) is the top of the score's range. Draws of different units are independent. The unit's
attacked score h_m (smoothed, or the next one reported) obeys h_m ≤ X_m,(B_m + 1) for a count B_m whose law is known
exactly (:mod:`runtime.bounds.counts`). The B_m are independent. Only their values are unknown.

**Theorem.** Let A be a set of vectors with P(B ∉ A) ≤ α/2, and a_m ≥ 0 weights. With probability ≥ 1 − α/2

    Σ a_m h_m  ≤  max over J in A of  Σ a_m X_m,(J_m + 1).                                                          (1)

Proof: where B ∈ A, the vector B is one of those that the maximum runs over. ∎

The draws strictly *below* the quantile are at most B_m, unit by unit. All functions below are non-decreasing. So A is
down-closed: with J every smaller vector is in it. The theorem could be told with those counts, by domination.

**The set.** Three conditions, each with a share of α/2. :data:`SHARES` holds them; the laws alone choose among them.

    largest    J_m ≤ r_m for all m,    r_m at one tail level t for all, 1 − (1 − t)^M = share;
    sum        Σ w_m J_m ≤ c₁,         w_m = 1, or where the n_m differ round(SUM_STEPS·(largest n)/n_m);
    spread     Σ φ_m(J_m) ≤ c₂,        φ_m(j) = round(κ·max(0, (j − mean of B_m)/(deviation of B_m) + LEAD)²).

In the last two J_m is cut at r_m, and below at a rank it hardly ever falls short of (LEAST_TAIL). That too is part of
what the set *is*, as the rounding of φ is: nothing is lost by either. c₁ and c₂ come from the exact law of the sum
(:mod:`runtime.bounds.sums`). Measured: hinges, other powers and slanted conditions gain less than 0.01 deviations.

**Duality.** For J in A and any λ₁, λ₂ ≥ 0, 0 ≤ λ₁(c₁ − Σ w J) + λ₂(c₂ − Σ φ(J)). Add it to (1), and then keep only the
condition on the largest. So for *every* λ ≥ 0, chosen with the data or not, (1) is at most

    U(λ)  =  λ₁c₁ + λ₂c₂ + Σ_m max over j ≤ r_m of [ a_m X_m,(j+1) − λ₁ w_m j − λ₂ φ_m(j) ].                        (2)

No solver has to be trusted. U is convex and is minimised by cutting planes (:mod:`runtime.bounds.planes`). λ = 0 is the
rank bound of every unit at level t.

**One unit.** For M = 1 "largest" has the whole share and U is X_(r+1), the exact bound of ``ranks.py``.

**The lower side** is the same bound for −X and the mirrored range. A failed score counts as the top above and as the
bottom below.

**Means of a function.** For increasing g, g(h_m) is bounded by the scores g(X). So the mean of g(h_m) is bounded too,
and with it g⁻¹ of that mean. The harmonic mean has g(x) = −1/(x + 1).

**Rounding.** (2) is raised by 64·2⁻⁵³ of the sum of all magnitudes in it. For M ≤ 2²⁰ a pairwise sum loses at most
28·2⁻⁵³ of that. g and g⁻¹ are paid alike. Every probability is paid in :mod:`runtime.bounds.sums`.

**Needs.** Independent noise in every unit: one noise for all frames of a clip will not do. n fixed, or looks paid for
(:class:`Looks`). A finite range of scores. The noise's distance from its law enters the laws of the counts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import ParameterError
from .alpha import Scope, equal_share, fraction_of, side_share
from .counts import count_law
from .planes import lowest_point
from .ranks import check_parameters
from .sums import RESERVE, UNIT, Part, limit

ONE_UNIT: Mapping[str, float] = {"largest": 1.0}
"""What each condition gets of the error of a side, for one unit."""
SHARES: Sequence[Mapping[str, float]] = (
    {"largest": 0.10, "sum": 0.45, "spread": 0.45},
    {"largest": 0.20, "sum": 0.40, "spread": 0.40},
    {"largest": 0.40, "sum": 0.30, "spread": 0.30},
    {"largest": 0.80, "sum": 0.10, "spread": 0.10},
)
"""The same for two units or more: the first with which no unit needs the end of the range, or else the first."""
LEAST_TAIL = 1e-18
"""Ranks below which a count lies with less than this are not told apart in the sum and the spread."""
SPREAD_STEPS = 1500
"""κ gives the sum of all φ a deviation of about this many whole numbers; a unit at least LEAST_STEPS."""
LEAST_STEPS = 8
LEAD = 0.5
"""The spread counts from this many deviations below the mean."""
SUM_STEPS = 16
"""Where sample counts differ, w_m = round(SUM_STEPS · (largest n)/n_m)."""
MOST_SAMPLES = 2**14
"""No plan asks for more draws a unit."""
MOST_UNITS = 2**20
"""The sum's rounding is paid for up to here."""
SEARCHED = 1024
"""λ is sought with at most about this many of the units, and applied to all."""
LARGEST_MULTIPLIER = 64.0
"""λ is sought below this many times its natural unit."""
CUTS = 40
"""The most cutting planes."""
TOLERANCE = 1e-4
"""The search ends when less than this part of the scores' extent is left to gain."""


@dataclass(frozen=True)
class Mean:
    """g⁻¹(Σ a_m g(x_m)): ``forward`` is g, increasing above ``above``; ``back`` is g⁻¹.

    Computed, g must not fall where its argument rises, and both be exact to 8·2⁻⁵³ of 1 and of the result's size.
    """

    name: str
    forward: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    back: Callable[[float], float]
    above: float = -math.inf


MEAN = Mean("mean", lambda scores: scores, lambda value: value)
HARMONIC_MEAN = Mean("harmonic_mean", lambda scores: -1 / (scores + 1), lambda value: -1 / value - 1, above=-1.0)


@dataclass(frozen=True)
class Units:
    """``count`` units with ``samples`` draws each, attacked within ``shift`` = ε/σ each.

    ``distance``: total variation distance of one unit's noise from its ideal law.
    """

    count: int
    samples: int
    shift: float
    distance: float = 0.0


@dataclass(frozen=True, eq=False)
class Limits:
    """The set A of one side, and what it was made of. Ranks and values are one a group of units.

    ``error``: of the side; ``shares``: its parts, a condition each. ``largest``: r, the largest count; the bound looks
    at order statistics 1 … r + 1. ``sum_limit``: c₁ over ``sum_values``, int64[r + 1] a group; ``spread_limit``: c₂
    over ``spread_values``. With one unit both are empty sums.
    """

    error: float
    shares: Mapping[str, float]
    largest: tuple[int, ...]
    sum_limit: int
    spread_limit: int
    sum_values: tuple[NDArray[np.int64], ...]
    spread_values: tuple[NDArray[np.int64], ...]


@dataclass(frozen=True)
class Side:
    """One bound and how to make it again: ``value`` = U(``multipliers``), with the limits named.

    U and its multipliers: (λ₁, λ₂) of (2) here; of ``budget`` (λ₁, λ₂, μ) of its (1), or none for its (2).
    """

    value: float
    multipliers: tuple[float, ...]
    largest: tuple[int, ...]
    sum_limit: int
    spread_limit: int


@dataclass(frozen=True)
class Collective:
    """A mean of many scores and the interval it is certified to stay in. Its error is ``alpha``, both sides together.

    ``score``: the mean of the units' sample medians, NaN where one has none. ``lower_side``, ``upper_side``: the bounds
    on the scale of g; the lower one is that of the negated scores. ``next_samples``: the choices of n′ that the next
    report may have, one count a group; empty with scope "smoothed". ``shares``: what was spent on what; they sum to
    alpha.
    """

    pool: str
    score: float
    lower: float
    upper: float
    alpha: float
    scope: Scope
    units: tuple[Units, ...]
    next_samples: tuple[tuple[int, ...], ...]
    range: tuple[float, float]
    failed_samples: int
    lower_side: Side
    upper_side: Side
    shares: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "score": self.score if math.isfinite(self.score) else None}


def ledger(limits: Sequence[Limits]) -> dict[str, float]:
    """Who spends what of alpha, both sides: {"lower largest": …, "upper spread": …}; the shares sum to alpha.

    ``limits``: of one side, one for each count that the next report may have; the other side has the same.
    """
    return {
        f"{side} {name}" if len(limits) == 1 else f"{side} {name}, report {i + 1}": limit.error * share
        for side in ("lower", "upper")
        for i, limit in enumerate(limits)
        for name, share in limit.shares.items()
    }


def certify_mean(
    scores: Sequence[ArrayLike],
    units: Sequence[Units],
    alpha: float,
    *,
    bottom: float | None,
    top: float | None,
    scope: Scope = "smoothed",
    next_samples: Sequence[Sequence[int]] | None = None,
    weights: Sequence[ArrayLike] | None = None,
    mean: Mean = MEAN,
) -> Collective:
    """The certified mean of all units' scores, with error ``alpha``, both sides together.

    ``scores``: for each group of ``units`` an array (count, samples); NaN and ±inf are failures. ``bottom``, ``top``:
    the range of scores. ``next_samples``: for scope "reported", the choices of n′ that the next report has, one count a
    group; by default those of ``units`` alone. ``weights``: (count,) a group, 0 or more; they are made to sum to 1.
    Raises ParameterError where an argument is out of range, a score out of [bottom, top], or there is no range.
    """
    groups = tuple(units)
    low_end, high_end = check_range(bottom, top, mean)
    checked = [np.asarray(array, np.float64) for array in scores]
    if len(checked) != len(groups) or not groups:
        raise ParameterError(f"scores of {len(groups)} groups of units, one or more, not of {len(checked)}")
    for array, group in zip(checked, groups, strict=True):
        check_scores(array, group.count, group.samples, low_end, high_end)
    shared = check_weights(weights, [group.count for group in groups])
    if scope == "smoothed":
        choices: tuple[tuple[int, ...], ...] = ()
    elif next_samples is None:
        choices = (tuple(group.samples for group in groups),)
    else:
        choices = tuple(tuple(int(count) for count in counts) for counts in next_samples)
        if not choices or any(len(counts) != len(groups) for counts in choices):
            raise ParameterError("next_samples holds, for each choice, one count a group of units")
    error = equal_share(side_share(alpha), max(1, len(choices)))
    limits = [side_limits(groups, error, scope, choice) for choice in (choices or (None,))]
    sides = [[sorted_rows(array, end) for array in checked] for end in (low_end, high_end)]
    with np.errstate(over="ignore"):
        range_ends = mean.forward(np.array([low_end, high_end]))
        negated = [-mean.forward(rows)[:, ::-1] for rows in sides[0]]
        ascending = [mean.forward(rows) for rows in sides[1]]
    below = max((best_side(negated, -float(range_ends[0]), limit, shared) for limit in limits), key=lambda s: s.value)
    above = max((best_side(ascending, float(range_ends[1]), limit, shared) for limit in limits), key=lambda s: s.value)
    return Collective(
        mean.name,
        _score(checked, shared, mean),
        end_of(-below.value, mean, low_end, -1),
        end_of(above.value, mean, high_end, 1),
        alpha,
        scope,
        groups,
        choices,
        (low_end, high_end),
        sum(int(np.count_nonzero(~np.isfinite(array))) for array in checked),
        below,
        above,
        ledger(limits),
    )


@lru_cache(maxsize=128)
def side_limits(
    units: tuple[Units, ...], error: float, scope: Scope = "smoothed", next_samples: tuple[int, ...] | None = None
) -> Limits:
    """The set A for one side with error ``error``; cached. Raises ParameterError out of range."""
    for unit in units:
        if isinstance(unit.count, bool) or not isinstance(unit.count, (int, np.integer)) or unit.count < 1:
            raise ParameterError(f"a group has 1 unit or more, not {unit.count!r}")
        check_parameters(unit.samples, unit.shift, error)
    count = sum(unit.count for unit in units)
    if not 1 <= count <= MOST_UNITS:
        raise ParameterError(f"between 1 and {MOST_UNITS} units can be bounded together, not {count}")
    counts = next_samples or (None,) * len(units)
    laws = [count_law(u.samples, u.shift, scope, u.distance, n) for u, n in zip(units, counts, strict=True)]
    samples = [unit.samples for unit in units]
    if count == 1:
        largest = largest_ranks(laws, count, error)
        nothing = (np.zeros(largest[0] + 1, np.int64),)
        return Limits(error, ONE_UNIT, largest, 0, 0, nothing, nothing)
    tried = [(shares, largest_ranks(laws, count, error * shares["largest"])) for shares in SHARES]
    spared = [pair for pair in tried if all(rank < n for rank, n in zip(pair[1], samples, strict=True))]
    shares, largest = (spared or tried)[0]
    longest = max(unit.samples for unit in units)
    sum_parts, spread_parts = [], []
    for unit, law, rank in zip(units, laws, largest, strict=True):
        ranks = np.arange(unit.samples + 1)
        least = int(np.searchsorted(np.cumsum(law), LEAST_TAIL))
        cut = np.clip(ranks, min(least, rank), rank)
        alike = all(other.samples == longest for other in units)
        weight = 1 if alike else round(SUM_STEPS * longest / unit.samples)
        centre = float(law @ ranks)
        deviation = max(0.5, math.sqrt(float(law @ (ranks - centre) ** 2)))
        steps = max(LEAST_STEPS, SPREAD_STEPS / math.sqrt(count))
        spread = np.rint(steps * np.maximum(0.0, (cut - centre) / deviation + LEAD) ** 2)
        sum_parts.append(Part(unit.count, law, weight * cut))
        spread_parts.append(Part(unit.count, law, spread.astype(np.int64)))
    return Limits(
        error,
        shares,
        largest,
        limit(sum_parts, error * shares["sum"]),
        limit(spread_parts, error * shares["spread"]),
        tuple(part.values[: rank + 1] for part, rank in zip(sum_parts, largest, strict=True)),
        tuple(part.values[: rank + 1] for part, rank in zip(spread_parts, largest, strict=True)),
    )


def largest_ranks(laws: Sequence[NDArray[np.float64]], count: int, share: float) -> tuple[int, ...]:
    """The least r of each law with P(B > r) ≤ t, 1 − (1 − t)^count = ``share``."""
    tail = -math.expm1(math.log1p(-share * (1 - RESERVE)) / count)
    return tuple(int(np.argmax(np.append(np.cumsum(law[:0:-1])[::-1], 0.0) <= tail)) for law in laws)


def least_useful_samples(count: int, shift: float, alpha: float, scope: Scope = "smoothed") -> int | None:
    """The least n from which on no unit needs the end of the range; None where no n up to MOST_SAMPLES would do.

    ``count`` units alike, ``alpha`` for both sides. Below it the bound holds, but is wide.
    """
    check_parameters(1, shift, alpha)
    share = fraction_of(side_share(alpha), 1.0 if count == 1 else max(shares["largest"] for shares in SHARES))

    def useful(samples: int) -> bool:
        # The median's law differs a little between odd and even n: two in a row must do.
        return all(largest_ranks([count_law(n, shift, scope)], count, share)[0] < n for n in (samples, samples + 1))

    most = 1
    while not useful(most):
        if most >= MOST_SAMPLES:
            return None
        most *= 2
    return bisect_left(range(most), True, lo=most // 2, key=useful)


def sorted_rows(scores: NDArray[np.float64], failed: float) -> NDArray[np.float64]:
    """Each unit's scores sorted, float64[count, samples], with ``failed`` in place of those that are not finite."""
    return np.sort(np.where(np.isfinite(scores), scores, failed), axis=1)


def best_side(
    ordered: Sequence[NDArray[np.float64]], top: float, limits: Limits, weights: Sequence[NDArray[np.float64]]
) -> Side:
    """The upper bound (2) with nearly the best λ. ``ordered``: each unit's sorted scores, (count, samples) a group."""
    problem = _problem(ordered, top, limits, weights)
    multipliers = (0.0, 0.0)
    value = at_multipliers(problem, limits, multipliers)
    if sum(len(rows) for rows in problem) > 1:
        found = _search(problem, limits)
        better = at_multipliers(problem, limits, found)
        if better < value:
            multipliers, value = found, better
    return Side(value, multipliers, limits.largest, limits.sum_limit, limits.spread_limit)


def side_again(
    ordered: Sequence[NDArray[np.float64]],
    top: float,
    limits: Limits,
    weights: Sequence[NDArray[np.float64]],
    multipliers: tuple[float, float],
) -> float:
    """U of (2) at recorded ``multipliers``: what an auditor computes, who trusts no solver."""
    if not min(multipliers) >= 0:
        raise ParameterError(f"multipliers are 0 or more, not {multipliers!r}")
    return at_multipliers(_problem(ordered, top, limits, weights), limits, multipliers)


def _problem(
    ordered: Sequence[NDArray[np.float64]], top: float, limits: Limits, weights: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.float64]]:
    """a_m X_m,(j+1) for j = 0 … r, float64[count, r + 1] a group."""
    rows = []
    for scores, rank, weight in zip(ordered, limits.largest, weights, strict=True):
        part = scores[:, : rank + 1]
        if rank == scores.shape[1]:
            part = np.concatenate([part, np.full((len(scores), 1), top)], axis=1)
        rows.append(part * weight[:, None])
    return rows


def at_multipliers(problem: Sequence[NDArray[np.float64]], limits: Limits, multipliers: tuple[float, float]) -> float:
    """U of (2), rounded up."""
    first, second = multipliers
    value = first * limits.sum_limit + second * limits.spread_limit
    magnitude = abs(value)
    for rows, sums, spreads in zip(problem, limits.sum_values, limits.spread_values, strict=True):
        charged = first * sums + second * spreads
        best = (rows - charged).max(axis=1)
        value += float(best.sum())
        magnitude += float(np.maximum(np.abs(rows[:, 0]), np.abs(rows[:, -1])).sum()) + len(rows) * float(charged.max())
    single = len(problem) == 1 and len(problem[0]) == 1
    return value if single else value + 64 * UNIT * magnitude


def _search(problem: Sequence[NDArray[np.float64]], limits: Limits) -> tuple[float, float]:
    """Nearly the best (λ₁, λ₂), by cutting planes on some of the units."""
    count = sum(len(rows) for rows in problem)
    stride = -(-count // SEARCHED)
    some = [rows[::stride] for rows in problem]
    part = sum(len(rows) for rows in some) / count
    stacks = [np.stack([a, b]).astype(np.float64) for a, b in zip(limits.sum_values, limits.spread_values, strict=True)]
    worth = sum(float((rows[:, -1] - rows[:, 0]).sum()) for rows in some)
    if worth == 0:
        return 0.0, 0.0
    # The unit of λ: where charging every unit its largest rank costs as much as all ranks are worth.
    charges = sum(len(rows) * stack.max(axis=1) for rows, stack in zip(some, stacks, strict=True))
    unit = worth / np.maximum(charges, 1.0)
    limit_pair = np.array([limits.sum_limit, limits.spread_limit]) * part

    def bound(scaled: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        multipliers = scaled * unit
        value = float(multipliers @ limit_pair)
        slope = limit_pair.copy()
        for rows, stack in zip(some, stacks, strict=True):
            reduced = rows - multipliers @ stack
            chosen = reduced.argmax(axis=1)
            value += float(reduced[np.arange(len(rows)), chosen].sum())
            slope -= stack[:, chosen].sum(axis=1)
        return (value - floor) / worth, slope * unit / worth

    floor = sum(float(rows[:, 0].sum()) for rows in some)
    first, second = lowest_point(bound, np.ones(2), LARGEST_MULTIPLIER, TOLERANCE, CUTS) * unit
    return max(0.0, float(first)), max(0.0, float(second))


def check_range(bottom: float | None, top: float | None, mean: Mean = MEAN) -> tuple[float, float]:
    if bottom is None or top is None or not (math.isfinite(bottom) and math.isfinite(top)):
        raise ParameterError(
            f"a collective bound takes a finite range of scores, not [{bottom}, {top}]: state it in the manifest"
        )
    if not bottom < top:
        raise ParameterError(f"the range of scores is [bottom, top] with bottom < top, not [{bottom}, {top}]")
    if not bottom > mean.above:
        raise ParameterError(f"a {mean.name} takes scores above {mean.above:g}, and the range begins at {bottom:g}")
    return float(bottom), float(top)


def check_scores(array: NDArray[np.float64], count: int, samples: int, bottom: float, top: float) -> None:
    """Raise ParameterError unless ``array`` is (count, samples) and its finite values are in [bottom, top]."""
    if array.shape != (count, samples):
        raise ParameterError(f"scores of {count} units with {samples} samples each, not {array.shape}")
    finite = array[np.isfinite(array)]
    if finite.size and not (bottom <= finite.min() and finite.max() <= top):
        raise ParameterError(
            f"scores from {finite.min():g} to {finite.max():g} leave their range [{bottom:g}, {top:g}]: the range that "
            "was stated is wrong, and no bound can rest on it"
        )


def check_weights(weights: Sequence[ArrayLike] | None, counts: Sequence[int]) -> list[NDArray[np.float64]]:
    """Weights of each group that sum to 1 over all, (count,) each; equal ones where none are given."""
    if weights is None:
        return [np.full(count, 1 / sum(counts)) for count in counts]
    arrays = [np.asarray(part, np.float64) for part in weights]
    if [array.shape for array in arrays] != [(count,) for count in counts]:
        raise ParameterError("weights hold one number a unit, (count,) a group")
    total = sum(float(array.sum()) for array in arrays)
    if not (all((array >= 0).all() for array in arrays) and 0 < total < math.inf):
        raise ParameterError("weights are 0 or more, finite, and not all 0")
    return [array / total for array in arrays]


def unit_medians(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each unit's sample median, [count]: halfway between those with failures below and above; NaN where none is."""
    with np.errstate(invalid="ignore"):
        return np.asarray(
            (np.median(sorted_rows(scores, -np.inf), axis=1) + np.median(sorted_rows(scores, np.inf), axis=1)) / 2
        )


def _score(scores: Sequence[NDArray[np.float64]], weights: Sequence[NDArray[np.float64]], mean: Mean) -> float:
    """The mean of the sample medians; NaN where failures reach the middle of a unit."""
    medians = [unit_medians(array) for array in scores]
    if not all(np.isfinite(array).all() for array in medians):
        return math.nan
    total = sum(float(weight @ mean.forward(array)) for array, weight in zip(medians, weights, strict=True))
    return mean.back(total)


def end_of(value: float, mean: Mean, end: float, direction: int) -> float:
    """g⁻¹ of a bound, rounded outwards and not beyond the range's ``end``."""
    within = float(mean.forward(np.array([end]))[0])
    if direction * (value - within) >= 0:
        return end
    if mean is not MEAN:
        value += direction * 64 * UNIT * abs(value)
        value = mean.back(value)
        value += direction * 64 * UNIT * (1 + abs(value))
    return min(value, end) if direction > 0 else max(value, end)


@dataclass(frozen=True)
class Looks:
    """Bounds at growing n that hold all at once: alpha is split over the looks, so drawing may stop for any reason.

    ``counts``: n_1 < … < n_K, draws of every unit at each look. ``spending``: the part of alpha that each look has;
    they sum to 1 or less. With scope "reported" the next report may stop at any look too, all its units at the same: n′
    runs over all counts, and each has a K-th of the look's error.
    """

    counts: tuple[int, ...]
    spending: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.counts) != len(self.spending) or list(self.counts) != sorted(set(self.counts)):
            raise ParameterError("looks come at growing counts, each with its part of alpha")
        if not (all(part > 0 for part in self.spending) and math.fsum(self.spending) <= 1 + 1e-12):
            raise ParameterError(f"the parts of alpha are above 0 and sum to 1 at most, not {self.spending}")

    def alpha(self, look: int, alpha: float) -> float:
        """The error of one look, from 0."""
        return fraction_of(alpha, self.spending[look] / max(1.0, math.fsum(self.spending)))

    def certify_mean(
        self,
        look: int,
        scores: Sequence[ArrayLike],
        units: Sequence[Units],
        alpha: float,
        *,
        bottom: float | None,
        top: float | None,
        scope: Scope = "smoothed",
        weights: Sequence[ArrayLike] | None = None,
        mean: Mean = MEAN,
    ) -> Collective:
        """:func:`certify_mean` at one look: ``scores`` hold the first ``counts[look]`` draws of each unit, in order.

        ``alpha``: of all looks together; the result's is this look's part. ``samples`` of ``units`` do not matter.
        """
        return certify_mean(
            scores,
            [replace(group, samples=self.counts[look]) for group in units],
            self.alpha(look, alpha),
            bottom=bottom,
            top=top,
            scope=scope,
            next_samples=None if scope == "smoothed" else [(count,) * len(units) for count in self.counts],
            weights=weights,
            mean=mean,
        )


LOOK_GROWTH = 1.5
"""The ratio of two looks of a clip."""
LOOK_STEP = 8
"""Looks come at multiples of this."""


def clip_looks(count: int, shift: float, alpha: float, samples: int, scope: Scope = "smoothed") -> Looks:
    """The schedule for clips of ``count`` frames: from the least useful n up, each half as much again, to ``samples``.

    Every look has the same part of alpha: limits grow with the root of its logarithm only.
    """

    def counts(first: int) -> tuple[int, ...]:
        looks = []
        while first * LOOK_GROWTH <= samples + 0.5:
            looks.append(first)
            first = math.ceil(first * LOOK_GROWTH / LOOK_STEP) * LOOK_STEP
        return (*looks, samples)

    made = counts(LOOK_STEP)
    for _ in range(3):
        # The first look needs its share; fewer looks leave it more.
        share = equal_share(alpha, len(made) * (len(made) if scope == "reported" else 1))
        least = least_useful_samples(count, shift, share, scope)
        made = counts(samples if least is None else math.ceil(least / LOOK_STEP) * LOOK_STEP)
    return Looks(made, (1 / len(made),) * len(made))
