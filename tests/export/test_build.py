"""build.py, pure_function.py, parity.py: what becomes a bundle, and what is refused without leaving a trace."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

import export
from export.describe import table
from export.networks.catalogue import Entry
from runtime.bounds.aggregates import Aggregate
from runtime.bundle.manifest import MODEL, Defaults, ScoreContract
from runtime.bundle.store import Bundle, open_bundle
from runtime.errors import ExportError

SUPPORT = Path(__file__).parents[1] / "support"
Built = tuple[Bundle, list[str]]


def test_manifest_of_a_third_party_pair(outsider: Built) -> None:
    manifest = outsider[0].manifest
    assert manifest.name == "sharpness"
    assert manifest.metric.licence == "MIT"
    assert manifest.metric.spec == "outsider.py:Sharpness"
    assert manifest.denoiser is not None
    assert manifest.denoiser.spec == "outsider.py:smoother"
    assert (manifest.input.sigma, manifest.input.downscale, manifest.input.batch) == (0.12, 2, None)
    # 5×5 then 3×3, both of stride 2 and without padding: 9 rows; the denoiser pads, and takes fewer.
    assert (manifest.input.minimum_height, manifest.input.minimum_width) == (9, 9)
    assert (manifest.score.minimum, manifest.score.maximum, manifest.score.higher_is_better) == (0, 1, True)
    assert manifest.defaults == Defaults(0.1, 0.001, 501)
    assert set(manifest.made_with) == {"onnx", "onnxscript", "stochastic-biqa", "torch"}
    parity = manifest.parity["fp32"]
    assert parity.pictures == 4
    assert parity.interval_difference <= parity.score_difference < 1e-5
    assert list(manifest.files) == [MODEL]


def test_progress_is_reported(outsider: Built) -> None:
    lines = outsider[1]
    assert lines[0].startswith("loading")
    assert any(line.startswith("parity:") for line in lines)
    assert not any("warning" in line for line in lines)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        ("NotANumber", "nan"),
        ("RandomCrop", "for the same input: it crops or drops at random"),
        ("Dropout", "for the same input: it crops or drops at random"),
        ("BatchStatistics", "statistics of the batch"),
        ("StubbornBatchNorm", "statistics of the batch"),
        ("Tuple", "returned a tuple"),
        ("Dict", "dict with keys quality"),
        ("Classes", r"returned 3×3 for 3 frames"),
        ("BatchMean", "a single number for 3 frames"),
        ("OneSize", "--size HEIGHTxWIDTH"),
        ("BranchOnSize", "branches on the frame's size"),
    ],
)
def test_refused_metrics(network: str, said: str, faulty: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=said):
        export.build(faulty(network), "none", out=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_refused_denoiser(faulty: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="must return a frame of the same size"):
        export.build(faulty("Mean"), faulty("Shrinking"), out=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_fixed_size_and_batch(faulty: Callable[[str], str], tmp_path: Path) -> None:
    module = export.load_metric(faulty("OneSize")).module
    bundle = export.build(
        module, "none", size=(24, 32), batch=2, downscale=1, out=tmp_path / "one.zip", lower_is_better=True
    )
    contract = bundle.manifest.input
    assert (contract.batch, contract.height, contract.width) == (2, 24, 32)
    assert (contract.minimum_height, contract.minimum_width) == (24, 32)
    assert not bundle.manifest.score.higher_is_better
    assert bundle.manifest.denoiser is None
    bundle = open_bundle(tmp_path / "one.zip")
    assert export.verify(bundle, metric=module) is not None
    with pytest.raises(ExportError, match="not the weights the graph was made from"):
        export.verify(bundle, metric=faulty("OneSize"))


class Neighbours(torch.nn.Module):
    """A clamped score that depends on the other pictures of the batch, and is 1 for all noises of one picture."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        spread = x.std((1, 2, 3))
        return ((spread - spread.mean()) * 50 + 1.5 + self.offset).clamp(0, 1)


