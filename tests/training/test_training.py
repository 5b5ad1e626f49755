"""Training: exact resumption, the loss, the readers, and networks that take any frame."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from runtime import TrainingError
from tests.support.photographs import blurred_crops
from tests.support.resumption import check_resumption
from training import __main__ as command_line
from training.__main__ import main
from training.data.batches import batch_indices
from training.data.photographs import read_scores
from training.data.training_set import read_domain
from training.evaluation.correlation import plcc, srocc
from training.evaluation.quick_look import evaluate
from training.networks import DENOISER_WEIGHTS, METRICS, WEIGHTS, frozen_denoiser, frozen_metric
from training.networks.mobilenet import MobileNetQuality, mobilenet_v1_025
from training.networks.unet import UNet, unet_16
from training.recipes import denoiser as denoiser_module
from training.recipes.denoiser import DenoiserConfig, train_denoiser
from training.recipes.loop import cosine_with_warmup, save_weights
from training.recipes.metric import MetricConfig, batch_loss, train_metric


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return blurred_crops(tmp_path_factory.mktemp("photographs"))


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
    rows = read_scores(photographs / "scores.csv", photographs)
    check_resumption(lambda out: train_denoiser(config, rows, out), denoiser_module, "denoiser", tmp_path, monkeypatch)


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


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            "0.png,55,train",
            r"line 3 of .*wrong\.csv: .*0\.png is 55\.0, outside the scale of 0 … 1; .*for 0 … 100 mos / 100",
        ),
        ("0.png,nan,train", "line 3 .* is nan"),
        ("0.png,good,train", "line 3 .* is 'good', not a number"),
        ("0.png,0.5,training", "line 3 .* has 'training' as split: use train, val, test"),
    ],
)
def test_scores_off_the_scale_and_unknown_splits_are_refused(
    row: str, told: str, photographs: Path, tmp_path: Path
) -> None:
    table = tmp_path / "wrong.csv"
    table.write_text(f"image,mos,split\n1.png,1,test\n{row}\n")
    with pytest.raises(ValueError, match=told):
        read_scores(table, photographs)


def test_a_batch_larger_than_the_pictures_is_told_before_reading(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.data import training_set

    rows = read_scores(photographs / "scores.csv", photographs)
    monkeypatch.setattr(training_set, "read_domain", lambda *_, **__: pytest.fail("pictures were read"))
    for batch in (0, 8):
        told = f"batch of {batch} cannot be drawn from 7 pictures"
        with pytest.raises(ValueError, match=told):
            train_denoiser(replace(SMALL, batch=batch), rows, tmp_path)
        with pytest.raises(ValueError, match=told):
            train_metric(MetricConfig(batch=batch, held_back=0.3), rows, tmp_path / "b.npz", tmp_path)
        with pytest.raises(ValueError, match=told):
            batch_indices(1, 0, batch, 7)


def test_weights_of_another_network_are_named(photographs: Path, tmp_path: Path) -> None:
    save_weights(UNet(8), tmp_path / "narrow.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not weights")
    for name, told in (("narrow", "another network or width"), ("broken", "is not a safetensors file")):
        path = tmp_path / f"{name}.safetensors"
        with pytest.raises(ValueError, match=f"{name}.safetensors .*{told}|{name}.safetensors {told}"):
            frozen_denoiser(weights=path)
        rows = read_scores(photographs / "scores.csv", photographs)
        for config in (replace(SMALL, start=str(path)), replace(SMALL, metric_weights=str(path))):
            with pytest.raises(ValueError, match=f"{name}.safetensors"):
                train_denoiser(config, rows, tmp_path / "out")
    assert not (tmp_path / "out" / "denoiser.checkpoint").exists()


def test_a_metric_without_committed_weights_is_told() -> None:
    assert all(metric.weights is None or metric.weights.is_file() for metric in METRICS.values())
    with pytest.raises(ValueError, match="no weights of mobilenet_v1_025 are committed"):
        frozen_metric("mobilenet_v1_025")
    with pytest.raises(ValueError, match="no weights of mobilenet_v1_025 are committed"):
        replace(FULL, metric="mobilenet_v1_025").files()


def test_half_precision_is_what_is_committed(photographs: Path, tmp_path: Path) -> None:
    save_weights(frozen_metric("bilinear_025"), tmp_path / "again.safetensors", half=True)
    assert (tmp_path / "again.safetensors").read_bytes() == (WEIGHTS / "bilinear_025.safetensors").read_bytes()
    config = MetricConfig(network="mobilenet_v1_025", steps=1, batch=4, crop=32, held_back=0.3)
    rows = read_scores(photographs / "scores.csv", photographs)
    train_metric(config, rows, _backbone(tmp_path / "b.npz"), tmp_path / "out", half=True)
    assert json.loads((tmp_path / "out" / "metric.json").read_text())["stored"] == "float16"
    stored = load_file(tmp_path / "out" / "metric.safetensors")
    assert {value.dtype for value in stored.values() if value.is_floating_point()} == {torch.float16}


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("unet_16", "metric"),
        ("unet_16.first", "metric"),
        ("unet_16_bilinear", "metric"),
        ("unet_16_joint.first", "undefended"),
        ("unet_16_joint", "undefended"),
    ],
)
def test_records_name_the_committed_metric(name: str, role: str) -> None:
    """The runs before the last had it in single precision; it is committed in half."""
    record = json.loads((WEIGHTS / f"{name}.json").read_text())
    path = METRICS[record["config"]["metric"]].weights
    assert path is not None
    files = record["files"]
    assert files.get(f"{role}_stored", files[role]) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_no_samples_no_limit_no_threads(photographs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = read_scores(photographs / "scores.csv", photographs)
    with pytest.raises(ValueError, match="at least 1 noisy copy"):
        evaluate(rows, samples=0, denoiser_weights=DENOISER_WEIGHTS)
    with pytest.raises(ValueError, match="limit -1"):
        evaluate(rows, limit=-1)
    assert main(["evaluate", "--images", str(photographs), "--threads", "-2"]) == 2
    assert "--threads -2" in capsys.readouterr().err


def test_ctrl_c_says_how_to_go_on(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command_line, "train_denoiser", stopped)
    table = ["--scores", str(photographs / "scores.csv"), "--images", str(photographs), "--out", str(tmp_path)]
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        assert main(["denoiser", *table]) == 130
        assert "before the first checkpoint" in capsys.readouterr().err
        (tmp_path / "denoiser.checkpoint").touch()
        assert main(["denoiser", *table]) == 130
        assert "stopped; the same command goes on from the checkpoint" in capsys.readouterr().err
    finally:
        torch.use_deterministic_algorithms(deterministic)


@pytest.mark.parametrize("command", ["metric", "denoiser", "evaluate"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert f"examples:\n  biqa train {command}" in out
    assert "mos 0 (bad)" in " ".join(out.split())


def test_a_defect_is_no_verdict(
    photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ValueError of ours that nobody expected is no mistake of the user: traceback, one line, exit status 2."""

    def wrong(*_: object) -> None:
        raise ValueError("shapes do not match")

    monkeypatch.setattr(command_line, "train_denoiser", wrong)
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        table = ["--scores", str(photographs / "scores.csv"), "--images", str(photographs)]
        assert main(["denoiser", *table, "--out", str(tmp_path)]) == 2
    finally:
        torch.use_deterministic_algorithms(deterministic)
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1] == "error: ValueError, a defect of this program: report it with the lines above"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "nan"], "--rate nan: use 0 or more"),
        (["--rate", "-1"], "--rate -1.0: use 0 or more"),
        (["--held-back", "2"], "--held-back 2.0: it is a share, use 0 … 1"),
        (["--decay", "1.5"], "--decay 1.5: it is a share, use 0 … 1"),
        (["--downscale", "0"], "--downscale 0: use 1 or more"),
        (["--seed", "-1"], "--seed -1: use 0 or more"),
        (["--ranking-loss", "none"], "ranking loss 'none' is not known: "),
        (["--copies", "0"], "copies 0: "),
        (["--crop", "1000"], "crop 1000 is larger than the pictures, "),
        (["--batch", "99"], "a batch of 99 cannot be drawn from "),
        (["--start", "missing.safetensors"], "missing.safetensors"),
        (["--scores", "latin.csv"], "latin.csv is not UTF-8 text: "),
        (["--scores", "missing.csv"], "missing.csv"),
        (["--device", "cuda"], "PyTorch finds no CUDA device here"),
    ],
)
def test_a_users_mistake_is_one_line(
    words: list[str], said: str, photographs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    Path("latin.csv").write_bytes("image,mos\né.png,1\n".encode("latin-1"))
    table = ["--scores", str(photographs / "scores.csv"), "--images", str(photographs), "--out", "out"]
    small = ["--steps", "1", "--batch", "4", "--crop", "16", "--held-back", "0.3"]
    deterministic = torch.are_deterministic_algorithms_enabled()
    try:
        assert main(["denoiser", *table, *small, *words]) == 2
    finally:
        torch.use_deterministic_algorithms(deterministic)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert line.startswith(f"error: {said}") or said in line


@pytest.mark.parametrize("data", [b"", b"not an archive", b"PK\x03\x04 cut"])
def test_a_backbone_that_is_none(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "b.npz").write_bytes(data)
    with pytest.raises(TrainingError, match=r"b\.npz is not an \.npz of ImageNet features"):
        MobileNetQuality(0.5).load_backbone(tmp_path / "b.npz")


def test_a_checkpoint_that_is_none(photographs: Path, tmp_path: Path) -> None:
    (tmp_path / "denoiser.checkpoint").write_bytes(b"not a checkpoint")
    rows = read_scores(photographs / "scores.csv", photographs)
    with pytest.raises(TrainingError, match=r"denoiser\.checkpoint is not a checkpoint, or is damaged"):
        train_denoiser(SMALL, rows, tmp_path)
