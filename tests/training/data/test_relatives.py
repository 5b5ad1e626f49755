"""Near relatives: who belongs together, and that a split keeps them together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from training.data.photographs import Photograph
from training.data.relatives import backbone_features, directions_of, file_number, folds, related_groups, unrelated
from training.evaluation.overstatement import out_of_fold, scene_folds
from training.networks import METRICS


def _rows(names: list[str], subset: str = "all") -> list[Photograph]:
    return [Photograph(Path(name), 0.5, "train", subset) for name in names]


def _directions(*angles: float) -> np.ndarray:
    return np.array([[np.cos(np.radians(a)), np.sin(np.radians(a))] for a in angles], np.float32)


def test_likeness_links_anywhere_and_file_numbers_link_weaker_ones() -> None:
    rows = _rows(["a_1.jpg", "a_900.jpg", "a_5.jpg", "a_40.jpg"])
    # Cosines with the first: 0.87 far away, 0.5 near by, 0.5 far away.
    groups = related_groups(rows, _directions(0, 30, -60, -60))
    assert groups[0] == groups[1] == groups[2]
    assert groups[3] == groups[2]  # the same direction
    groups = related_groups(rows[:2] + rows[3:], _directions(0, 30, -60))
    assert groups[0] == groups[1] != groups[2]


def test_numbers_count_within_a_subset_only_and_names_without_one_do_not() -> None:
    near = [Photograph(Path("a_1.jpg"), 0.5, "train", "x"), Photograph(Path("a_2.jpg"), 0.5, "train", "y")]
    assert len(set(related_groups(near, _directions(0, 60)))) == 2
    assert file_number(_rows(["ss03_12_0040.jpg"])[0]) == 40
    assert file_number(_rows(["photograph.jpg"])[0]) is None
    assert len(set(related_groups(_rows(["one.jpg", "two.jpg"]), _directions(0, 60)))) == 2


def test_chains_are_one_group() -> None:
    rows = _rows(["a.jpg", "b.jpg", "c.jpg"])
    assert len(set(related_groups(rows, _directions(0, 30, 60)))) == 1


def test_folds_hold_whole_groups_and_every_subset() -> None:
    rng = np.random.default_rng(2)
    groups = np.unique(rng.integers(0, 60, 300), return_inverse=True)[1]
    subsets = np.array(["x", "y"])[groups % 2]
    rows = [Photograph(Path(f"{i}.jpg"), 0.5, "train", s) for i, s in enumerate(subsets)]
    fold = folds(rows, groups, 5, seed=1)
    assert all(len(set(fold[groups == g])) == 1 for g in set(groups))
    for name in ("x", "y"):
        counts = np.bincount(fold[subsets == name], minlength=5)
        assert counts.min() > 0.8 * counts.max()
    assert np.array_equal(fold, folds(rows, groups, 5, seed=1))


def test_unrelated_are_those_without_a_trained_relative() -> None:
    groups = np.array([0, 0, 1, 2, 2])
    trained = np.array([True, False, False, False, False])
    assert unrelated(groups, trained).tolist() == [False, False, True, True, True]


def test_photographs_seen_twice_are_most_alike() -> None:
    rng = np.random.default_rng(0)
    one = rng.uniform(0, 6, (8, 40)).astype(np.float32)
    directions = directions_of(np.concatenate([one, one + rng.normal(0, 0.1, one.shape).astype(np.float32)]))
    alike = directions @ directions.T
    assert np.allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-4)
    assert all(set(alike[i].argsort()[-2:]) == {i, i + 8} for i in range(8))


def test_features_do_not_depend_on_the_batch() -> None:
    torch.manual_seed(0)
    pictures = np.random.default_rng(0).integers(0, 255, (5, 3, 64, 64), np.uint8)
    backbone = METRICS["mobilenet_v1_025"].make()
    one, many = (backbone_features(backbone, pictures, batch) for batch in (2, 5))
    assert one.shape == (5, 256)
    assert np.allclose(one, many, atol=1e-5)


def test_folds_of_scenes_do_not_reward_remembering_a_scene() -> None:
    """Features that name the scene and nothing else predict its score at random folds, and not at folds of scenes."""
    rng = np.random.default_rng(4)
    groups = np.arange(40).repeat(5)
    features = np.eye(40)[groups] + 0.01 * rng.standard_normal((200, 40))
    target = rng.standard_normal(40)[groups]
    scenes = scene_folds(groups, 5, 1)
    assert all(len(set(scenes[groups == g])) == 1 for g in set(groups))
    leaky = np.corrcoef(out_of_fold(features, target, rng.permutation(200) % 5, ridge=0.1), target)[0, 1]
    honest = np.corrcoef(out_of_fold(features, target, scenes, ridge=0.1), target)[0, 1]
    assert leaky > 0.9 > 0.4 > abs(honest)
