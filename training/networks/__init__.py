"""The networks this project trains. Each module is one architecture and its factories; the metrics are listed here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .bilinear import bilinear_025
from .mobilenet import BackboneMetric, mobilenet_v1_025, mobilenet_v1_050

_WEIGHTS = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class Metric:
    """``make``: an untrained network, N×3×H×W in [0, 1] → N scores in (0, 100). ``weights``: where its own are kept."""

    make: Callable[[], BackboneMetric]
    weights: Path


METRICS = {
    "mobilenet_v1_050": Metric(mobilenet_v1_050, _WEIGHTS / "metric.safetensors"),
    "mobilenet_v1_025": Metric(mobilenet_v1_025, _WEIGHTS / "mobilenet_025.safetensors"),
    "bilinear_025": Metric(bilinear_025, _WEIGHTS / "bilinear_025.safetensors"),
}
