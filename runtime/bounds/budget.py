"""One budget of tampering over the tiles of a frame: bounds for the mean, trimmed mean and median of their scores.

**Setting.** T tiles that share no pixel, n draws each, their noise independent. An attack moves tile i by e_i in L2 on
the engine's domain, which can raise its score to its quantile of level Φ(e_i/σ). Or it spoils the tile: then its score
is anything in the range. What the attacker may do:

    grey levels (L∞)   e_i ≤ e for every tile, e = ℓ/(2ᵇ − 1)·√(3t²);
    L2                 Σ e_i² ≤ E²;
    patch              at most k tiles spoilt, all others moved by e at most (0 if nothing else was done).

All are *options* k = 1 … K of a tile, with shifts s_k = e_k/σ, prices d_k and a budget, Σ d ≤ D. For L2 an option is a
cell of a grid: who moves a tile by e in (e_(k−1), e_k] pays at least d_k = e_(k−1)² and gets at most the level of e_k.

**Counts.** B_ik = #{j : U_ij ≤ Φ(s_k)}, and h_ik ≤ X_i,(B_ik + 1), as in :mod:`runtime.bounds.counts`. In k they are a
Markov chain, the same for every tile: each of the n − B_k draws above level p_k stays above p_(k+1) with probability
(1 − p_(k+1))/(1 − p_k). So the law of max over k of v_k(B_ik) is known exactly for any v_k. It is summed as the mass
that first exceeds a value at option k, so that small tails keep their precision.

**The event.** As in :mod:`runtime.bounds.collective`, but *for all options at once*, with shares of α/2:

    largest    B_ik ≤ r_k for all i, k;
    sum        Σ_i max_k v_k(B_ik) ≤ c₁,    v_k(j) = round(κ·max(0, z + REACH_BELOW)), z = (j − mean)/deviation of B_k;
    spread     Σ_i max_k φ_k(B_ik) ≤ c₂,    φ_k(j) = round(κ′·max(0, z + LEAD)²).

On it the following two hold, whatever the attack, chosen with the data or not.

**The mean**, with weights a_i. By weak duality in the counts and in the budget, for every λ₁, λ₂, μ ≥ 0,

    U = λ₁c₁ + λ₂c₂ + μD + Σ_i max over k, j ≤ r_k of [ a_i X_i,(j+1) − λ₁ v_k(j) − λ₂ φ_k(j) − μ d_k ].            (1)

A spoilt tile is an option with the end of the range for a score and v = φ = 0. μ is the knapsack's price: (1) has the
upper concave hull of (d_k, bound) in place of each tile's curve, spent greedily, the steepest gain first.

**Order statistics.** Tile i exceeds v through option k only if B_ik ≥ N_i(v), the number of its draws at or below v.
That takes φ_k(N_i(v)) of the spread and d_k of the budget, and is impossible where N_i(v) > r_k. Tiles exceed v
together only if, for every ρ in [0, 1],

    Σ over these tiles of min_k [ (1 − ρ) φ_k(N_i(v))/c₂ + ρ d_k/D ]  ≤  1.                                         (2)

So at most m(v) do: as many of the cheapest as (2) allows, for the ρ that allows fewest. The l-th smallest of T scores
exceeds v only if T + 1 − l tiles do. It is at most v_l, the least v looked at with m(v) ≤ T − l. The trimmed mean drops
g tiles at each end and is at most the mean of v_(g+1) … v_(T−g). The median leaves one tile or two. g spoilt tiles have
no say in it.

**The reported score.** With one option the law of B pays for sample medians that stray. With more, STRAY of the error
does: every shift grows by Φ⁻¹(½ + η), which no tile's next sample median strays beyond (``ranks.py``).

**The lower side** mirrors it. Failed scores count as the top above and as the bottom below.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, xlog1py, xlogy

from ..errors import ParameterError
from .alpha import Scope, side_share
from .collective import (
    CUTS,
    LARGEST_MULTIPLIER,
    LEAD,
    ONE_UNIT,
    SHARES,
    TOLERANCE,
    Limits,
    Side,
    check_range,
    check_scores,
    check_weights,
    largest_ranks,
    sorted_rows,
    unit_medians,
)
from .counts import count_law, levels_left
from .planes import lowest_point
from .ranks import check_parameters, reported_shift, widen
from .sums import UNIT, Part, limit

STRAY = 0.1
"""With scope "reported" and several options: the part of a side's error for sample medians that stray."""
REACH_BELOW = 8.0
"""In the sum a count is cut at this many deviations below its mean."""
SUM_SCALE = 12
"""κ, whole numbers a deviation."""
SPREAD_SCALE = 6
"""κ′, whole numbers a squared deviation."""
TAIL_ROOM = 1e-8
"""The relative part by which tails of the chain are taken larger: rounding, of logarithms of factorials most of all."""
CELLS = 24
"""Cells of the grid of an L2 budget."""
FIRST_CELL = 0.1
"""Its first cell, in parts of what each tile has when all have as much."""
CANDIDATES = 1024
"""Values v looked at for order statistics."""
RATIOS = tuple(np.linspace(0, 1, 17).tolist())
"""ρ of (2)."""


