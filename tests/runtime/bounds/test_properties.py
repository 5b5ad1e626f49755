"""What holds of every bound, whatever the scores: monotone, symmetric, around the score, never narrower than exact.

Drawn by hypothesis with a fixed seed: no false alarms.
"""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runtime.bounds import budget, collective
from runtime.bounds.pooling import POOLS, pool, pool_intervals, pool_of_pools
from runtime.bounds.ranks import (
    Scope,
    interval,
    least_samples,
    order_statistics,
    sample_median,
    scope_least_samples,
    scope_ranks,
    sorted_sides,
)
from runtime.bounds.stopping import schedule
from tests.support.properties import steady

Scores = NDArray[np.float64]

ROUNDING = 0.5
"""Of 100 points. Limits of sums are whole numbers, and multipliers need not be the best: valid, not quite monotone."""

counts = st.integers(1, 600)
shifts = st.floats(0, 2)
alphas = st.floats(1e-9, 0.5)
scopes = st.sampled_from(["smoothed", "reported"])
distances = st.floats(0, 1e-4)
seeds = st.integers(0, 2**32 - 1)


def drawn(seed: int, shape: tuple[int, ...], failures: bool = True) -> Scores:
    """Scores in [0, 100]: skewed, tied to whole numbers in half of the cases, with failures in a quarter."""
    rng = np.random.default_rng(seed)
    scores = 100 * rng.beta(*rng.uniform(0.3, 5, 2), shape)
    if rng.random() < 0.5:
        scores = np.round(scores)
    if failures and rng.random() < 0.25:
        scores[rng.random(shape) < 0.05] = rng.choice([np.nan, np.inf, -np.inf])
    return scores


def wider(one: tuple[int | None, int | None], other: tuple[int | None, int | None]) -> bool:
    """Whether ``one`` spans at least the ranks of ``other``. No rank is the widest."""
    if one[0] is None or one[1] is None:
        return True
    return other[0] is not None and other[1] is not None and one[0] <= other[0] and one[1] >= other[1]


@given(counts, shifts, shifts, alphas, alphas, scopes, distances)
@steady
def test_ranks_widen_with_the_radius_and_with_less_error(
    samples: int, shift: float, other: float, alpha: float, beta: float, scope: Scope, distance: float
) -> None:
    near, far, strict, loose = *sorted((shift, other)), *sorted((alpha, beta))
    ranks = scope_ranks(samples, near, loose, scope, distance)
    assert wider(scope_ranks(samples, far, loose, scope, distance), ranks)
    assert wider(scope_ranks(samples, near, strict, scope, distance), ranks)
    assert wider(ranks, scope_ranks(samples, near, loose, scope))
    assert wider(scope_ranks(samples, near, loose, "reported", distance), ranks)
    if ranks[0] is not None:
        assert ranks[0] + ranks[1] == samples + 1
        assert ranks[0] <= (samples + 1) // 2


@given(shifts, alphas, scopes)
@steady
def test_the_least_samples_bound_and_one_fewer_do_not(shift: float, alpha: float, scope: Scope) -> None:
    least = least_samples(shift, alpha)
    assert least is not None
    assert order_statistics(least, shift, alpha)[0] is not None
    assert least == 1 or order_statistics(least - 1, shift, alpha)[0] is None
    reported = scope_least_samples(shift, alpha, scope)
    assert reported is not None
    assert reported >= least
    assert scope_ranks(reported, shift, alpha, scope)[0] is not None


@given(seeds, st.integers(15, 300), shifts, alphas)
@steady
def test_an_interval_holds_the_score_and_turns_with_its_sign(
    seed: int, samples: int, shift: float, alpha: float
) -> None:
    scores = drawn(seed, (samples,))
    low, high = sorted_sides(scores)
    ranks = order_statistics(samples, shift, alpha)
    lower, upper = interval(low, high, ranks)
    score = sample_median(low, high)
    assert math.isnan(score) or lower <= score <= upper
    turned = sorted_sides(-scores)
    assert interval(*turned, ranks) == (-upper, -lower)
    assert math.isnan(score) or sample_median(*turned) == -score


@given(st.integers(32, 600), shifts, shifts, alphas, scopes)
@steady
def test_looks_cost_something_and_widen_with_the_radius(
    samples: int, shift: float, other: float, alpha: float, scope: Scope
) -> None:
    near, far = sorted((shift, other))
    planned = schedule(samples, near, alpha, scope)
    for look, count in enumerate(planned.looks):
        assert wider(planned.ranks(look), scope_ranks(count, near, alpha, "smoothed"))
    wide = schedule(samples, far, alpha, scope)
    assert wider(wide.ranks(-1) if len(wide.looks) == len(planned.looks) else (None, None), planned.ranks(-1))


