"""Training: exact resumption, the loss, the readers, and networks that take any frame."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from safetensors.torch import load_file

from training import denoiser as denoiser_module
from training.__main__ import main
from training.correlation import plcc, srocc
from training.data import read_domain, read_scores
from training.denoiser import DenoiserConfig, train_denoiser
from training.loop import batch_indices, cosine_with_warmup
from training.metric import MetricConfig, batch_loss, train_metric
from training.networks import METRICS
from training.networks.mobilenet import MobileNetQuality, mobilenet_v1_025
from training.networks.unet import unet_16


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve 64×64 crops of a photograph, blurred more and more, with scores to match; the last two are val."""
    folder = tmp_path_factory.mktemp("photographs")
    whole = Image.fromarray(skimage.data.astronaut())
    rows = []
    for index in range(12):
        crop = whole.crop((30 * index, 20 * index, 30 * index + 64, 20 * index + 64))
        small = crop.resize((64 // (1 + index // 3),) * 2).resize((64, 64))
        small.save(folder / f"{index}.png")
        rows.append((f"{index}.png", 1 - index / 12, "val" if index > 9 else "train"))
    with (folder / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mos", "split"), *rows])
    return folder


def _backbone(path: Path) -> Path:
    torch.manual_seed(0)
    arrays = {}
    for index, convolution in enumerate(mobilenet_v1_025().convolutions):
        arrays[f"conv{index:02d}.weight"] = convolution.weight.detach().numpy()
        arrays[f"conv{index:02d}.bias"] = convolution.bias.detach().numpy()
    np.savez(path, **arrays)
    return path


SMALL = DenoiserConfig(steps=8, batch=4, crop=16, held_back=0.3)
FULL = replace(SMALL, crop=32, score=0.1, ranking=0.1, spread=0.1, copies=2, faults=0.3)


@pytest.mark.parametrize("config", [SMALL, FULL], ids=["dms", "dms-iqa"])
def test_a_killed_run_ends_in_the_same_weights(
    config: DenoiserConfig, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training import loop

    every_three = {**(loop.train.__kwdefaults__ or {}), "every": 3}
    monkeypatch.setattr(loop.train, "__kwdefaults__", every_three)
    rows = read_scores(photographs / "scores.csv", photographs)
    train_denoiser(config, rows, tmp_path / "whole")

    noisy, calls = denoiser_module.noisy, []

    def killed(*arguments: object) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return noisy(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(denoiser_module, "noisy", killed)
    with pytest.raises(KeyboardInterrupt):
        train_denoiser(config, rows, tmp_path / "killed")
    assert torch.load(tmp_path / "killed" / "denoiser.checkpoint", weights_only=True)["step"] == 3
    train_denoiser(config, rows, tmp_path / "killed")
    for name, whole in load_file(tmp_path / "whole" / "denoiser.safetensors").items():
        assert torch.equal(whole, load_file(tmp_path / "killed" / "denoiser.safetensors")[name]), name


def test_score_terms_change_the_weights_and_start_is_used(photographs: Path, tmp_path: Path) -> None:
    rows = read_scores(photographs / "scores.csv", photographs)
    train_denoiser(SMALL, rows, tmp_path / "dms")
    start = str(tmp_path / "dms" / "denoiser.safetensors")
    still = replace(FULL, start=start, rate=0.0, steps=1)
    train_denoiser(still, rows, tmp_path / "still")
    moved = replace(still, rate=1e-3, steps=3)
    train_denoiser(moved, rows, tmp_path / "moved")
    first, same, other = (load_file(tmp_path / n / "denoiser.safetensors") for n in ("dms", "still", "moved"))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["last.weight"], other["last.weight"])
    record = json.loads((tmp_path / "moved" / "denoiser.json").read_text())
    assert set(record["held_back"]) == {"psnr", "srocc", "plcc", "spread"}


def test_a_changed_start_is_another_run(tmp_path: Path) -> None:
    start = tmp_path / "start.safetensors"
    start.write_bytes(b"one")
    config = DenoiserConfig(start=str(start))
    before = config.files()
    start.write_bytes(b"two")
    assert config.files() != before


def test_bad_configurations_are_told() -> None:
    with pytest.raises(ValueError, match="margin, spearman"):
        DenoiserConfig(ranking_loss="hinge")
    with pytest.raises(ValueError, match="at least 2"):
        DenoiserConfig(spread=0.1)
    with pytest.raises(ValueError, match="mobilenet_v1_050"):
        DenoiserConfig(metric="vgg")


def test_another_configuration_is_not_mixed_in(photographs: Path, tmp_path: Path) -> None:
    rows = read_scores(photographs / "scores.csv", photographs)
    train_denoiser(SMALL, rows, tmp_path)
    with pytest.raises(ValueError, match="another configuration"):
        train_denoiser(replace(SMALL, steps=9), rows, tmp_path)
    with pytest.raises(ValueError, match="another configuration"):
        train_denoiser(SMALL, rows, tmp_path, size=(24, 20))


@pytest.mark.parametrize("network", ["mobilenet_v1_025", "bilinear_025"])
def test_metric_trains(network: str, photographs: Path, tmp_path: Path) -> None:
    config = MetricConfig(network=network, steps=3, batch=4, crop=32, held_back=0.3)
    rows = read_scores(photographs / "scores.csv", photographs)
    train_metric(config, rows, _backbone(tmp_path / "b.npz"), tmp_path / "out")
    record = json.loads((tmp_path / "out" / "metric.json").read_text())
    assert record["config"]["seed"] == 1
    assert record["photographs"] == 7
    trained = METRICS[network].make()
    trained.load_state_dict(load_file(tmp_path / "out" / "metric.safetensors"))
    scores = trained(torch.rand(2, 3, 40, 52))
    assert scores.shape == (2,)
    assert ((scores > 0) & (scores < 100)).all()


def test_wrong_backbone_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="convolution 0"):
        MobileNetQuality(0.5).load_backbone(_backbone(tmp_path / "b.npz"))


@pytest.mark.parametrize("size", [(64, 64), (37, 51), (8, 9), (32, 100)])
def test_denoiser_takes_any_size(size: tuple[int, int]) -> None:
    image = torch.rand(2, 3, *size)
    assert unet_16()(image).shape == image.shape


def test_batches_cover_every_picture_once_a_pass() -> None:
    seen = torch.cat([batch_indices(1, step, 5, 20) for step in range(4)])
    assert sorted(seen.tolist()) == list(range(20))
    assert not torch.equal(batch_indices(1, 0, 5, 20), batch_indices(2, 0, 5, 20))


def test_schedule() -> None:
    rates = [cosine_with_warmup(step, 100, 10) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == 1.0
    assert rates[-1] < 0.001


def test_loss_prefers_the_right_order() -> None:
    mos = torch.tensor([0.1, 0.4, 0.9])
    assert batch_loss(100 * mos, mos) < 1e-3
    assert batch_loss(100 * mos.flip(0), mos) > 1.5


def test_correlation() -> None:
    mos = np.linspace(0, 1, 50)
    assert srocc(mos**3, mos) == pytest.approx(1)
    assert plcc(mos, 1 / (1 + np.exp(-8 * (mos - 0.5)))) > 0.9999
    assert plcc(mos[:3], mos[:3]) == pytest.approx(1)
    assert srocc(-mos, mos) == pytest.approx(-1)


def test_readers_say_what_is_wrong(photographs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_scores(photographs / "scores.csv", photographs)
    assert [r.split for r in rows].count("val") == 2
    assert read_domain(rows, 2, progress=False).shape == (12, 3, 32, 32)
    (tmp_path / "no-mos.csv").write_text("image,score\na.png,1\n")
    with pytest.raises(ValueError, match="no column mos"):
        read_scores(tmp_path / "no-mos.csv", photographs)
    (tmp_path / "missing.csv").write_text("image,mos\nnowhere.png,1\n")
    arguments = ["--scores", str(tmp_path / "missing.csv"), "--images", str(photographs), "--out", str(tmp_path)]
    assert main(["denoiser", *arguments]) == 2
    assert "missing" in capsys.readouterr().err