@dataclass(frozen=True)
class Attack:
    """What may be done to the tiles, as options with prices. Build it with a function below.

    ``shifts``: s_1 ≤ … ≤ s_K, in σ; ``prices``: d_k ≥ 0; ``budget``: D; ``spoil_price``: of a spoilt tile, None where
    that cannot be.
    """

    shifts: tuple[float, ...]
    prices: tuple[float, ...]
    budget: float
    spoil_price: float | None = None


def grey_levels(shift: float) -> Attack:
    """Every tile moved by ``shift`` = e/σ at most."""
    return Attack((_checked(shift),), (0.0,), 0.0)


def l2(shift: float, tiles: int, cells: int = CELLS) -> Attack:
    """Σ e_i² ≤ (shift·σ)², shared by ``tiles`` tiles. Prices are in parts of the budget, rounded down.

    Cells grow by equal ratios from a tenth of what each tile has when all have as much.
    """
    if tiles < 1 or cells < 1:
        raise ParameterError(f"a budget is shared by 1 tile or more, on a grid of 1 cell or more, not {tiles}, {cells}")
    if _checked(shift) == 0:
        return grey_levels(0.0)
    parts = [1.0] if tiles == 1 or cells == 1 else np.geomspace(FIRST_CELL / math.sqrt(tiles), 1.0, cells).tolist()
    parts[-1] = 1.0
    prices = [0.0, *(part**2 * (1 - 8 * UNIT) for part in parts[:-1])]
    # A shift rounded up keeps its cell closed.
    return Attack(tuple(math.nextafter(part * shift, math.inf) for part in parts), tuple(prices), 1.0)


def patch(tiles: int, shift: float = 0.0) -> Attack:
    """At most ``tiles`` tiles spoilt, all others moved by ``shift`` = e/σ at most."""
    if isinstance(tiles, bool) or not isinstance(tiles, (int, np.integer)) or tiles < 0:
        raise ParameterError(f"a patch touches a whole number of tiles, not {tiles!r}")
    return Attack((_checked(shift),), (0.0,), float(tiles), 1.0)