@given(seeds, st.integers(1, 12), st.integers(20, 90), st.floats(0, 0.7), st.floats(1e-6, 0.2), scopes)
@steady
def test_a_collective_interval(seed: int, count: int, samples: int, shift: float, alpha: float, scope: Scope) -> None:
    """Around its score; mirrored with the scores; within the range; moved up by scores that move up."""
    scores = drawn(seed, (count, samples))
    units = [collective.Units(count, samples, shift)]
    found = collective.certify_mean([scores], units, alpha, bottom=0.0, top=100.0, scope=scope)
    assert 0 <= found.lower <= found.upper <= 100
    assert math.isnan(found.score) or found.lower <= found.score + 1e-9
    assert math.isnan(found.score) or found.score - 1e-9 <= found.upper
    mirrored = collective.certify_mean([-scores], units, alpha, bottom=-100.0, top=0.0, scope=scope)
    assert (mirrored.lower, mirrored.upper) == (-found.upper, -found.lower)
    raised = np.minimum(scores + np.random.default_rng(seed).uniform(0, 20, scores.shape), 100.0)
    above = collective.certify_mean([raised], units, alpha, bottom=0.0, top=100.0, scope=scope)
    assert above.lower >= found.lower - ROUNDING
    assert above.upper >= found.upper - ROUNDING


@given(seeds, st.integers(2, 12), st.integers(20, 90), st.floats(0, 0.5), st.floats(0, 0.5), st.floats(1e-6, 0.1))
@steady
def test_a_collective_interval_widens_with_the_radius(
    seed: int, count: int, samples: int, shift: float, other: float, alpha: float
) -> None:
    near, far = sorted((shift, other))
    scores = drawn(seed, (count, samples))
    narrow, wide = (
        collective.certify_mean([scores], [collective.Units(count, samples, s)], alpha, bottom=0.0, top=100.0)
        for s in (near, far)
    )
    assert wide.lower <= narrow.lower + ROUNDING
    assert wide.upper >= narrow.upper - ROUNDING


@given(seeds, st.integers(20, 200), st.floats(0, 1), st.floats(1e-6, 0.2), scopes)
@steady
def test_one_unit_is_never_narrower_than_its_exact_ranks(
    seed: int, samples: int, shift: float, alpha: float, scope: Scope
) -> None:
    scores = drawn(seed, (1, samples), failures=False)
    found = collective.certify_mean(
        [scores], [collective.Units(1, samples, shift)], alpha, bottom=0.0, top=100.0, scope=scope
    )
    lower, upper = interval(*sorted_sides(scores), order_statistics(samples, shift, alpha))
    assert found.lower <= max(lower, 0.0)
    assert found.upper >= min(upper, 100.0)


@given(seeds, st.integers(2, 9), st.integers(25, 80), st.floats(0, 1), st.floats(1e-5, 0.1), st.booleans(), scopes)
@steady
def test_tiles(seed: int, tiles: int, samples: int, shift: float, alpha: float, median: bool, scope: Scope) -> None:
    """Around the score, mirrored with the scores; a patch more, or a budget on top, is never narrower."""
    scores = drawn(seed, (tiles, samples))
    trim = (tiles - 1) // 2 if median else 0
    attacks = (budget.grey_levels(shift), budget.l2(shift, tiles, 4), budget.patch(1), budget.patch(1, shift))
    found = [
        budget.certify_tiles(scores, attack, alpha, bottom=0.0, top=100.0, trim=trim, scope=scope) for attack in attacks
    ]
    for attack, bound in zip(attacks, found, strict=True):
        assert 0 <= bound.lower <= bound.upper <= 100
        assert math.isnan(bound.score) or bound.lower - 1e-9 <= bound.score <= bound.upper + 1e-9
        mirror = budget.certify_tiles(-scores, attack, alpha, bottom=-100.0, top=0.0, trim=trim, scope=scope)
        assert (mirror.lower, mirror.upper) == (-bound.upper, -bound.lower)
    every, _, spoilt, both = found
    for narrow in (every, spoilt):
        assert both.lower <= narrow.lower + ROUNDING
        assert both.upper >= narrow.upper - ROUNDING


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100)), min_size=1, max_size=30), st.integers(1, 29))
@steady
def test_pools_rise_with_every_frame(pairs: list[tuple[float, float]], cut: int) -> None:
    low, high = [min(pair) for pair in pairs], [max(pair) for pair in pairs]
    below, above = pool_intervals(low, high)
    for name in POOLS:
        assert below[name] <= above[name] + 1e-9
        assert min(low) - 1e-9 <= below[name] <= max(low) + 1e-9
        parts = [part for part in (low[:cut], low[cut:]) if part]
        pooled = pool_of_pools(name, [pool(part)[name] for part in parts], [len(part) for part in parts])
        assert math.isclose(pooled, below[name], rel_tol=1e-9, abs_tol=1e-7)
