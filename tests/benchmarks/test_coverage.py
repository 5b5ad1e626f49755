"""Misses are counted where they are: on laws whose quantiles and chances to miss are known in closed form.

False alarms: each binomial check is at 99.9% a side, eight of them; seeds are fixed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, norm

pytest.importorskip("skimage")

from benchmarks.coverage import Row, disjoint, merged, page
from benchmarks.parts.coverage_counts import (
    Law,
    early_stop,
    frame_of_tiles,
    most_misses,
    one_frame,
    one_mean,
    worst_tampering,
)
from benchmarks.parts.score_pools import BLOCK, draw
from runtime import Certifier, Tampering
from runtime.bounds.aggregates import Aggregate
from runtime.bounds.alpha import SCOPES
from runtime.bounds.ranks import scope_ranks
from runtime.bounds.stopping import schedule
from runtime.frames.tiles import tiling
from runtime.results.tampering import Domain

SHIFT = 0.8
N = 20_001
NORMAL = 50 + 5 * norm.ppf((np.arange(N) + 0.5) / N)
"""A law of N equal atoms, close to a normal one."""
DOMAIN = Domain(tiling(16, 16, 8), 0.25, 2, 8)


def drawn(*shape: int, seed: int = 1) -> NDArray[np.float64]:
    return np.asarray(NORMAL[np.random.default_rng(seed).integers(N, size=shape)])


def test_quantiles_are_those_of_the_theorem() -> None:
    """Four atoms: the quantile just above level ¾ is the fourth, that of ¼ the first; of ½ the third and the second."""
    law = Law(np.array([1.0, 2.0, 3.0, 4.0]), 0.0, 0.0)
    quarter = float(norm.ppf(0.75)) + 1e-12
    assert (float(law.above(quarter)), float(law.below(quarter))) == (4, 1)
    assert (float(law.above(0.0)), float(law.below(0.0))) == (3, 2)
    assert (float(law.above(9.0)), float(law.below(9.0))) == (4, 1)


def test_doubt_moves_quantiles_inwards() -> None:
    """By the binomial's spread of the level, which a hundred thousand scores bring to half a percent."""
    known, doubted = Law(NORMAL, SHIFT, 0.0), Law(NORMAL, SHIFT, 0.0, 1e-6)
    assert known.below(SHIFT) < doubted.below(SHIFT) < 50 < doubted.above(SHIFT) < known.above(SHIFT)
    moved = norm.cdf(SHIFT) - norm.cdf((doubted.above(SHIFT) - 50) / 5)
    level = norm.cdf(SHIFT)
    assert moved == pytest.approx(4.75 * (level * (1 - level) / N) ** 0.5, rel=0.05)


@pytest.mark.parametrize("alpha", [0.05, 0.01])
def test_one_frame_misses_as_often_as_its_ranks_say(alpha: float) -> None:
    """The exact chance of a miss is a binomial tail of the law's own level, two sides; the count agrees with it."""
    law, count, n = Law(NORMAL, SHIFT, 0.0), 8000, 101
    lower, _ = scope_ranks(n, SHIFT, alpha, "smoothed")
    assert lower is not None
    at_or_below = float(np.searchsorted(NORMAL, law.below(SHIFT), side="right") / N)
    chance = 2 * binom.cdf(lower - 1, n, at_or_below)
    missed = int(one_frame(drawn(count, n), law, alpha, "smoothed", np.random.default_rng(2)).sum())
    assert binom.ppf(0.001, count, chance) <= missed <= binom.ppf(0.999, count, chance)
    assert missed <= most_misses(count, alpha)


def test_bounds_of_a_smaller_shift_are_found_out() -> None:
    """Intervals made for half of the shift miss far more often than α: the check can fail."""
    scores = drawn(2000, 101)
    real, small = Law(NORMAL, SHIFT, 0.0), Law(NORMAL, SHIFT / 2, 0.0)
    lower, upper = scope_ranks(101, small.shift, 0.05, "smoothed")
    assert lower is not None
    assert upper is not None
    ordered = np.sort(scores, axis=1)
    wrong = (ordered[:, lower - 1] > real.below(SHIFT)) | (ordered[:, upper - 1] < real.above(SHIFT))
    assert wrong.sum() > 4 * most_misses(2000, 0.05)


def test_the_next_report_is_covered_and_strays() -> None:
    """The reported bound covers it; that of the smoothed score, asked to, would not."""
    law, scores, rng = Law(NORMAL, SHIFT, 0.0), drawn(4000, 101), np.random.default_rng(3)
    assert one_frame(scores, law, 0.05, "reported", rng).sum() <= most_misses(4000, 0.05)
    lower, upper = scope_ranks(101, SHIFT, 0.05, "smoothed")
    assert lower is not None
    assert upper is not None
    ordered = np.sort(scores, axis=1)
    strayed = np.median(drawn(4000, 101, seed=4), axis=1) - 50
    missed = (ordered[:, lower - 1] > law.below(SHIFT) + strayed) | (ordered[:, upper - 1] < law.above(SHIFT) + strayed)
    assert missed.sum() > 1.5 * most_misses(4000, 0.05)