def test_a_clamp_hides_no_neighbours(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="differently among other frames"):
        export.build(Neighbours(), "none", name="n", downscale=1, score_range=(0, 1), out=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_a_metric_that_no_input_moves_is_refused(faulty: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"scores every input 3.*measures nothing"):
        export.build(faulty("Constant"), "none", batch=1, size=(16, 16), score_range=(0, 1), out=tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_catalogue_pair_carries_its_card_and_verifies_alone(
    weights: dict[str, Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    score = ScoreContract(0.0, 1.0, higher_is_better=False)
    card = tmp_path / "MODEL_CARD_tiny.md"
    card.write_text("# What it was trained on\n")
    metrics = {"tiny": Entry(f"{SUPPORT / 'outsider.py'}:Sharpness", weights["metric"], "3", "MIT", score, card=card)}
    denoisers = {"dim": Entry(f"{SUPPORT / 'outsider.py'}:smoother", weights["denoiser"], "4", "MIT", sigma=0.12)}
    # `export.build` and `export.verify` are the functions of those names.
    load, verify = (import_module(f"export.{name}") for name in ("networks.load", "verify"))
    for module in (load, verify):
        monkeypatch.setattr(module, "METRICS", metrics)
        monkeypatch.setattr(module, "DENOISERS", denoisers)
    lines: list[str] = []
    bundle = export.build(
        "tiny", "dim", sigma=0.25, batch=1, size=(16, 24), out=tmp_path / "tiny.zip", report=lines.append
    )
    assert any("dim was trained at sigma 0.12, not 0.25" in line for line in lines)
    assert bundle.read("MODEL_CARD.md") == card.read_bytes()
    assert (bundle.manifest.metric.name, bundle.manifest.metric.version) == ("tiny", "3")
    assert bundle.manifest.score == score
    parity = export.verify(bundle)
    assert parity is not None
    assert parity.score_difference < 1e-5


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sigma": 0.0}, "sigma 0"),
        ({"downscale": 0}, "downscale 0"),
        ({"size": (0, 5)}, "whole numbers from 1"),
        ({"name": "my metric"}, "no identifier"),
        ({"score_range": (5.0, 1.0)}, "low to high"),
        ({"defaults": Defaults(0.1, 2.0, 501)}, "alpha 2"),
    ],
)
def test_bad_options(options: dict[str, object], said: str, faulty: Callable[[str], str], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=said):
        export.build(faulty("Mean"), "none", out=tmp_path / "bundle", **options)  # type: ignore[arg-type]


def test_a_graph_of_tiles(weights: dict[str, Path], tmp_path: Path) -> None:
    """Every check of an export is made at T×T, and the manifest says what becomes of the tiles."""
    lines: list[str] = []
    bundle = export.build(
        f"{SUPPORT / 'outsider.py'}:Sharpness",
        f"{SUPPORT / 'outsider.py'}:smoother",
        metric_weights=weights["metric"],
        denoiser_weights=weights["denoiser"],
        score_range=(0, 1),
        tile=24,
        aggregate="trimmed_mean",
        out=tmp_path / "tiles",
        fp16=True,
        int8=True,
        report=lines.append,
    )
    contract, score = bundle.manifest.input, bundle.manifest.score
    assert (contract.tile, contract.height, contract.width, contract.batch) == (24, 24, 24, None)
    assert (contract.minimum_height, contract.minimum_width) == (24, 24)
    assert score.of_tiles == Aggregate("trimmed_mean", 0.2)
    assert set(bundle.manifest.parity) == {"fp32", "fp16", "int8"}
    assert bundle.manifest.parity["fp32"].score_difference < 1e-5
    said = table(bundle)
    assert "frames of any size, in tiles of 24×24" in said
    assert "the mean without 20% at each end of the tiles' medians" in said


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"aggregate": "median"}, "give --tile as well"),
        ({"tile": 24, "size": (24, 32)}, "leave --size out"),
        ({"tile": 24, "aggregate": "mode"}, "the aggregate is one of mean, trimmed_mean, median"),
        ({"tile": 24, "trim": 0.1}, "--trim is of a trimmed mean"),
        ({"tile": 24, "aggregate": "trimmed_mean", "trim": 0.5}, "lies between 0 and 0.5"),
        ({"tile": 0}, "whole numbers from 1"),
        ({"tile": 24, "batch": 1}, "state it with --score-range"),
    ],
)
def test_tiles_that_are_refused(
    options: dict[str, Any], said: str, faulty: Callable[[str], str], tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match=said):
        export.build(faulty("Mean"), "none", out=tmp_path / "bundle", **options)
    assert list(tmp_path.iterdir()) == []
