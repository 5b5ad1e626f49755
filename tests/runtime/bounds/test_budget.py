"""Tiles under a budget: the event in exact fractions, attacks in closed form, and simulated certificates.

A simulation counts the frames whose side is wrong under the worst attack known. Each count is compared with the 99.9%
quantile of Bin(runs, α/2): a check raises a false alarm at most once in 1,000 fresh seeds (the seeds here are fixed).
"""

from __future__ import annotations

import itertools
import json
import math
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri
from scipy.stats import binom

from runtime.bounds.budget import (
    Attack,
    Dual,
    attack_limits,
    certify_tiles,
    exceeding,
    grey_levels,
    l2,
    patch,
    tiles_touched,
)
from runtime.bounds.collective import Units, certify_mean
from runtime.bounds.counts import levels_left
from runtime.bounds.ranks import Scope
from runtime.errors import ParameterError

Scores = NDArray[np.float64]


def exact_tile(samples: int, attack: Attack) -> dict[tuple[int, ...], Fraction]:
    """P(B_1 = b_1, …, B_K = b_K) of one tile: every way for its draws to fall into the cells between levels."""
    left = [Fraction(float(value)) for value in levels_left(np.array(attack.shifts), 0.0)]
    cells = [1 - left[0], *(a - b for a, b in itertools.pairwise(left)), left[-1]]
    law: dict[tuple[int, ...], Fraction] = {}
    for counts in itertools.product(range(samples + 1), repeat=len(cells)):
        if sum(counts) == samples:
            ways = math.factorial(samples)
            for count in counts:
                ways //= math.factorial(count)
            chance = math.prod((c**k for c, k in zip(cells, counts, strict=True)), start=Fraction(ways))
            law[tuple(itertools.accumulate(counts[:-1]))] = chance
    return law


@pytest.mark.parametrize("attack", [l2(0.9, 2, 3), grey_levels(0.5), patch(1, 0.3), l2(1.5, 2, 2)])
@pytest.mark.parametrize("error", [0.2, 0.01])
def test_the_event_has_its_probability(attack: Attack, error: float) -> None:
    """Two tiles of six draws, all options at once, in exact fractions."""
    samples = 6
    limits = attack_limits(2, samples, attack, error)
    law = exact_tile(samples, attack)
    options = range(len(attack.shifts))

    def of_a_tile(counts: tuple[int, ...]) -> tuple[bool, int, int]:
        held = all(counts[k] <= limits.largest[k] for k in options)
        cut = [min(counts[k], limits.largest[k]) for k in options]
        sums = max(int(limits.sum_values[k][cut[k]]) for k in options)
        return held, sums, max(int(limits.spread_values[k][cut[k]]) for k in options)

    tiles = [(of_a_tile(counts), chance) for counts, chance in law.items()]
    assert sum(law.values()) == 1
    outside = Fraction(0)
    for ((held, sums, spread), chance), ((held_, sums_, spread_), chance_) in itertools.product(tiles, repeat=2):
        if not (held and held_ and sums + sums_ <= limits.sum_limit and spread + spread_ <= limits.spread_limit):
            outside += chance * chance_
    assert outside <= Fraction(error)
    # With six draws and a small error every count may be the largest: the event is certain then.
    assert outside > Fraction(error) / 50 or max(limits.largest) == samples


def tile_scores(rng: np.random.Generator, tiles: int, samples: int) -> tuple[Scores, Scores, Scores]:
    """(scores, means, deviations): normal tiles of different scales."""
    means, deviations = rng.uniform(40, 60, tiles), rng.uniform(0.5, 3, tiles)
    return means[:, None] + deviations[:, None] * rng.normal(size=(tiles, samples)), means, deviations


def worst_mean(deviations: Scores, shift: float) -> float:
    """max Σ d_i s_i / T over Σ s_i² = shift²: all in the direction of d."""
    return shift * float(np.linalg.norm(deviations)) / len(deviations)


