"""Tiles of a pair: the tile scores of a frame, their spread, and what a grey level costs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from runtime.bounds.aggregates import Aggregate
from training.evaluation.levels import as_lattice
from training.evaluation.tiles import figures, tile_scores


class Mean(torch.nn.Module):
    """100 times the mean of a picture."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return 100 * pictures.mean((1, 2, 3))


def test_each_tile_is_scored_by_itself() -> None:
    picture = np.full((3, 64, 96), 100, np.uint8)
    picture[:, 32:, 64:] = 200
    scores = tile_scores(Mean(), as_lattice(picture), 0.02, 32, 9, seed=1)
    assert scores.shape == (9, 6)
    assert np.median(scores, axis=0) == pytest.approx([100 / 2.55] * 5 + [200 / 2.55], abs=0.2)
    assert tile_scores(Mean(), as_lattice(picture), 0.02, 0, 9, seed=1).shape == (9, 1)
    with pytest.raises(ValueError, match="tiles of 48 do not fill a frame of 64×96"):
        tile_scores(Mean(), as_lattice(picture), 0.02, 48, 9, seed=1)


def test_width_of_a_grey_level() -> None:
    """For f linear and Gaussian it is exact: h_p(x) of each tile is its mean plus s times its spread."""
    draws = np.random.default_rng(1).normal(0, 2, (101, 400, 4)) + np.linspace(0, 50, 101)[:, None, None]
    scores, made = figures(list(draws), 0.25, 64, Aggregate())
    s = math.sqrt(3) * 64 / 255 / 0.25
    assert scores == pytest.approx(np.linspace(0, 50, 101), abs=0.4)
    assert made["spread"] == pytest.approx(2, abs=0.02)
    assert made["width_estimated"]["1"] == pytest.approx(4 * s, rel=0.02)
    assert made["third"] == pytest.approx(4 * s / 45, rel=0.02)
    assert figures(list(draws), 0.05, 128, Aggregate())[1]["width_estimated"]["1"] == "range"
