"""Ladders of codecs and faults: each rung further from the photograph than the one before it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.scenes import scenes
from training.data.domain_cache import box_average, cached_domain
from training.data.ladders import KINDS, RUNGS, build_ladders, ladder, sharpest
from training.data.photographs import read_scores


@pytest.fixture(scope="module")
def picture() -> np.ndarray:
    rng = np.random.default_rng(0)
    coarse = rng.uniform(40, 200, (8, 8, 3)).repeat(12, 0).repeat(12, 1)
    return (coarse + rng.uniform(-15, 15, coarse.shape)).astype(np.uint8)


@pytest.mark.parametrize("kind", KINDS)
def test_a_worse_rung_is_further_away(kind: str, picture: np.ndarray) -> None:
    rungs = ladder(picture, kind, 0.0, np.random.default_rng(1))
    assert len(rungs) == RUNGS
    assert all(rung.shape == picture.shape and rung.dtype == np.uint8 for rung in rungs)
    errors = [np.square(rung.astype(float) - picture).mean() for rung in rungs]
    assert errors == sorted(errors)
    assert errors[-1] > 1.5 * errors[0] > 0


def test_a_shift_moves_a_ladder_between_its_settings(picture: np.ndarray) -> None:
    plain, moved = (ladder(picture, "blur", shift, np.random.default_rng(1)) for shift in (0.0, 0.4))
    errors = [[np.square(r.astype(float) - picture).mean() for r in rungs] for rungs in (plain, moved)]
    assert all(a < b for a, b in zip(errors[0][:-1], errors[1][:-1], strict=True))


def test_ladders_are_made_once_and_the_same_again(tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    rows = read_scores(folder / "scores.csv", folder)[:2]
    first = build_ladders(rows, 2, tmp_path / "one.npy", seed=1, workers=1)
    assert first.shape == (2, len(KINDS), RUNGS, 3, 64, 64)
    assert np.array_equal(first, build_ladders(rows, 2, tmp_path / "two.npy", seed=1, workers=2))
    made = (tmp_path / "one.npy").stat().st_mtime_ns
    build_ladders(rows, 2, tmp_path / "one.npy", seed=1)
    assert (tmp_path / "one.npy").stat().st_mtime_ns == made


def test_pristine_photographs_are_sharp_and_well_scored(tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    rows = read_scores(folder / "scores.csv", folder)
    domain = cached_domain(rows, 2, tmp_path / "domain.npy")
    chosen = sharpest(rows, domain, 4)
    assert min(rows[i].mos for i in chosen) >= np.median([p.mos for p in rows])
    with pytest.raises(ValueError, match="26 to choose from"):
        sharpest(rows, domain, 13)


def test_the_cache_is_the_box_average_and_made_again_for_other_files(tmp_path: Path) -> None:
    folder = scenes(tmp_path)
    rows = read_scores(folder / "scores.csv", folder)
    cache = tmp_path / "domain.npy"
    domain = np.array(cached_domain(rows[:3], 2, cache))
    from training.data.photographs import read_rgb

    source = read_rgb(rows[2].path).astype(float).reshape(64, 2, 64, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(domain[2] - source).max() <= 0.5
    made = cache.stat().st_mtime_ns
    cached_domain(rows[:3], 2, cache)
    assert cache.stat().st_mtime_ns == made
    assert np.array_equal(cached_domain(rows[3:6], 2, cache)[0], box_average(read_rgb(rows[3].path), 2))
