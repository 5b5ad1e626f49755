"""The networks this project trains: one module an architecture, and here their names, weights and loading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

from .bilinear import bilinear_025
from .mobilenet import BackboneMetric, mobilenet_v1_025, mobilenet_v1_050
from .unet import UNet

WEIGHTS = Path(__file__).parents[1] / "weights"
"""Where committed weights are kept."""

DENOISER_WEIGHTS = WEIGHTS / "denoiser.safetensors"


@dataclass(frozen=True)
class Metric:
    """``make``: an untrained network, N×3×H×W in [0, 1] → N scores in (0, 100). ``weights``: where its own are kept."""

    make: Callable[[], BackboneMetric]
    weights: Path


DEFAULT_METRIC = "mobilenet_v1_050"

METRICS = {
    DEFAULT_METRIC: Metric(mobilenet_v1_050, WEIGHTS / "metric.safetensors"),
    "mobilenet_v1_025": Metric(mobilenet_v1_025, WEIGHTS / "mobilenet_025.safetensors"),
    "bilinear_025": Metric(bilinear_025, WEIGHTS / "bilinear_025.safetensors"),
}


def frozen_metric(name: str = DEFAULT_METRIC, weights: Path | None = None) -> nn.Module:
    """One of ``METRICS`` with its committed or the given weights, in evaluation mode, without gradients."""
    known = METRICS[name]
    network = known.make()
    network.load_state_dict(load_file(weights or known.weights))
    return network.eval().requires_grad_(False)


def frozen_denoiser(width: int = 16, weights: Path = DENOISER_WEIGHTS) -> nn.Module:
    """The U-Net with the committed or the given weights, in evaluation mode, without gradients."""
    network = UNet(width)
    network.load_state_dict(load_file(weights))
    return network.eval().requires_grad_(False)
