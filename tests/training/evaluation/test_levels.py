"""What is measured of a family: widths as the closed form has them, ladders, rows, and the whole command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from runtime.bounds.ranks import scope_ranks
from training.data.ladders import KINDS, RUNGS
from training.evaluation.levels import ALPHA, SAMPLES, agreement, ladder_agreement, measured_widths, ranges_and_widths


def test_the_estimated_width_is_that_of_the_ranks() -> None:
    """Normal scores of deviation 2: the width is 4 times the quantile of the rank. 400·25 deviates, within 5%."""
    rng = np.random.default_rng(0)
    draws = (50 + 10 * rng.standard_normal((400, 1)) + 2 * rng.standard_normal((400, 25))).astype(np.float32)
    figures = ranges_and_widths(draws, sigma=0.1, downscale=2)
    for epsilon in (0.05, 0.1):
        _, upper = scope_ranks(SAMPLES, epsilon / 2 / 0.1, ALPHA, "smoothed")
        assert upper is not None
        expected = 4 * norm.ppf((upper - 0.5) / SAMPLES)
        assert figures["width_estimated"][f"{epsilon:g}"] == pytest.approx(expected, rel=0.05)
    assert figures["range"] == pytest.approx(2 * 1.645 * 10, rel=0.1)
    assert "4" not in figures["width_estimated"]


def test_the_measured_width_is_the_distance_of_the_ranks() -> None:
    many = np.arange(1, 1001, dtype=np.float32)[None]
    lower, upper = scope_ranks(1000, 0.25, ALPHA, "smoothed")
    assert lower is not None
    assert upper is not None
    assert measured_widths(many, sigma=0.1, downscale=2)["0.05"] == upper - lower


def test_ladders_are_judged_kind_by_kind() -> None:
    scores = np.zeros((2, len(KINDS), RUNGS + 1))
    scores[:, 0] = -np.arange(RUNGS + 1)
    scores[:, 1] = np.arange(RUNGS + 1)
    judged = ladder_agreement(scores)
    first, second, third = list(KINDS)[:3]
    assert judged[first] == 1
    assert judged[second] == -1
    assert judged[third] == 0


def test_small_subsets_are_left_out(tmp_path: Path) -> None:
    from training.data.photographs import Photograph

    rows = [Photograph(Path(f"{i}.png"), i / 20, "val", "x" if i < 12 else "y") for i in range(20)]
    figures = agreement(np.arange(20.0), rows)
    assert set(figures) == {"pooled", "x"}
    assert figures["x"] == {"srocc": 1.0, "plcc": pytest.approx(1, abs=1e-3), "pictures": 12}
    assert json.dumps(figures)