def worst_order(means: Scores, deviations: Scores, shift: float, place: int) -> float:
    """The largest v to which T + 1 − place normal tiles can be moved within Σ s_i² = shift²."""
    low, high = float(means.min()), float(means.max()) + shift * float(deviations.max())
    for _ in range(60):
        middle = (low + high) / 2
        costs = np.sort(np.maximum(0.0, (middle - means) / deviations) ** 2)
        if costs[: len(means) + 1 - place].sum() <= shift**2:
            low = middle
        else:
            high = middle
    return low


@pytest.mark.parametrize("trim", [0, 2, 5])
def test_many_samples_come_close_to_the_closed_form(trim: int) -> None:
    """Normal tiles, 11 of them, 800 draws: above the worst attack and not far above it."""
    scores, means, deviations = tile_scores(np.random.default_rng(1), 11, 800)
    made = certify_tiles(scores, l2(1.5, 11), 0.001, bottom=0, top=100, trim=trim)
    if trim == 0:
        worst = float(means.mean()) + worst_mean(deviations, 1.5)
    else:
        worst = float(np.mean([worst_order(means, deviations, 1.5, place) for place in range(trim + 1, 12 - trim)]))
    assert worst <= made.upper <= worst + 1.5


def test_grey_levels_of_a_mean_are_the_collective_bound() -> None:
    scores, means, _ = tile_scores(np.random.default_rng(2), 40, 64)
    made = certify_tiles(scores, grey_levels(0.4), 0.01, bottom=0, top=100)
    other = certify_mean([scores], [Units(40, 64, 0.4)], 0.01, bottom=0, top=100)
    assert (made.lower, made.upper) == pytest.approx((other.lower, other.upper), abs=0.02)
    assert made.lower < means.mean() < made.upper


def test_patches() -> None:
    """k tiles of T at the end of the range cost the mean at most k/T of it; the median hardly notices."""
    scores, means, _ = tile_scores(np.random.default_rng(3), 49, 200)
    plain = certify_tiles(scores, patch(0), 0.001, bottom=0, top=100)
    made = certify_tiles(scores, patch(4), 0.001, bottom=0, top=100)
    worst = (np.sort(means)[4:].sum() + 4 * 100) / 49
    assert worst <= made.upper <= worst + (plain.upper - plain.score) + 0.3
    median = certify_tiles(scores, patch(4), 0.001, bottom=0, top=100, trim=24)
    assert np.sort(means)[28] <= median.upper < np.sort(means)[34] + 1
    moved = certify_tiles(scores, patch(4, 0.5), 0.001, bottom=0, top=100)
    assert moved.upper > made.upper
    spoilt = certify_tiles(scores, patch(24), 0.001, bottom=0, top=100, trim=24)
    assert spoilt.upper < 100
    assert certify_tiles(scores, patch(25), 0.001, bottom=0, top=100, trim=24).upper == 100


