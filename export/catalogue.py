"""Names → the networks this project ships: where each is built, its weights, licence and score.

A name here is a SPEC without a colon. Everything else a SPEC can be is in ``load.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.bundle import ScoreContract

WEIGHTS = Path(__file__).parent.parent / "training" / "weights"
MODEL_CARD = WEIGHTS / "MODEL_CARD.md"

NO_DENOISER = "none"
"""The denoiser's name for median smoothing alone."""

DEFAULT_METRIC = "mobilenet_v1_050"
DEFAULT_DENOISER = "unet_16"


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue.

    ``spec``: ``package.module:factory``. ``weights``: safetensors file. ``score``: None for a denoiser.
    ``sigma``: the noise level it was trained at, on the engine's domain; None for a metric.
    """

    spec: str
    weights: Path
    version: str
    licence: str
    score: ScoreContract | None = None
    sigma: float | None = None


_SCORE = ScoreContract(0.0, 100.0, higher_is_better=True)
_SIGMA = 0.12

METRICS = {
    DEFAULT_METRIC: Entry(
        spec="training.networks.mobilenet:mobilenet_v1_050",
        weights=WEIGHTS / "metric.safetensors",
        version="1",
        licence="Apache-2.0",
        score=_SCORE,
    ),
    # Another architecture, for the evidence.
    "bilinear_025": Entry(
        spec="training.networks.bilinear:bilinear_025",
        weights=WEIGHTS / "bilinear_025.safetensors",
        version="1",
        licence="Apache-2.0",
        score=_SCORE,
    ),
}

DENOISERS = {
    name: Entry(
        spec="training.networks.unet:unet_16",
        weights=WEIGHTS / f"{file}.safetensors",
        version="1",
        licence="Apache-2.0",
        sigma=_SIGMA,
    )
    for name, file in (
        (DEFAULT_DENOISER, "denoiser"),
        ("unet_16_mse", "denoiser_mse"),  # pixels alone, the start of the other two
        ("unet_16_bilinear", "denoiser_bilinear"),  # trained against bilinear_025
    )
}
