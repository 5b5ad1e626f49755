"""Small networks with random weights, and one bundle built from them that most tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("skimage")

from safetensors.torch import save_file  # noqa: E402

import export  # noqa: E402
from runtime.bundle.store import Bundle  # noqa: E402

SUPPORT = Path(__file__).parents[1] / "support"
METRIC = f"{SUPPORT / 'outsider.py'}:Sharpness"
DENOISER = f"{SUPPORT / 'outsider.py'}:smoother"


@pytest.fixture(scope="session")
def faulty() -> Callable[[str], str]:
    """The SPEC of one of the networks of faulty.py."""
    return lambda name: f"{SUPPORT / 'faulty.py'}:{name}"


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Weights files of the outsider's networks, random with a fixed seed: ``metric``, ``denoiser``, ``metric_pt``."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(1)
    metric, denoiser = export.load_metric(METRIC).module, export.load_denoiser(DENOISER)
    assert denoiser is not None
    for value in metric.parameters():
        value.normal_(0, 0.5)
    files = {
        "metric": folder / "metric.safetensors",
        "denoiser": folder / "denoiser.safetensors",
        "metric_pt": folder / "m.pt",
    }
    save_file(metric.state_dict(), files["metric"])
    save_file(denoiser.module.state_dict(), files["denoiser"])
    torch.save({"state_dict": metric.state_dict(), "epoch": 3}, files["metric_pt"])
    return files


@pytest.fixture(scope="session")
def outsider(weights: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, list[str]]:
    """The outsider's networks as a bundle, and the lines the build reported."""
    lines: list[str] = []
    bundle = export.build(
        METRIC,
        DENOISER,
        metric_weights=weights["metric"],
        denoiser_weights=weights["denoiser"],
        metric_licence="MIT",
        score_range=(0, 1),
        name="sharpness",
        out=tmp_path_factory.mktemp("built") / "bundle",
        report=lines.append,
    )
    return bundle, lines
