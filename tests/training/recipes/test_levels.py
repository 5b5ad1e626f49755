"""The family of noise levels: its modulation, its training and resumption, tiles, ladders in the loss."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.support.resumption import check_resumption
from tests.support.scenes import scenes
from training.data.photographs import Photograph, read_scores
from training.networks import METRICS, frozen_denoiser, frozen_metric
from training.networks.levelled import LevelledPair, hats, load_family, plain_pair
from training.networks.mobilenet import BackboneMetric
from training.networks.unet import UNet
from training.recipes import levels as levels_module
from training.recipes.levels import (
    LevelsConfig,
    Objective,
    aggregate_tiles,
    ladder_loss,
    main,
    make_family,
    read_material,
    save_family,
    save_plain_pairs,
    some_tiles,
    tiles_of,
    train_levels,
    weights_of_checkpoint,
)
from training.recipes.loop import save_weights

SMALL = LevelsConfig(
    sigmas=(0.06, 0.25), turns=(), spread=(4.0,), width=4, steps=8, batch=4, crop=32, folds=4, fold=3, features=0.0,
    ladders=2, rungs=3, pristine=4,
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scenes(tmp_path_factory.mktemp("scenes"))


@pytest.fixture(scope="module")
def rows(folder: Path) -> list[Photograph]:
    return read_scores(folder / "scores.csv", folder)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def backbone() -> BackboneMetric:
    torch.manual_seed(0)
    return METRICS["mobilenet_v1_025"].make()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> LevelsConfig:
    """SMALL with a narrow denoiser to start from."""
    torch.manual_seed(0)
    start = tmp_path_factory.mktemp("start") / "denoiser.safetensors"
    save_weights(UNet(4), start)
    return replace(SMALL, start_denoiser=str(start))


def _stirred(config: LevelsConfig) -> LevelledPair:
    """A family whose gains and offsets are not zero."""
    family = make_family(config)
    torch.manual_seed(3)
    with torch.no_grad():
        for parameter in family.modulation():
            parameter.normal_(0, 0.02)
    return family.eval()


def test_hats_share_a_level_between_its_neighbours() -> None:
    sigmas = (0.03, 0.06, 0.24)
    assert hats(0.06, sigmas) == [0, 1, 0]
    assert hats(0.12, sigmas) == pytest.approx([0, 0.5, 0.5])
    assert hats(0.001, sigmas) == [1, 0, 0]
    assert hats(5.0, sigmas) == [0, 0, 1]
    with pytest.raises(ValueError, match="above 0"):
        hats(0.0, sigmas)


def test_a_family_starts_as_the_pair_it_was_made_of(config: LevelsConfig) -> None:
    family = make_family(config).eval()
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        plain = family.pair(pictures).scores
        for sigma in (0.06, 0.1, 0.25):
            assert torch.equal(family(pictures, sigma).scores, plain)


def test_a_level_is_a_plain_pair_and_levels_differ(config: LevelsConfig) -> None:
    family, pictures = _stirred(config), torch.rand(2, 3, 32, 32)
    scores = []
    for sigma in (0.06, 0.1, 0.25):
        with torch.no_grad():
            scores.append(family(pictures, sigma).scores)
            assert torch.allclose(plain_pair(family, sigma, 4)(pictures).scores, scores[-1], atol=1e-4)
    assert min((a - b).abs().max() for a, b in pairwise(scores)) > 0.01


def test_a_stored_family_is_read_back(config: LevelsConfig, tmp_path: Path) -> None:
    family, path = _stirred(config), tmp_path / "levels.safetensors"
    save_family(family, path)
    again, pictures = load_family(path, 4), torch.rand(2, 3, 32, 32)
    assert again.sigmas == (0.06, 0.25)
    with torch.no_grad():
        assert torch.allclose(again(pictures, 0.25).scores, family(pictures, 0.25).scores, atol=0.2)
    save_weights(UNet(4), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="no noise levels"):
        load_family(tmp_path / "other.safetensors", 4)


def test_levels_that_do_not_rise_are_refused() -> None:
    with pytest.raises(ValueError, match="rise"):
        LevelledPair(METRICS["mobilenet_v1_025"].make(), UNet(4), (0.25, 0.06))


@pytest.mark.parametrize(("tile", "seen", "judged"), [(0, 0, False), (32, 0, False), (32, 3, True)])
def test_a_killed_run_ends_in_the_same_weights(
    tile: int, seen: int, judged: bool, config: LevelsConfig, rows: list[Photograph], backbone: BackboneMetric,
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    crop = 64 if tile else 32
    aggregate = "median" if tile else "mean"
    tiled = replace(config, tile=tile, seen=seen, crop=crop, aggregate=aggregate, features=0.1, steps=7)
    if judged:
        save_family(_stirred(config), tmp_path / "judge.safetensors")
        tiled = replace(tiled, judge=str(tmp_path / "judge.safetensors"))
    check_resumption(
        lambda out: train_levels(tiled, rows, backbone, cache, out), levels_module, "levels", tmp_path, monkeypatch,
        calls=2 if judged else 1,
    )  # fmt: skip


def test_every_level_learns(
    config: LevelsConfig, rows: list[Photograph], backbone: BackboneMetric, cache: Path, tmp_path: Path
) -> None:
    train_levels(replace(config, steps=4), rows, backbone, cache, tmp_path)
    weights = load_file(tmp_path / "levels.safetensors")
    head = weights["gains.metric-head"].float().abs().sum(1)
    assert (head > 0).all()
    assert weights_of_checkpoint(tmp_path) == 4
    again = load_file(tmp_path / "levels.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in again.items())
    files = save_plain_pairs(tmp_path, 4)
    assert [file.name for file in files[:2]] == ["metric_0.06.safetensors", "denoiser_0.06.safetensors"]
    pictures, family = torch.rand(2, 3, 32, 32), load_family(tmp_path / "levels.safetensors", 4)
    metric, denoiser = frozen_metric(weights=files[2]), frozen_denoiser(4, files[3])
    with torch.no_grad():
        assert torch.allclose(metric(denoiser(pictures).clamp(0, 1)), family(pictures, 0.25).scores, atol=0.2)


def test_turns_say_which_level_a_step_trains(
    config: LevelsConfig, rows: list[Photograph], backbone: BackboneMetric, cache: Path, tmp_path: Path
) -> None:
    train_levels(replace(config, steps=3, turns=(0.25,), weight_decay=0.0), rows, backbone, cache, tmp_path)
    gains = load_file(tmp_path / "levels.safetensors")["gains.metric-head"]
    assert gains[0].abs().sum() == 0
    assert gains[1].abs().sum() > 0


def test_a_run_goes_on_from_a_family(
    config: LevelsConfig, rows: list[Photograph], backbone: BackboneMetric, cache: Path, tmp_path: Path
) -> None:
    first = tmp_path / "first.safetensors"
    save_family(_stirred(config), first)
    still = replace(config, start_family=str(first), steps=1, metric_rate=0.0, denoiser_rate=0.0, level_rate=0.0)
    train_levels(still, rows, backbone, cache, tmp_path / "still")
    kept, start = load_file(tmp_path / "still" / "levels.safetensors"), load_file(first)
    assert all(torch.equal(value, kept[name]) for name, value in start.items())
    train_levels(replace(still, level_rate=0.1), rows, backbone, cache, tmp_path / "moved")
    moved = load_file(tmp_path / "moved" / "levels.safetensors")
    assert not torch.equal(moved["gains.metric-head"], start["gains.metric-head"])
    with pytest.raises(ValueError, match="has the levels"):
        make_family(replace(still, sigmas=(0.06, 0.5)))


def test_a_heavy_weight_on_the_spread_brings_it_down(
    config: LevelsConfig, rows: list[Photograph], backbone: BackboneMetric, cache: Path, tmp_path: Path
) -> None:
    longer = replace(config, steps=40, sigmas=(0.25,), ladders=0, ranking=0.0)
    spreads = []
    for weight in (0.0, 50.0):
        train_levels(replace(longer, spread=(weight,)), rows, backbone, cache, tmp_path / str(weight))
        pair = plain_pair(load_family(tmp_path / str(weight) / "levels.safetensors", 4), 0.25, 4)
        material = read_material(rows, backbone, cache, longer)
        pictures = torch.from_numpy(material.domain[:4].astype(np.float32) / 255)
        noise = torch.randn(8, 1, *pictures.shape[1:], generator=torch.Generator().manual_seed(0))
        copies = (pictures + 0.25 * noise).clamp(0, 1)
        spreads.append(torch.stack([pair(copy).scores for copy in copies]).std(0).mean().item())
    assert spreads[1] < 0.8 * spreads[0]


def test_a_judge_speaks_where_nobody_scored(
    config: LevelsConfig, rows: list[Photograph], backbone: BackboneMetric, cache: Path, tmp_path: Path
) -> None:
    family, judge = _stirred(config), tmp_path / "judge.safetensors"
    save_family(family, judge)
    material = read_material(rows, backbone, cache, config)
    others = replace(material, mos=1 - material.mos)

    def losses(**change: float) -> list[float]:
        judged = replace(config, judge=str(judge), **change)
        return [Objective(judged, each, family, backbone)(0).item() for each in (material, others)]

    told, told_otherwise = losses(faulty=0.0, trusted=0.0)
    assert told != told_otherwise
    told, told_otherwise = losses(faulty=0.0, trusted=1.0)
    assert told == told_otherwise
    spoilt, spoilt_otherwise = losses(faulty=1.0, trusted=0.0)
    assert spoilt == spoilt_otherwise != told


def test_no_scene_lies_on_both_sides(rows: list[Photograph], backbone: BackboneMetric, cache: Path) -> None:
    material = read_material(rows, backbone, cache, SMALL)
    assert set(material.groups[material.learn]).isdisjoint(material.groups[material.watch])
    assert not {rows[i].split for i in (*material.learn, *material.watch)} - {"train"}
    assert material.ladders is not None
    assert material.ladders.shape == (4, 10, 5, 3, 64, 64)
    assert set(material.pristine) <= set(material.learn)


def test_tiles_are_cut_where_they_lie() -> None:
    pictures = torch.arange(2 * 3 * 64 * 96, dtype=torch.float32).view(2, 3, 64, 96)
    tiles = tiles_of(pictures, 32)
    assert tiles.shape == (12, 3, 32, 32)
    assert torch.equal(tiles[1], pictures[0, :, :32, 32:64])
    assert torch.equal(tiles[6 + 5], pictures[1, :, 32:, 64:])
    some = some_tiles(pictures, 32, torch.tensor([[4, 0], [5, 2]]))
    assert torch.equal(some, tiles[[4, 0, 6 + 5, 6 + 2]])
    scores = torch.tensor([[1.0, 2.0, 9.0, 3.0]])
    assert aggregate_tiles(scores, "mean").tolist() == [3.75]
    assert aggregate_tiles(scores, "median").tolist() == [2.5]


def test_the_ladder_loss_is_zero_only_with_the_margin_kept() -> None:
    severities = torch.tensor([[0, 2, 5]])
    assert ladder_loss(torch.tensor([[0.9, 0.8, 0.6]]), severities, 0.04).item() == 0
    flat = ladder_loss(torch.tensor([[0.5, 0.5, 0.5]]), severities, 0.04).item()
    assert flat == pytest.approx(0.04 * (2 + 5 + 3) / 3)
    assert ladder_loss(torch.tensor([[0.5, 0.6, 0.7]]), severities, 0.04).item() > flat


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"aggregate": "max"}, "mean, median"),
        ({"copies": 1}, "at least 2"),
        ({"tile": 48}, "a multiple"),
        ({"tile": 16}, "at least 32"),
        ({"tile": 64, "seen": 5}, "0 … 4"),
        ({"spread": (1.0, 2.0)}, "one a level"),
        ({"turns": (0.2,)}, "not among"),
        ({"faulty": 1.5}, "shares"),
        ({"fold": 9}, "0 … 6"),
        ({"rungs": 7}, "2 … 6"),
    ],
)
def test_bad_configurations_are_told(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(LevelsConfig(), **change)  # type: ignore[arg-type]


def test_the_command_line_tells_what_is_wrong(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = ["--scores", str(folder / "scores.csv"), "--images", str(folder), "--cache", str(tmp_path)]
    where = [*table, "--backbone", str(tmp_path / "none.npz"), "--out", str(tmp_path / "out")]
    assert main(["train", *where]) == 2
    assert "none.npz" in capsys.readouterr().err
    assert main(["train", *where, "--turns", "0.2"]) == 2
    assert "not among" in capsys.readouterr().err
