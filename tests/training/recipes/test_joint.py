"""Metric and denoiser trained together: what moves, what is recorded, and exact resumption."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.support.photographs import blurred_crops
from tests.support.resumption import check_resumption
from training.__main__ import main
from training.data.photographs import Photograph, read_scores
from training.networks import frozen_denoiser, frozen_metric, metric_weights
from training.networks.unet import UNet
from training.recipes import joint as joint_module
from training.recipes.joint import JointConfig, train_joint
from training.recipes.loop import save_weights

SMALL = JointConfig(width=4, steps=8, batch=4, crop=32, held_back=0.3, faults=0.5)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Photograph]:
    folder = blurred_crops(tmp_path_factory.mktemp("photographs"))
    return read_scores(folder / "scores.csv", folder)


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> JointConfig:
    """SMALL with a narrow denoiser to start from."""
    torch.manual_seed(0)
    start = tmp_path_factory.mktemp("start") / "denoiser.safetensors"
    save_weights(UNet(4), start)
    return replace(SMALL, start_denoiser=str(start))


def test_a_killed_run_ends_in_the_same_weights(
    config: JointConfig, rows: list[Photograph], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_resumption(lambda out: train_joint(config, rows, out), joint_module, "joint", tmp_path, monkeypatch)


def test_both_learn_and_the_record_says_from_what(config: JointConfig, rows: list[Photograph], tmp_path: Path) -> None:
    train_joint(replace(config, metric_rate=0.0, denoiser_rate=0.0, steps=1), rows, tmp_path / "still")
    train_joint(replace(config, steps=3), rows, tmp_path / "moved")
    for part, layer in (("metric", "convolutions.0.weight"), ("denoiser", "last.weight")):
        still, moved = (load_file(tmp_path / run / f"{part}.safetensors")[layer] for run in ("still", "moved"))
        assert not torch.equal(still, moved), part
    start = frozen_metric().state_dict()["convolutions.0.weight"].half()
    assert torch.equal(load_file(tmp_path / "still" / "metric.safetensors")["convolutions.0.weight"], start)
    record = json.loads((tmp_path / "moved" / "joint.json").read_text())
    assert set(record["held_back"]) == {"psnr", "srocc", "plcc", "spread"}
    assert record["stored"] == "float16"
    assert set(record["files"]) == {"undefended", "metric", "denoiser"}


def test_a_run_goes_on_from_another_and_keeps_its_teacher(
    config: JointConfig, rows: list[Photograph], tmp_path: Path
) -> None:
    train_joint(replace(config, steps=3), rows, tmp_path / "first")
    weights = {part: tmp_path / "first" / f"{part}.safetensors" for part in ("metric", "denoiser")}
    further = replace(config, start_metric=str(weights["metric"]), start_denoiser=str(weights["denoiser"]))
    assert further.files() == {**weights, "undefended": metric_weights("mobilenet_v1_050")}
    train_joint(replace(further, metric_rate=0.0, denoiser_rate=0.0, steps=1), rows, tmp_path / "second")
    for part, file in weights.items():
        kept = load_file(tmp_path / "second" / f"{part}.safetensors")
        assert all(torch.equal(value, kept[name]) for name, value in load_file(file).items()), part


def test_what_is_measured_is_what_is_stored(config: JointConfig, rows: list[Photograph], tmp_path: Path) -> None:
    """The stored halves, read back, give the figures of the record on the pictures held back."""
    from training.data.training_set import read_training_set
    from training.evaluation.held_back import measure

    figures = train_joint(config, rows, tmp_path)
    data = read_training_set(rows, downscale=2, held_back=config.held_back, seed=config.seed, batch=config.batch)
    metric = frozen_metric(weights=tmp_path / "metric.safetensors")
    denoiser = frozen_denoiser(4, tmp_path / "denoiser.safetensors")
    again = measure(metric, denoiser, data, sigma=config.sigma, seed=config.seed)
    assert again == pytest.approx(figures, abs=2e-3)


def test_the_spread_costs_what_its_weight_says(config: JointConfig, rows: list[Photograph], tmp_path: Path) -> None:
    """A heavy weight on the spread brings the spread down; the noise of both runs is the same."""
    longer = replace(config, steps=40, ranking=0.0)
    free, tight = (
        train_joint(replace(longer, spread=weight), rows, tmp_path / str(weight))["spread"] for weight in (0.0, 50.0)
    )
    assert tight < 0.8 * free


def test_bad_configurations_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="margin, spearman"):
        JointConfig(ranking_loss="hinge")
    with pytest.raises(ValueError, match="at least 2"):
        JointConfig(copies=1)
    with pytest.raises(ValueError, match="mobilenet_v1_050"):
        JointConfig(metric="vgg")
    folder = blurred_crops(tmp_path)
    table = ["--scores", str(folder / "scores.csv"), "--images", str(folder), "--out", str(tmp_path / "out")]
    assert main(["joint", *table, "--width", "8"]) == 2
    assert "another network or width" in capsys.readouterr().err