def test_tiles_touched() -> None:
    assert tiles_touched(1, 1, 64, 2) == 1
    assert tiles_touched(64, 64, 64, 1) == 4
    assert tiles_touched(65, 2, 64, 1) == 4
    assert tiles_touched(66, 1, 64, 1) == 3
    # Every place a rectangle can have on a row of tiles, counted one by one.
    for width in range(1, 30):
        most = max((start + width - 1) // 6 - start // 6 + 1 for start in range(6))
        assert tiles_touched(width, 1, 3, 2) == most


def test_the_dual_bounds_every_attack_and_every_count_of_the_event() -> None:
    """Three tiles, three draws, all counts of the event and all ways to spend, tried one by one."""
    rng = np.random.default_rng(4)
    for attack in (l2(1.0, 3, 3), patch(1, 0.3), grey_levels(0.4)):
        limits = attack_limits(3, 3, attack, 0.1)
        options = range(len(attack.shifts))
        chains = [c for c in itertools.product(range(4), repeat=len(options)) if list(c) == sorted(c)]
        chains = [c for c in chains if all(c[k] <= limits.largest[k] for k in options)]
        sums = [max(int(limits.sum_values[k][c[k]]) for k in options) for c in chains]
        spreads = [max(int(limits.spread_values[k][c[k]]) for k in options) for c in chains]
        scores = rng.normal(size=(3, 3))
        ordered = np.sort(scores, axis=1)
        rows = np.concatenate([ordered, np.full((3, 1), 4.0)], axis=1)
        prices = [*attack.prices, *([] if attack.spoil_price is None else [attack.spoil_price])]
        spendings = [
            choice
            for choice in itertools.product(range(len(prices)), repeat=3)
            if sum(prices[k] for k in choice) <= attack.budget
        ]
        greatest_mean = greatest_median = -math.inf
        for picked in itertools.product(range(len(chains)), repeat=3):
            if sum(sums[i] for i in picked) > limits.sum_limit or sum(spreads[i] for i in picked) > limits.spread_limit:
                continue
            for choice in spendings:
                moved = [
                    rows[tile][chains[picked[tile]][k]] if k < len(options) else 4.0 for tile, k in enumerate(choice)
                ]
                greatest_mean = max(greatest_mean, sum(moved) / 3)
                greatest_median = max(greatest_median, sorted(moved)[1])
        dual = Dual(rows / 3, attack, limits)
        assert dual.bound(dual.search()) >= greatest_mean
        assert dual.bound((0.0, 0.0, 0.0)) >= greatest_mean
        assert dual.bound((1e-3, 2e-3, 0.3)) >= greatest_mean
        median = certify_tiles(scores, attack, 0.2, bottom=-4, top=4, trim=1)
        assert median.upper >= greatest_median
        values = np.unique(scores)
        assert (np.diff(exceeding(ordered, values, attack, limits)) <= 0).all()


@pytest.mark.parametrize("trim", [0, 3])
def test_wider_for_more_and_mirrored(trim: int) -> None:
    scores, _, _ = tile_scores(np.random.default_rng(5), 9, 120)
    scores[1, :2] = np.nan
    by_attack = [
        [certify_tiles(scores, l2(s, 9), 0.01, bottom=0, top=100, trim=trim) for s in (0.0, 0.4, 0.8, 1.6)],
        [certify_tiles(scores, grey_levels(s), 0.01, bottom=0, top=100, trim=trim) for s in (0.0, 0.4, 0.8, 1.6)],
        [certify_tiles(scores, patch(k), 0.01, bottom=0, top=100, trim=trim) for k in (0, 1, 2, 3)],
        [certify_tiles(scores, l2(0.8, 9), a, bottom=0, top=100, trim=trim) for a in (0.1, 0.01, 1e-4)],
    ]
    for wider in by_attack:
        # Grids differ from radius to radius: a hundredth of a point is theirs.
        assert all(a.upper <= b.upper + 0.01 and a.lower >= b.lower - 0.01 for a, b in itertools.pairwise(wider))
    there = certify_tiles(scores, l2(0.8, 9), 0.01, bottom=0.0, top=100.0, trim=trim)
    back = certify_tiles(-scores, l2(0.8, 9), 0.01, bottom=-100.0, top=0.0, trim=trim)
    assert back.lower == pytest.approx(-there.upper, rel=1e-12)
    assert back.upper == pytest.approx(-there.lower, rel=1e-12)
    assert there.failed_samples == 2


def test_records_and_shares() -> None:
    scores, _, _ = tile_scores(np.random.default_rng(6), 9, 120)
    for scope in ("smoothed", "reported"):
        made = certify_tiles(scores, l2(0.8, 9), 0.01, bottom=0.0, top=100.0, scope=scope)
        assert math.fsum(made.shares.values()) == pytest.approx(0.01, rel=1e-12)
        record = json.loads(json.dumps(made.to_dict()))
        limits = attack_limits(9, 120, l2(0.8, 9), 0.005, scope)
        rows = np.concatenate([np.sort(scores, axis=1), np.full((9, 1), 100.0)], axis=1) * np.full(9, 1 / 9)[:, None]
        again = Dual(rows, l2(0.8, 9), limits).bound(tuple(record["upper_side"]["multipliers"]))
        assert again == made.upper


def test_what_cannot_be_bounded_is_refused() -> None:
    scores = np.full((3, 40), 5.0)
    with pytest.raises(ParameterError, match="range"):
        certify_tiles(scores, grey_levels(0.1), 0.1, bottom=None, top=9)
    with pytest.raises(ParameterError, match="leave their range"):
        certify_tiles(scores, grey_levels(0.1), 0.1, bottom=0, top=4)
    with pytest.raises(ParameterError, match="dropped at each end"):
        certify_tiles(scores, grey_levels(0.1), 0.1, bottom=0, top=9, trim=2)
    with pytest.raises(ParameterError, match="no weights"):
        certify_tiles(scores, grey_levels(0.1), 0.1, bottom=0, top=9, trim=1, weights=[1, 1, 1])
    with pytest.raises(ParameterError, match="tiles, samples"):
        certify_tiles(scores[0], grey_levels(0.1), 0.1, bottom=0, top=9)
    for wrong in (lambda: l2(-1, 4), lambda: l2(1, 0), lambda: patch(-1), lambda: grey_levels(math.inf)):
        with pytest.raises(ParameterError):
            wrong()
    with pytest.raises(ParameterError):
        tiles_touched(0, 1, 64, 2)


def misses(runs: int, seed: int, attack: Attack, shift: float, trim: int, scope: Scope) -> int:
    """Frames of 7 tiles whose upper side is wrong at α/2 = 0.1 under the worst attack known in closed form.

    Tiles are normal, of different scales. A patch spoils the tiles that are lowest; grey levels move all.
    """
    rng = np.random.default_rng(seed)
    means, deviations = np.linspace(40, 46, 7), np.array([1.0, 3.0, 0.5, 2.0, 1.0, 4.0, 0.3])
    wrong = 0
    for _ in range(runs):
        scores = means[:, None] + deviations[:, None] * rng.normal(size=(7, 60))
        made = certify_tiles(scores, attack, 0.2, bottom=0, top=80, trim=trim, scope=scope)
        middle = 0.0 if scope == "smoothed" else np.median(rng.normal(size=(7, 60)), axis=1)
        if attack.budget == 0 or attack.spoil_price is not None:
            moved = means + deviations * (shift + middle)
            moved[np.argsort(moved)[: int(attack.budget)]] = 80
        elif trim == 0:
            moved = means + deviations * (deviations / np.linalg.norm(deviations) * shift + middle)
        else:
            target = worst_order(means, deviations, shift, 4)
            moved = np.maximum(means, target) + deviations * middle
        kept = np.sort(moved)[trim : 7 - trim]
        wrong += float(kept.mean()) > made.upper
    return wrong


CASES: list[tuple[Attack, float, int, Scope]] = [
    (grey_levels(0.4), 0.4, 0, "smoothed"),
    (grey_levels(0.4), 0.4, 3, "smoothed"),
    (grey_levels(0.4), 0.4, 0, "reported"),
    (l2(0.7, 7, 8), 0.7, 0, "smoothed"),
    (l2(0.7, 7, 8), 0.7, 3, "smoothed"),
    (l2(0.7, 7, 8), 0.7, 0, "reported"),
    (patch(2, 0.2), 0.2, 0, "smoothed"),
    (patch(2, 0.2), 0.2, 2, "reported"),
]


@pytest.mark.parametrize(("attack", "shift", "trim", "scope"), CASES)
def test_coverage(attack: Attack, shift: float, trim: int, scope: Scope) -> None:
    assert misses(40, 31, attack, shift, trim, scope) <= binom.ppf(0.999, 40, 0.1)


@pytest.mark.long
@pytest.mark.parametrize(("attack", "shift", "trim", "scope"), CASES)
def test_coverage_of_many(attack: Attack, shift: float, trim: int, scope: Scope) -> None:
    assert misses(2500, 32, attack, shift, trim, scope) <= binom.ppf(0.999, 2500, 0.1)


def test_levels_are_those_of_the_normal_law() -> None:
    assert levels_left(np.array([0.5]), 0.0)[0] == pytest.approx(float(ndtr(-0.5)), rel=1e-11)
    assert -float(ndtri(levels_left(np.array([0.5]), 0.01)[0])) > 0.5
