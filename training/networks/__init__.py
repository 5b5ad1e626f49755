"""The networks this project trains: one module an architecture, and here their names, weights and loading."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from runtime.errors import TrainingError

from .bilinear import bilinear_025
from .mobilenet import BackboneMetric, mobilenet_v1_025, mobilenet_v1_050
from .unet import UNet

__all__ = ["frozen_denoiser", "frozen_metric"]

WEIGHTS = Path(__file__).parents[1] / "weights"
"""Where committed weights are kept."""

DENOISER_WEIGHTS = WEIGHTS / "unet_16.safetensors"
"""Of the denoiser trained with the metric frozen."""

JOINT_METRIC_WEIGHTS = WEIGHTS / "mobilenet_v1_050_joint.safetensors"
JOINT_DENOISER_WEIGHTS = WEIGHTS / "unet_16_joint.safetensors"
"""Of the pair that learned together and ships."""


@dataclass(frozen=True)
class Metric:
    """``make``: an untrained network, N×3×H×W in [0, 1] → N scores in (0, 100).

    ``weights``: where its own are kept; None where none are committed.
    """

    make: Callable[[], BackboneMetric]
    weights: Path | None


UNDEFENDED_METRIC = "mobilenet_v1_050"

METRICS = {
    UNDEFENDED_METRIC: Metric(mobilenet_v1_050, WEIGHTS / "mobilenet_v1_050.safetensors"),
    "mobilenet_v1_025": Metric(mobilenet_v1_025, None),
    "bilinear_025": Metric(bilinear_025, WEIGHTS / "bilinear_025.safetensors"),
}


def load_weights(network: nn.Module, path: Path) -> None:
    """Read a safetensors file into the network. Raises TrainingError that names a file which does not fit, OSError."""
    try:
        network.load_state_dict(load_file(path))
    except SafetensorError as error:
        raise TrainingError(f"{path} is not a safetensors file: {error}") from None
    except RuntimeError as error:  # PyTorch's, of names and shapes; the rest of its lines name every one
        first, *others = (line.strip() for line in str(error).splitlines())
        raise TrainingError(
            f"{path} holds the weights of another network or width than {type(network).__name__} as asked for: "
            f"{(others[0] if others else first)[:200]}"
        ) from None


def metric_weights(name: str, weights: Path | None = None) -> Path:
    """The given weights, else the committed ones of one of ``METRICS``. Raises TrainingError where there are none."""
    path = weights or METRICS[name].weights
    if path is None:
        raise TrainingError(
            f"no weights of {name} are committed: train them with biqa train metric --network {name} "
            "and name the file as metric weights"
        )
    return path


def frozen_metric(name: str = UNDEFENDED_METRIC, weights: Path | None = None) -> nn.Module:
    """One of ``METRICS`` with its committed or the given weights, in evaluation mode, without gradients."""
    network = METRICS[name].make()
    load_weights(network, metric_weights(name, weights))
    return network.eval().requires_grad_(False)


def frozen_denoiser(width: int = 16, weights: Path = DENOISER_WEIGHTS) -> nn.Module:
    """The U-Net with the committed or the given weights, in evaluation mode, without gradients."""
    network = UNet(width)
    load_weights(network, weights)
    return network.eval().requires_grad_(False)
