"""Names → the networks this project ships: where each is built, its weights, licence and score.

A name here is a SPEC without a colon. Everything else a SPEC can be is in ``load.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.bundle.manifest import ScoreContract

WEIGHTS = Path(__file__).parents[2] / "training" / "weights"
MODEL_CARD = WEIGHTS / "MODEL_CARD.md"
TILE_CARD = WEIGHTS / "MODEL_CARD_tiles.md"

NO_DENOISER = "none"
"""The denoiser's name for median smoothing alone."""

SHIPPED_METRIC = "mobilenet_v1_050_joint"
TILE_METRIC = "mobilenet_v1_050_tiles"
"""Of the bundle of tiles that ships."""
OTHER_DENOISER = "unet_16_mse"
"""Behind a metric that none was trained for: it was trained for pixels alone."""


@dataclass(frozen=True)
class Entry:
    """One network of the catalogue.

    ``spec``: ``package.module:factory``. ``weights``: safetensors file. ``score``: None for a denoiser.
    ``sigma``: the noise level it was trained at, on the engine's domain; None for a metric. ``denoiser``: of a metric,
    the one that was trained for it. ``card``: the model card that describes it.
    """

    spec: str
    weights: Path
    version: str
    licence: str
    score: ScoreContract | None = None
    sigma: float | None = None
    denoiser: str = OTHER_DENOISER
    card: Path = MODEL_CARD


_SCORE = ScoreContract(0.0, 100.0, higher_is_better=True)
_SIGMA, _TILE_SIGMA = 0.12, 0.25

METRICS = {
    name: Entry(
        spec=f"training.networks.{spec}",
        weights=WEIGHTS / f"{name}.safetensors",
        version="1",
        licence="Apache-2.0",
        score=_SCORE,
        denoiser=denoiser,
        card=TILE_CARD if name == TILE_METRIC else MODEL_CARD,
    )
    for name, spec, denoiser in (
        (SHIPPED_METRIC, "mobilenet:mobilenet_v1_050", "unet_16_joint"),
        (TILE_METRIC, "mobilenet:mobilenet_v1_050", "unet_16_tiles"),
        ("mobilenet_v1_050", "mobilenet:mobilenet_v1_050", "unet_16"),  # trained on clean photographs
        ("bilinear_025", "bilinear:bilinear_025", "unet_16_bilinear"),  # another architecture
    )
}

DENOISERS = {
    name: Entry(
        spec="training.networks.unet:unet_16",
        weights=WEIGHTS / f"{name}.safetensors",
        version="1",
        licence="Apache-2.0",
        sigma=_TILE_SIGMA if name == "unet_16_tiles" else _SIGMA,
    )
    for name in (
        "unet_16_joint",  # learned together with mobilenet_v1_050_joint
        "unet_16_tiles",  # learned together with mobilenet_v1_050_tiles, on tiles
        "unet_16",  # trained against mobilenet_v1_050, frozen
        "unet_16_bilinear",  # trained against bilinear_025, frozen
        OTHER_DENOISER,  # pixels alone, the start of the others
    )
}


def denoiser_for(metric: object) -> str:
    """The name of the denoiser for a metric's SPEC: the one trained for it, where there is one."""
    entry = METRICS.get(metric) if isinstance(metric, str) else None
    return entry.denoiser if entry else OTHER_DENOISER
