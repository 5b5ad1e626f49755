"""The mean of many scores: limits in exact fractions, the maximum by enumeration, and simulated certificates.

A simulation counts the certificates whose side is wrong, at any look where there are several. Each count is compared
with the 99.9% quantile of Bin(runs, α/2): a check raises a false alarm at most once in 1,000 fresh seeds (the seeds
here are fixed).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import ndtr, ndtri
from scipy.stats import beta, binom

from runtime.bounds.collective import (
    HARMONIC_MEAN,
    Limits,
    Looks,
    Units,
    best_side,
    certify_mean,
    clip_looks,
    least_useful_samples,
    ledger,
    side_again,
    side_limits,
    sorted_rows,
)
from runtime.bounds.counts import count_law, levels_left
from runtime.bounds.ranks import Scope, order_statistics, scope_ranks
from runtime.bounds.sums import Part, limit
from runtime.errors import ParameterError

Scores = NDArray[np.float64]


def exact_binomial(samples: int, left: Fraction) -> list[Fraction]:
    return [math.comb(samples, k) * (1 - left) ** k * left ** (samples - k) for k in range(samples + 1)]


def vectors(units: Sequence[Units]) -> list[tuple[int, ...]]:
    """Every J of all units, group after group."""
    return list(itertools.product(*(range(u.samples + 1) for u in units for _ in range(u.count))))


def inside(vector: tuple[int, ...], units: Sequence[Units], limits: Limits) -> bool:
    groups = [g for g, u in enumerate(units) for _ in range(u.count)]
    return (
        all(j <= limits.largest[g] for j, g in zip(vector, groups, strict=True))
        and sum(int(limits.sum_values[g][j]) for j, g in zip(vector, groups, strict=True)) <= limits.sum_limit
        and sum(int(limits.spread_values[g][j]) for j, g in zip(vector, groups, strict=True)) <= limits.spread_limit
    )


SMALL = (
    (Units(3, 4, 0.0),),
    (Units(3, 5, 0.4),),
    (Units(2, 8, 0.2),),
    (Units(2, 3, 0.3), Units(2, 5, 0.1)),
    (Units(1, 6, 0.0), Units(2, 4, 0.5)),
)


@pytest.mark.parametrize("units", SMALL)
@pytest.mark.parametrize("error", [0.2, 0.03, 1e-3])
def test_the_set_has_its_probability(units: tuple[Units, ...], error: float) -> None:
    """P(B ∉ A) ≤ error, every vector counted in exact fractions; and A is down-closed."""
    limits = side_limits(units, error)
    laws = [
        exact_binomial(u.samples, Fraction(float(levels_left(np.array([u.shift]), 0.0)[0])))
        for u in units
        for _ in range(u.count)
    ]
    outside = Fraction(0)
    for vector in vectors(units):
        if not inside(vector, units, limits):
            outside += math.prod((law[j] for law, j in zip(laws, vector, strict=True)), start=Fraction(1))
        else:
            smaller = [(*vector[:i], j - 1, *vector[i + 1 :]) for i, j in enumerate(vector) if j]
            assert all(inside(other, units, limits) for other in smaller)
    assert outside <= Fraction(error)


def test_conditions_are_not_empty() -> None:
    """A quarter of the error is used at least, and each condition excludes something."""
    units, error = (Units(3, 8, 0.0),), 0.2
    limits = side_limits(units, error)
    law = exact_binomial(8, Fraction(1, 2))
    outside = [vector for vector in vectors(units) if not inside(vector, units, limits)]
    spent = sum((law[a] * law[b] * law[c] for a, b, c in outside), Fraction(0))
    assert spent >= Fraction(error) / 4
    assert sum(3 * [limits.largest[0]]) > limits.sum_limit
    assert 3 * int(limits.spread_values[0][-1]) > limits.spread_limit


@pytest.mark.parametrize("units", SMALL)
def test_the_bound_is_the_maximum_over_the_set(units: tuple[Units, ...]) -> None:
    """Never below the maximum over A, found by trying every J; and the multipliers are nearly the best of a grid."""
    rng = np.random.default_rng(1)
    limits = side_limits(units, 0.05)
    count = sum(u.count for u in units)
    within = [vector for vector in vectors(units) if inside(vector, units, limits)]
    for draw in (rng.normal, rng.exponential, lambda size: rng.integers(0, 3, size).astype(float)):
        scores = [draw(size=(u.count, u.samples)) for u in units]
        ordered = [np.sort(rows, axis=1) for rows in scores]
        weights = [np.full(u.count, 1 / count) for u in units]
        ends = [np.concatenate([rows, np.full((len(rows), 1), 7.0)], axis=1) for rows in ordered]
        every = [row for rows in ends for row in rows]
        greatest = max(sum(row[j] for row, j in zip(every, vector, strict=True)) for vector in within) / count
        side = best_side(ordered, 7.0, limits, weights)
        assert side.value >= greatest
        assert side.value == side_again(ordered, 7.0, limits, weights, side.multipliers)
        grid = [a * 2.0**b for a in (0, 1) for b in range(-14, 3)]
        least = min(side_again(ordered, 7.0, limits, weights, pair) for pair in itertools.product(grid, grid))
        assert side.value <= least + 1e-3


def test_limits_of_sums_in_exact_fractions() -> None:
    """c holds, and one less would not, up to the reserve: also at errors that plain transforms cannot see."""
    rng = np.random.default_rng(3)
    for error in (0.3, 1e-3, 1e-9, 1e-15):
        for _ in range(6):
            parts, law = [], {0: Fraction(1)}
            for _ in range(int(rng.integers(1, 3))):
                weights = rng.integers(1, 60, int(rng.integers(2, 7)))
                mass = weights / weights.sum()
                values, count = rng.integers(-5, 12, len(mass)), int(rng.integers(1, 7))
                parts.append(Part(count, mass, values))
                for _ in range(count):
                    stepped: dict[int, Fraction] = {}
                    for total, so_far in law.items():
                        for value, part in zip(values, mass, strict=True):
                            stepped[total + int(value)] = stepped.get(
                                total + int(value), Fraction(0)
                            ) + so_far * Fraction(float(part))
                    law = stepped
            c = limit(parts, error)
            assert sum((mass for total, mass in law.items() if total > c), Fraction(0)) <= Fraction(error)
            beyond = sum((mass for total, mass in law.items() if total >= c), Fraction(0))
            assert beyond > Fraction(error) * Fraction(1 - 1e-5)


def test_limits_of_large_sums_are_those_of_the_binomial() -> None:
    for count, samples, left in ((300, 64, 0.4), (10_000, 64, 0.03), (7, 501, 1e-4)):
        law = binom.pmf(np.arange(samples + 1), samples, 1 - left)
        for error in (0.01, 1e-6, 1e-30):
            c = limit([Part(count, law, np.arange(samples + 1))], error)
            failures = count * samples - c
            assert binom.cdf(failures - 1, count * samples, left) <= error
            assert binom.cdf(failures, count * samples, left) > error * (1 - 1e-4)


def test_more_draws_than_the_reserve_pays_for_are_refused() -> None:
    with pytest.raises(ParameterError, match="draws in one bound"):
        side_limits((Units(2**20, 1024, 0.1),), 0.01)


@pytest.mark.parametrize("shift", [0.0, 0.42, 1.5])
@pytest.mark.parametrize("distance", [0.0, 0.01])
def test_the_law_of_reported_scores(shift: float, distance: float) -> None:
    """At every count at least as likely to exceed it as the mixture, integrated by SciPy, and little more."""
    samples, following = 24, 17
    law = count_law(samples, shift, "reported", distance, following)
    density = beta(following // 2 + 1, following - following // 2)

    def level(v: float) -> float:
        return min(1.0, float(ndtr(shift + ndtri(min(1.0, v + distance)))) + distance)

    for count in range(0, samples, 4):
        exact = quad(lambda v: density.pdf(v) * binom.sf(count, samples, level(v)), 0, 1, epsabs=1e-11, limit=400)[0]  # noqa: B023
        bound = float(law[count + 1 :].sum())
        assert exact <= bound + 1e-9
        assert bound <= exact + 0.004


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.42, 1.0, 2.0])
@pytest.mark.parametrize("samples", [33, 100, 501, 1000])
@pytest.mark.parametrize("alpha", [0.1, 1e-3, 1e-6])
def test_one_unit_is_the_exact_rank_bound(samples: int, shift: float, alpha: float) -> None:
    scores = np.random.default_rng(4).normal(size=samples)
    made = certify_mean([scores[None]], [Units(1, samples, shift)], alpha, bottom=-9.0, top=9.0)
    lower, upper = order_statistics(samples, shift, alpha)
    ordered = np.sort(scores)
    assert made.upper == (9.0 if upper is None else ordered[upper - 1])
    assert made.lower == (-9.0 if lower is None else ordered[lower - 1])


def test_one_reported_unit_is_no_wider_than_four_events() -> None:
    for samples, shift in ((100, 0.1), (501, 0.42), (1000, 1.0)):
        rank = side_limits((Units(1, samples, shift),), 0.0005, "reported").largest[0] + 1
        assert rank <= (scope_ranks(samples, shift, 0.001, "reported")[1] or 0)
        assert rank > (scope_ranks(samples, shift, 0.001, "smoothed")[1] or 0)


TABLE = {
    (0.20, 30): ((32, 0.55), (64, 0.42), (128, 0.35), (501, 0.27)),
    (0.20, 300): ((32, 0.45), (64, 0.36), (128, 0.30), (501, 0.24)),
    (0.42, 30): ((32, 0.83), (64, 0.64), (128, 0.59), (501, 0.48)),
    (0.42, 300): ((64, 0.59), (128, 0.52), (501, 0.46)),
    (1.00, 30): ((128, 1.21), (501, 1.08)),
    (1.00, 300): ((128, 1.14), (501, 1.05)),
}


def figure(units: Units, repetitions: int) -> float:
    """(U − mean)/deviation of normal scores with means of their own, α = 0.001, averaged over both sides."""
    rng = np.random.default_rng(5)
    gaps = []
    for _ in range(repetitions):
        means = rng.uniform(30, 70, (units.count, 1))
        made = certify_mean([means + rng.normal(size=(units.count, units.samples))], [units], 0.001, bottom=0, top=100)
        gaps += [made.upper - float(means.mean()), float(means.mean()) - made.lower]
    return float(np.mean(gaps))


@pytest.mark.parametrize("case", TABLE)
def test_table(case: tuple[float, int]) -> None:
    """The published figures, reproduced within 0.03 or beaten; the average of 16 or 3 clips, both sides."""
    shift, count = case
    for samples, expected in TABLE[case]:
        assert figure(Units(count, samples, shift), 16 if count == 30 else 3) <= expected + 0.03


def test_narrower_than_frames_one_by_one() -> None:
    """64 samples a frame bound a clip of 300 as well as 501 do when each frame is bounded at α/300."""
    rng = np.random.default_rng(6)
    for shift in (0.2, 0.42):
        scores = rng.uniform(30, 70, (300, 1)) + rng.normal(size=(300, 501))
        made = certify_mean([scores[:, :64]], [Units(300, 64, shift)], 0.001, bottom=0, top=100)
        lower, upper = order_statistics(501, shift, 0.001 / 300)
        assert lower is not None
        assert upper is not None
        ordered = np.sort(scores, axis=1)
        assert made.upper - made.lower < ordered[:, upper - 1].mean() - ordered[:, lower - 1].mean()


def wavy(rng: np.random.Generator, units: Units) -> Scores:
    return np.clip(50 + rng.normal(0, 8, (units.count, 1)) + rng.normal(0, 3, (units.count, units.samples)), 0, 100)


def test_wider_for_a_larger_radius_and_a_smaller_error() -> None:
    rng = np.random.default_rng(7)
    for _ in range(5):
        units = Units(20, 48, 0.0)
        scores = wavy(rng, units)
        by_radius = [
            certify_mean([scores], [replace(units, shift=s)], 0.01, bottom=0, top=100) for s in np.linspace(0, 1, 9)
        ]
        by_error = [certify_mean([scores], [units], a, bottom=0, top=100) for a in (0.5, 0.1, 0.01, 1e-4, 1e-8)]
        for wider in (by_radius, by_error):
            assert all(a.upper <= b.upper and a.lower >= b.lower for a, b in itertools.pairwise(wider))


def test_mirrored() -> None:
    units = Units(12, 40, 0.3)
    scores = wavy(np.random.default_rng(8), units)
    scores[0, 3] = np.nan
    there = certify_mean([scores], [units], 0.01, bottom=0.0, top=100.0)
    back = certify_mean([-scores], [units], 0.01, bottom=-100.0, top=0.0)
    assert (back.lower, back.upper, back.score) == (-there.upper, -there.lower, -there.score)


def test_failed_samples_count_against_both_sides() -> None:
    units = Units(10, 40, 0.2)
    scores = wavy(np.random.default_rng(9), units)
    clean = certify_mean([scores], [units], 0.01, bottom=0.0, top=100.0)
    spoilt = scores.copy()
    spoilt[2, :5] = (np.nan, np.inf, -np.inf, np.nan, np.nan)
    made = certify_mean([spoilt], [units], 0.01, bottom=0.0, top=100.0)
    worst = [np.where(np.isfinite(spoilt), spoilt, end) for end in (0.0, 100.0)]
    assert made.failed_samples == 5
    assert made.lower == certify_mean([worst[0]], [units], 0.01, bottom=0.0, top=100.0).lower <= clean.lower
    assert made.upper == certify_mean([worst[1]], [units], 0.01, bottom=0.0, top=100.0).upper >= clean.upper
    spoilt[2] = np.nan
    assert math.isnan(certify_mean([spoilt], [units], 0.01, bottom=0.0, top=100.0).score)


def test_what_cannot_be_bounded_is_refused() -> None:
    scores, units = [np.full((3, 8), 5.0)], [Units(3, 8, 0.1)]
    for bottom, top in ((None, 10), (0, None), (0, math.inf), (3, 3), (math.nan, 1)):
        with pytest.raises(ParameterError, match="range"):
            certify_mean(scores, units, 0.1, bottom=bottom, top=top)
    with pytest.raises(ParameterError, match="leave their range"):
        certify_mean(scores, units, 0.1, bottom=0, top=4)
    with pytest.raises(ParameterError, match="3 units with 9 samples"):
        certify_mean(scores, [Units(3, 9, 0.1)], 0.1, bottom=0, top=9)
    with pytest.raises(ParameterError, match="groups"):
        certify_mean(scores, [], 0.1, bottom=0, top=9)
    with pytest.raises(ParameterError, match="above -1"):
        certify_mean(scores, units, 0.1, bottom=-1, top=9, mean=HARMONIC_MEAN)
    with pytest.raises(ParameterError, match="shift"):
        certify_mean(scores, [Units(3, 8, -0.1)], 0.1, bottom=0, top=9)
    with pytest.raises(ParameterError, match="weights"):
        certify_mean(scores, units, 0.1, bottom=0, top=9, weights=[[1, -1, 1]])
    with pytest.raises(ParameterError, match="looks"):
        Looks((8, 8), (0.5, 0.5))
    with pytest.raises(ParameterError, match="parts of alpha"):
        Looks((8, 16), (0.5, 0.6))


def test_the_noise_distance_widens() -> None:
    units = Units(8, 64, 0.2)
    for scope in ("smoothed", "reported"):
        near = side_limits((units,), 0.01, scope)
        far = side_limits((replace(units, distance=0.02),), 0.01, scope)
        assert far.sum_limit > near.sum_limit
        assert far.largest > near.largest


def test_a_harmonic_mean() -> None:
    """The bounds of −1/(x + 1), taken back; equal scores give themselves."""
    units = Units(12, 64, 0.2)
    scores = wavy(np.random.default_rng(10), units)
    made = certify_mean([scores], [units], 0.01, bottom=0, top=100, mean=HARMONIC_MEAN)
    plain = certify_mean([-1 / (scores + 1)], [units], 0.01, bottom=-1, top=-1 / 101)
    assert made.upper == pytest.approx(-1 / plain.upper - 1, rel=1e-9)
    assert made.lower == pytest.approx(-1 / plain.lower - 1, rel=1e-9)
    medians = np.median(scores, axis=1)
    assert made.score == pytest.approx(12 / np.sum(1 / (medians + 1)) - 1)
    level = certify_mean([np.full((12, 64), 7.0)], [units], 0.01, bottom=0, top=100, mean=HARMONIC_MEAN)
    assert 7 - 1e-9 < level.lower <= 7 <= level.upper < 7 + 1e-9


def test_weights_and_groups() -> None:
    """Equal weights change nothing but the order of a sum; a unit without weight has no say in the value."""
    rng = np.random.default_rng(11)
    units = [Units(6, 64, 0.2), Units(4, 48, 0.3)]
    scores = [wavy(rng, group) for group in units]
    plain = certify_mean(scores, units, 0.01, bottom=0, top=100)
    same = certify_mean(scores, units, 0.01, bottom=0, top=100, weights=[[3.0] * 6, [3.0] * 4])
    assert (same.lower, same.upper) == pytest.approx((plain.lower, plain.upper), rel=1e-12)
    assert plain.lower < plain.score < plain.upper
    weights = [[1.0] * 6, [0.0] * 4]
    heavy = certify_mean(scores, units, 0.01, bottom=0, top=100, weights=weights)
    other = certify_mean([scores[0], np.full((4, 48), 99.0)], units, 0.01, bottom=0, top=100, weights=weights)
    assert (heavy.lower, heavy.upper) == pytest.approx((other.lower, other.upper), abs=2e-2)


def test_what_was_spent_is_told_and_sums_to_alpha() -> None:
    units = Units(6, 40, 0.2)
    scores = wavy(np.random.default_rng(12), units)
    made = certify_mean([scores], [units], 0.01, bottom=0, top=100)
    assert made.shares["upper sum"] == pytest.approx(0.01 / 2 * 0.45)
    assert math.fsum(made.shares.values()) == pytest.approx(0.01, rel=1e-12)
    reported = certify_mean([scores], [units], 0.01, bottom=0, top=100, scope="reported", next_samples=[[40], [64]])
    assert math.fsum(reported.shares.values()) == pytest.approx(0.01, rel=1e-12)
    assert len(reported.shares) == 12
    single = ledger([side_limits((Units(1, 40, 0.2),), 0.005)])
    assert single == {"lower largest": 0.005, "upper largest": 0.005}


def test_a_record_makes_the_bound_again() -> None:
    """Limits and multipliers as recorded, no solver: the same number."""
    units = Units(9, 48, 0.3)
    scores = wavy(np.random.default_rng(13), units)
    made = certify_mean([scores], [units], 0.01, bottom=0.0, top=100.0)
    record = json.loads(json.dumps(made.to_dict()))
    limits = side_limits(tuple(Units(**group) for group in record["units"]), record["alpha"] / 2)
    upper = record["upper_side"]
    assert (limits.sum_limit, limits.spread_limit) == (upper["sum_limit"], upper["spread_limit"])
    weights = [np.full(9, 1 / 9)]
    again = side_again([sorted_rows(scores, 100.0)], 100.0, limits, weights, tuple(upper["multipliers"]))
    assert again == upper["value"] == made.upper
    with pytest.raises(ParameterError, match="multipliers"):
        side_again([sorted_rows(scores, 100.0)], 100.0, limits, weights, (-1.0, 0.0))


def test_least_useful_samples() -> None:
    for scope in ("smoothed", "reported"):
        for count, shift in ((1, 0.5), (30, 0.42), (10_000, 0.2)):
            least = least_useful_samples(count, shift, 0.001, scope)
            assert least is not None
            assert side_limits((Units(count, least, shift),), 0.0005, scope).largest[0] < least
            assert side_limits((Units(count, least - 1, shift),), 0.0005, scope).largest[0] == least - 1
    assert least_useful_samples(300, 6.0, 0.001) is None


def test_looks_of_a_clip() -> None:
    looks = clip_looks(300, 0.42, 0.001, 256)
    assert looks.counts[-1] == 256
    assert all(b >= 1.4 * a for a, b in itertools.pairwise(looks.counts))
    assert math.fsum(looks.alpha(i, 0.001) for i in range(len(looks.counts))) <= 0.001 * (1 + 1e-12)
    first = side_limits((Units(300, looks.counts[0], 0.42),), looks.alpha(0, 0.001) / 2)
    assert first.largest[0] < looks.counts[0]
    assert clip_looks(300, 3.0, 0.001, 64).counts == (64,)


Draw = Callable[[np.random.Generator, tuple[int, int]], Scores]
Quantile = Callable[[Scores], Scores]
KINDS: dict[str, Quantile] = {
    # Quantile functions of a unit's scores, [0, 1] → scores: skewed, tied, of two values, and heavy on one side.
    "skewed": lambda u: np.minimum(-np.log1p(-u), 12.0),
    "tied": lambda u: np.floor(6 * u),
    "two values": lambda u: 10.0 * (u > 0.6),
    "normal": lambda u: np.clip(5 + ndtri(u), 0, 12),
}


def truth(levels: Scores, names: Sequence[str], scales: Scores) -> Scores:
    return np.array(
        [scale * KINDS[name](np.array([level]))[0] for name, scale, level in zip(names, scales, levels, strict=True)]
    )


def misses(runs: int, seed: int, looks: Looks, shift: float, alpha: float, scope: Scope) -> tuple[int, int]:
    """(lower, upper) misses at any look, of runs clips of 6 skewed, tied and other units of different scales.

    The attacked score is the worst that the lemma allows: its quantile at level Φ(±s), or, reported, the middle of n′
    draws through the lemma.
    """
    rng = np.random.default_rng(seed)
    names = ["skewed", "tied", "two values", "normal", "skewed", "tied"]
    scales = np.array([1.0, 1.0, 0.5, 2.0, 3.0, 0.3])
    units = [Units(6, looks.counts[-1], shift)]
    wrong = [0, 0]
    for _ in range(runs):
        uniforms = rng.random((6, looks.counts[-1]))
        scores = np.stack([s * KINDS[name](u) for name, s, u in zip(names, scales, uniforms, strict=True)])
        missed = [False, False]
        for look, count in enumerate(looks.counts):
            made = looks.certify_mean(look, [scores[:, :count]], units, alpha, bottom=0, top=40, scope=scope)
            # The next report of this look and of the others, each from draws of its own.
            for following in looks.counts if scope == "reported" else (None,):
                middle = np.full(6, 0.5) if following is None else np.median(rng.random((6, following)), axis=1)
                missed[0] |= float(truth(ndtr(ndtri(middle) - shift), names, scales).mean()) < made.lower
                missed[1] |= float(truth(ndtr(ndtri(middle) + shift), names, scales).mean()) > made.upper
        wrong[0] += missed[0]
        wrong[1] += missed[1]
    return wrong[0], wrong[1]


ONE = Looks((31,), (1.0,))
THREE = Looks((17, 25, 39), (0.2, 0.3, 0.5))


@pytest.mark.parametrize(
    ("looks", "scope", "runs"), [(ONE, "smoothed", 500), (THREE, "smoothed", 250), (ONE, "reported", 750)]
)
def test_coverage(looks: Looks, scope: Scope, runs: int) -> None:
    """2,000 certificates."""
    lower, upper = misses(runs, 21, looks, 0.25, 0.2, scope)
    assert max(lower, upper) <= binom.ppf(0.999, runs, 0.1)


@pytest.mark.long
@pytest.mark.parametrize(("looks", "scope"), [(ONE, "smoothed"), (THREE, "smoothed"), (ONE, "reported")])
def test_coverage_of_twenty_thousand(looks: Looks, scope: Scope) -> None:
    lower, upper = misses(20_000, 22, looks, 0.25, 0.2, scope)
    assert max(lower, upper) <= binom.ppf(0.999, 20_000, 0.1)


def test_a_wrong_law_would_be_seen() -> None:
    """The check has teeth: limits for a shift of 0.25 do not hold at 0.8."""
    rng = np.random.default_rng(23)
    wrong = 0
    for _ in range(100):
        made = certify_mean([rng.normal(size=(6, 31))], [Units(6, 31, 0.25)], 0.2, bottom=-20, top=20)
        wrong += made.upper < 0.8
    assert wrong > binom.ppf(0.999, 100, 0.1)


def test_ten_thousand_units() -> None:
    rng = np.random.default_rng(24)
    scores = np.clip(50 + rng.normal(size=(10_000, 64)), 0, 100)
    made = certify_mean([scores], [Units(10_000, 64, 0.2)], 0.001, bottom=0, top=100)
    assert 50.2 < made.upper < 50.4
    assert 49.6 < made.lower < 49.8