def tiles_touched(width: int, height: int, tile: int, downscale: int) -> int:
    """The most tiles that a rectangle of source pixels touches: (⌈(w−1)/(kt)⌉ + 1)(⌈(h−1)/(kt)⌉ + 1).

    ``tile``: t, the least side of a tile on the engine's domain; ``downscale``: k.
    """
    if min(width, height, tile, downscale) < 1:
        raise ParameterError("a patch, a tile and a downscale are 1 or more")
    side = tile * downscale
    return (-(-(width - 1) // side) + 1) * (-(-(height - 1) // side) + 1)


def _checked(shift: float) -> float:
    if not 0 <= shift < math.inf:
        raise ParameterError(f"a shift is 0 or more and finite, not {shift!r}")
    return float(shift)


@dataclass(frozen=True)
class Tiles:
    """A frame's score from its tiles, and the interval that the attack cannot push it out of.

    ``trim``: tiles dropped at each end, 0 for the mean. ``shares``: what was spent on what; they sum to alpha.
    """

    trim: int
    score: float
    lower: float
    upper: float
    alpha: float
    scope: Scope
    tiles: int
    samples: int
    attack: Attack
    distance: float
    range: tuple[float, float]
    failed_samples: int
    lower_side: Side
    upper_side: Side
    shares: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """JSON types only."""
        return {**asdict(self), "score": self.score if math.isfinite(self.score) else None}


def certify_tiles(
    scores: ArrayLike,
    attack: Attack,
    alpha: float,
    *,
    bottom: float | None,
    top: float | None,
    trim: int = 0,
    scope: Scope = "smoothed",
    distance: float = 0.0,
    weights: ArrayLike | None = None,
) -> Tiles:
    """The certified score of one frame's tiles, with error ``alpha``, both sides together.

    ``scores``: (tiles, samples); NaN and ±inf are failures. ``trim``: 0 for the mean, (T − 1)//2 for the median.
    ``distance``: total variation distance of one tile's noise from its ideal law. ``weights``: (tiles,), for the mean
    only. Several attacks claimed together share alpha. Raises ParameterError where an argument is out of range.
    """
    low_end, high_end = check_range(bottom, top)
    array = np.asarray(scores, np.float64)
    if array.ndim != 2 or min(array.shape) < 1:
        raise ParameterError(f"scores are (tiles, samples), not {array.shape}")
    tiles, samples = array.shape
    check_scores(array, tiles, samples, low_end, high_end)
    if not 0 <= trim <= (tiles - 1) // 2:
        raise ParameterError(
            f"of {tiles} tiles between 0 and {(tiles - 1) // 2} can be dropped at each end, not {trim}"
        )
    if trim and weights is not None:
        raise ParameterError("a trimmed mean has no weights")
    (shared,) = check_weights(None if weights is None else [weights], [tiles])
    limits = attack_limits(tiles, samples, attack, side_share(alpha), scope, distance)
    ends = []
    for ordered, end in ((-sorted_rows(array, low_end)[:, ::-1], -low_end), (sorted_rows(array, high_end), high_end)):
        if trim:
            ends.append(order_side(ordered, end, attack, limits, trim))
        else:
            ends.append(mean_side(ordered, end, attack, limits, shared))
    below, above = ends
    return Tiles(
        trim,
        _score(array, trim, shared),
        max(low_end, -below.value),
        min(high_end, above.value),
        alpha,
        scope,
        tiles,
        samples,
        attack,
        distance,
        (low_end, high_end),
        int(np.count_nonzero(~np.isfinite(array))),
        below,
        above,
        {f"{side} {name}": limits.error * part for side in ("lower", "upper") for name, part in limits.shares.items()},
    )


def _score(scores: NDArray[np.float64], trim: int, weights: NDArray[np.float64]) -> float:
    medians = unit_medians(scores)
    if trim == 0:
        return float(weights @ medians)
    return float(np.sort(medians)[trim : len(medians) - trim].mean()) if np.isfinite(medians).all() else math.nan


@lru_cache(maxsize=128)
def attack_limits(
    tiles: int, samples: int, attack: Attack, error: float, scope: Scope = "smoothed", distance: float = 0.0
) -> Limits:
    """The event of one side with error ``error``; cached. Raises ParameterError out of range."""
    check_parameters(samples, attack.shifts[0], error)
    options = len(attack.shifts)
    stray = 0.0
    tries: Sequence[Mapping[str, float]] = SHARES if tiles > 1 else (ONE_UNIT,)
    if scope == "reported" and options > 1:
        tries = [{"stray": STRAY, **{name: part * (1 - STRAY) for name, part in shares.items()}} for shares in tries]
        stray = widen(reported_shift(samples, error * STRAY / tiles), distance)
    if options == 1:
        laws = [count_law(samples, attack.shifts[0], scope, distance)]
    else:
        laws = [count_law(samples, shift + stray, "smoothed", distance) for shift in attack.shifts]
    left = levels_left(np.array(attack.shifts) + stray, distance)
    tried = [(shares, largest_ranks(laws, tiles * options, error * shares["largest"])) for shares in tries]
    spared = [pair for pair in tried if max(pair[1]) < samples]
    shares, largest = (spared or tried)[0]
    if tiles == 1:
        nothing = tuple(np.zeros(rank + 1, np.int64) for rank in largest)
        return Limits(error, shares, largest, 0, 0, nothing, nothing)
    ranks = np.arange(samples + 1)
    sums, spreads = [], []
    for law, rank in zip(laws, largest, strict=True):
        centre = float(law @ ranks)
        deviation = max(0.5, math.sqrt(float(law @ (ranks - centre) ** 2)))
        position = (np.minimum(ranks, rank) - centre) / deviation
        sums.append(np.rint(SUM_SCALE * np.maximum(0.0, position + REACH_BELOW)).astype(np.int64))
        spreads.append(np.rint(SPREAD_SCALE * np.maximum(0.0, position + LEAD) ** 2).astype(np.int64))
    if options == 1:
        parts = [Part(tiles, laws[0], sums[0]), Part(tiles, laws[0], spreads[0])]
    else:
        parts = [Part(tiles, law, values) for law, values in _greatest(laws[0], left, (sums, spreads))]
    return Limits(
        error,
        shares,
        largest,
        limit([parts[0]], error * shares["sum"]),
        max(1, limit([parts[1]], error * shares["spread"])),
        tuple(values[: rank + 1] for values, rank in zip(sums, largest, strict=True)),
        tuple(values[: rank + 1] for values, rank in zip(spreads, largest, strict=True)),
    )


def _greatest(
    first: NDArray[np.float64], left: NDArray[np.float64], kinds: Sequence[Sequence[NDArray[np.int64]]]
) -> list[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    """(law, values) of max over k of v_k(B_k) of one tile, for each kind of v. ``first``: of B_1; ``left``: 1 − p_k."""
    thresholds = [np.arange(max(v[0] for v in values), max(v[-1] for v in values)) for values in kinds]
    kind = np.repeat(np.arange(len(kinds)), [len(part) for part in thresholds])
    limits = np.concatenate(thresholds)
    alive = np.broadcast_to(first, (len(limits), len(first)))
    exceeded = np.zeros(len(limits))
    binomials = _binomials(len(first) - 1)
    for k in range(len(left)):
        if k:
            # Rounded down: a larger chain exceeds more.
            stays = left[k] / left[k - 1] * (1 - 8 * UNIT) if left[k - 1] > 0 else 0.0
            alive = alive @ _advance(binomials, float(stays))
        over = np.stack([values[k] for values in kinds])[kind] > limits[:, None]
        exceeded = exceeded + np.where(over, alive, 0.0).sum(axis=1)
        alive = np.where(over, 0.0, alive)
    laws = []
    for i, part in enumerate(thresholds):
        tails = np.minimum(1.0, np.concatenate([[1.0], exceeded[kind == i] * (1 + TAIL_ROOM), [0.0]]))
        values = np.arange(part[0], part[-1] + 2) if len(part) else np.array([max(int(v[0]) for v in kinds[i])])
        laws.append((np.maximum(0.0, -np.diff(tails)), values))
    return laws


def _binomials(samples: int) -> NDArray[np.float64]:
    """log C(n − j, j′ − j), float64[j, j′]; −inf where j′ < j."""
    ranks = np.arange(samples + 1)
    factorials = gammaln(ranks + 1)
    moved = ranks[None, :] - ranks[:, None]
    return np.where(moved < 0, -np.inf, factorials[::-1][:, None] - factorials[moved] - factorials[::-1][None, :])


def _advance(binomials: NDArray[np.float64], stays: float) -> NDArray[np.float64]:
    """P(B′ = j′ | B = j), float64[j, j′]: each of the n − j draws above stays above with probability ``stays``."""
    ranks = np.arange(len(binomials))
    moved = np.maximum(0, ranks[None, :] - ranks[:, None])
    return np.asarray(np.exp(binomials + xlog1py(moved, -stays) + xlogy(ranks[::-1], stays)[None, :]))


def mean_side(
    ordered: NDArray[np.float64], top: float, attack: Attack, limits: Limits, weights: NDArray[np.float64]
) -> Side:
    """(1) with nearly the best multipliers. ``ordered``: each tile's sorted scores, (tiles, samples)."""
    rows = np.concatenate([ordered, np.full((len(ordered), 1), top)], axis=1) * weights[:, None]
    nothing = (0.0, 0.0, 0.0)
    best = Dual(rows, attack, limits)
    found = best.search()
    value, multipliers = min((best.bound(point), point) for point in (nothing, found))
    return Side(value, multipliers, limits.largest, limits.sum_limit, limits.spread_limit)


class Dual:
    """(1) as a function of its multipliers, for one frame: ``rows`` = a_i X_i,(j+1), float64[tiles, samples + 1]."""

    def __init__(self, rows: NDArray[np.float64], attack: Attack, limits: Limits) -> None:
        self._rows = rows
        self._attack = attack
        self._limits = limits
        self._held = np.array([limits.sum_limit, limits.spread_limit, attack.budget], float)
        # Options: what they charge, float64[3, r + 1], and their scores; the last may be a spoilt tile.
        self._options = [
            (rows[:, : rank + 1], np.stack([sums, spreads, np.full(rank + 1, price)]).astype(float))
            for rank, sums, spreads, price in zip(
                limits.largest, limits.sum_values, limits.spread_values, attack.prices, strict=True
            )
        ]
        if attack.spoil_price is not None and attack.spoil_price <= attack.budget:
            self._options.append((rows[:, -1:], np.array([[0.0], [0.0], [attack.spoil_price]])))

    def bound(self, multipliers: tuple[float, ...]) -> float:
        """U of (1), rounded up as in :mod:`runtime.bounds.collective`; valid for any multipliers of 0 or more."""
        value, _ = self._evaluate(np.asarray(multipliers))
        if len(self._rows) == 1 and not any(multipliers):
            return value
        held = float(np.asarray(multipliers) @ self._held)
        charged = max(float((np.asarray(multipliers) @ charges).max()) for _, charges in self._options)
        extent = float(np.maximum(np.abs(self._rows[:, 0]), np.abs(self._rows[:, -1])).sum())
        return value + 64 * UNIT * (held + extent + len(self._rows) * charged)

    def search(self) -> tuple[float, ...]:
        """Nearly the best multipliers."""
        lowest = self._rows[:, 0].sum()
        worth = max(float((scores[:, -1] - self._rows[:, 0]).sum()) for scores, _ in self._options)
        if worth <= 0:
            return (0.0, 0.0, 0.0)
        priced = [0, 1] if len(self._rows) > 1 else []
        if self._attack.budget > 0:
            priced.append(2)
        if not priced:
            return (0.0, 0.0, 0.0)
        greatest = np.max([charges.max(axis=1) for _, charges in self._options], axis=0)
        unit = worth / len(self._rows) / np.where(greatest > 0, greatest, 1.0)

        def scaled(point: NDArray[np.float64]) -> NDArray[np.float64]:
            multipliers = np.zeros(3)
            multipliers[priced] = np.maximum(0.0, point) * unit[priced]
            return multipliers

        def function(point: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            value, slope = self._evaluate(scaled(point))
            return (value - lowest) / worth, (slope * unit)[priced] / worth

        found = lowest_point(function, np.ones(len(priced)), LARGEST_MULTIPLIER, TOLERANCE, CUTS)
        return tuple(scaled(found).tolist())

    def _evaluate(self, multipliers: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """(U, its slope)."""
        count = len(self._rows)
        best = np.full(count, -np.inf)
        charged = np.zeros((3, count))
        for scores, charges in self._options:
            reduced = scores - multipliers @ charges
            chosen = reduced.argmax(axis=1)
            gains = reduced[np.arange(count), chosen]
            better = gains > best
            best = np.where(better, gains, best)
            charged = np.where(better, charges[:, chosen], charged)
        return float(multipliers @ self._held + best.sum()), self._held - charged.sum(axis=1)


def order_side(ordered: NDArray[np.float64], top: float, attack: Attack, limits: Limits, trim: int) -> Side:
    """The trimmed mean's bound by (2). ``ordered``: each tile's sorted scores, (tiles, samples)."""
    tiles = len(ordered)
    values = np.unique(np.quantile(ordered, np.linspace(0, 1, CANDIDATES), method="higher"))
    exceed = exceeding(ordered, values, attack, limits)
    bounds = []
    for place in range(trim + 1, tiles - trim + 1):
        enough = np.nonzero(exceed < tiles + 1 - place)[0]
        bounds.append(float(values[enough[0]]) if len(enough) else top)
    value = math.fsum(bounds) / len(bounds)
    return Side(value + 4 * UNIT * abs(value), (), limits.largest, limits.sum_limit, limits.spread_limit)


def exceeding(
    ordered: NDArray[np.float64], values: NDArray[np.float64], attack: Attack, limits: Limits
) -> NDArray[np.int64]:
    """m(v) for each of the ``values``, ascending: the most tiles whose scores can be above it, by (2)."""
    below = np.stack([np.searchsorted(row, values, side="right") for row in ordered], axis=1)
    fewest = np.full(len(values), len(ordered))
    budget = attack.budget or 1.0
    spread_limit = max(1, limits.spread_limit)
    for ratio in RATIOS:
        cheapest = np.full(below.shape, math.inf)
        for rank, spreads, price in zip(limits.largest, limits.spread_values, attack.prices, strict=True):
            spent = (1 - ratio) * spreads[np.minimum(below, rank)] / spread_limit + ratio * price / budget
            cheapest = np.minimum(cheapest, np.where(below > rank, math.inf, spent))
        if attack.spoil_price is not None and attack.spoil_price <= attack.budget:
            cheapest = np.minimum(cheapest, ratio * attack.spoil_price / budget)
        spendings = np.cumsum(np.sort(cheapest, axis=1), axis=1)
        fewest = np.minimum(fewest, np.count_nonzero(spendings <= 1 + 1e-9, axis=1))
    return np.minimum.accumulate(fewest)