def test_early_stops() -> None:
    """Stopping by a tolerance misses no more than all looks together do, and those come near α, as they are made to."""
    law, scores = Law(NORMAL, SHIFT, 0.0), drawn(3000, 101)
    wide = float(law.above(SHIFT) - law.below(SHIFT))
    stopped, ever = early_stop(scores, law, 0.2, 1.3 * wide)
    assert not (stopped & ~ever).any()
    assert 0.1 * 3000 < ever.sum() <= most_misses(3000, 0.2)
    at_once, _ = early_stop(scores, law, 0.2, np.inf)
    first = next(i for i, rank in enumerate(schedule(101, SHIFT, 0.2, "smoothed").lower_ranks) if rank)
    made = schedule(101, SHIFT, 0.2, "smoothed")
    lower, upper = made.ranks(first)
    assert lower is not None
    assert upper is not None
    ordered = np.sort(scores[:, : made.looks[first]], axis=1)
    expected = (ordered[:, lower - 1] > law.below(SHIFT)) | (ordered[:, upper - 1] < law.above(SHIFT))
    assert (at_once == expected).all()


def test_one_mean() -> None:
    """The collective bound of four frames covers, for both scopes; against laws moved by 4 points it does not."""
    laws = [Law(NORMAL, SHIFT, 0.0)] * 4
    scores = drawn(60, 4, 64)
    for scope in SCOPES:
        assert one_mean(scores, laws, 0.5, scope, (0, 100), np.random.default_rng(5)).sum() <= most_misses(60, 0.5)
    moved = [Law(NORMAL + 4, SHIFT, 0.0)] * 4
    assert one_mean(scores, moved, 0.5, "smoothed", (0, 100), np.random.default_rng(5)).all()


def test_worst_tampering_by_hand() -> None:
    """Tiles of one law: levels give its quantile, a patch one end of the range, an L2 budget what one split gives."""
    laws = [Law(NORMAL, 0.0, 0.0)] * 4
    mean, median, ends = Aggregate("mean"), Aggregate("median"), (0.0, 100.0)
    levels = Tampering(levels=1.0)
    high = float(laws[0].above(levels.shift(DOMAIN)))
    assert worst_tampering(laws, levels, DOMAIN, mean, ends)[1] == pytest.approx(high)
    patched = Tampering(levels=1.0, patch=(1, 1))
    assert worst_tampering(laws, patched, DOMAIN, mean, ends)[1] == pytest.approx((3 * high + 100) / 4)
    assert worst_tampering(laws, patched, DOMAIN, median, ends)[1] == pytest.approx(high)
    low, high = worst_tampering(laws, Tampering(epsilon=0.5), DOMAIN, mean, ends)
    assert high == pytest.approx(50 + 5 * 1.0 / 2, abs=0.01), "an even split: a quarter of s² each, s = 1"
    assert low == pytest.approx(100 - high, abs=0.01)


@pytest.mark.parametrize("claim", [Tampering(levels=1.0), Tampering(epsilon=0.5)])
def test_frame_of_tiles(claim: Tampering) -> None:
    """Covers; against tiles moved by 9 points it does not."""
    laws = [Law(NORMAL, 0.0, 0.0)] * 4
    scores, mean = drawn(10, 64, 4), Aggregate("mean")
    assert frame_of_tiles(scores, laws, 0.5, claim, DOMAIN, mean, (0, 100)).sum() <= most_misses(10, 0.5)
    moved = [Law(NORMAL + 9, 0.0, 0.0)] * 4
    assert frame_of_tiles(scores, moved, 0.5, claim, DOMAIN, mean, (0, 100)).all()


def test_pools_go_on_where_they_were_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are there are read, those that are not are drawn: the same scores, reference before fresh."""
    monkeypatch.setattr("benchmarks.parts.score_pools.BLOCK", 4)
    with Certifier(sampler=lambda noisy: noisy.mean((1, 2, 3)), sigma=0.1, samples=8, public_seed=1) as certifier:
        (whole,) = draw(["coffee"], 16, certifier, 8, 4, tmp_path)
        kept = sorted(tmp_path.glob("coffee-*/*.npy"))
        assert len(kept) == 3
        kept[1].unlink()
        kept[2].unlink()
        (again,) = draw(["coffee"], 16, certifier, 8, 4, tmp_path)
    assert (whole.reference == again.reference).all()
    assert (whole.fresh == again.fresh).all()
    assert len({*whole.reference, *whole.fresh}) == 12
    assert BLOCK == 2000


def test_rows_and_page() -> None:
    """Rows of one kind are added up; what is fresh shows both counts; blocks share no score."""
    rows = merged(iter([Row("a", "fresh", 0.05, 10, 3, 2), Row("b", "resampled", 0.05, 5, 1, 1)] * 2))
    assert rows == [Row("a", "fresh", 0.05, 20, 6, 4), Row("b", "resampled", 0.05, 10, 2, 2)]
    shown = page(rows)
    assert shown.index("| b | resampled") < shown.index("| a | fresh | 0.05 | 20 | 6 (4) | 5 |")
    assert disjoint(np.arange(7, dtype=np.float32), 3).tolist() == [[0, 1, 2], [3, 4, 5]]
