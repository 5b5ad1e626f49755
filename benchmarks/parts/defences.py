"""The ways to score a frame that the evidence compares, each a bundle that the runtime opens.

- none: f(x) = M(x), the undefended metric;
- MS: median of M(clamp(x + σg)), median smoothing;
- DMS: median of M(clamp(D(clamp(x + σg)))), D trained with the mean squared error;
- DMS-IQA: the same with D trained for pixels, score and order, against the metric that it serves;
- joint: the same with M and D trained together, through the noise, for σ = 0.12 alone: the bundle ``single``;
- family: the pair of σ = 0.12 of the family of noise levels that ships. It and joint are of the default metric alone.
"""

from __future__ import annotations

from pathlib import Path

from torch import nn

import export
from export.family import FAMILY as FAMILY_WEIGHTS
from export.networks import NO_DENOISER, OTHER_DENOISER, SHIPPED_METRIC, denoiser_for
from runtime import BundleError, open_bundle
from training.networks.levelled import load_family, plain_pair

MAIN_METRIC, SECOND_METRIC = "mobilenet_v1_050", "bilinear_025"
METRICS = (MAIN_METRIC, SECOND_METRIC)
SHIPPED = "family"
SIGMA = 0.12
"""Noise on the engine's domain that the denoisers of all defences were trained for."""


def _defences(metric: str) -> dict[str, tuple[str, str]]:
    return {
        "MS": (metric, NO_DENOISER),
        "DMS": (metric, OTHER_DENOISER),
        "DMS-IQA": (metric, denoiser_for(metric)),
    }


PAIRS = {
    MAIN_METRIC: {**_defences(MAIN_METRIC), "joint": (SHIPPED_METRIC, denoiser_for(SHIPPED_METRIC))},
    SECOND_METRIC: _defences(SECOND_METRIC),
}
"""Undefended metric → defence → (metric, denoiser), names of the export catalogue. "none" is MS without noise."""

SMOOTHED = {MAIN_METRIC: (*PAIRS[MAIN_METRIC], SHIPPED), SECOND_METRIC: tuple(PAIRS[SECOND_METRIC])}
"""Undefended metric → its defences."""


def networks_of(metric: str, defence: str) -> tuple[nn.Module, nn.Module | None]:
    """Metric and denoiser of a defence in PyTorch."""
    if defence == SHIPPED:
        pair = plain_pair(load_family(FAMILY_WEIGHTS), SIGMA)
        return pair.metric, pair.denoiser
    metric_spec, denoiser_spec = PAIRS[metric][defence]
    denoiser = export.load_denoiser(denoiser_spec)
    return export.load_metric(metric_spec).module, denoiser.module if denoiser else None


def bundle_path(folder: Path, metric: str, defence: str) -> Path:
    """Where the bundle of a defence is kept, built on first use and again whenever its weights have changed.

    What ships is there already.
    """
    if defence == SHIPPED:
        return open_bundle().path
    path = folder / f"{metric}-{defence}"
    metric_spec, denoiser_spec = PAIRS[metric][defence]
    denoiser = export.load_denoiser(denoiser_spec)
    wanted = export.load_metric(metric_spec).part, denoiser.part if denoiser else None
    try:
        manifest = open_bundle(path).manifest
        if (manifest.metric, manifest.denoiser) == wanted:
            return path
    except BundleError:
        pass
    folder.mkdir(parents=True, exist_ok=True)
    export.build(metric_spec, denoiser_spec, out=path)
    return path


def bundle_paths(folder: Path, metric: str) -> dict[str, Path]:
    """Defence → bundle, of every smoothed defence of a metric."""
    return {defence: bundle_path(folder, metric, defence) for defence in SMOOTHED[metric]}
