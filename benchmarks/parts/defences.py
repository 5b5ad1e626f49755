"""The ways to score a frame that the evidence compares, each a bundle that the runtime opens.

- none: f(x) = M(x), the undefended metric;
- MS: median of M(clamp(x + σg)), median smoothing;
- DMS: median of M(clamp(D(clamp(x + σg)))), D trained with the mean squared error;
- DMS-IQA: the same with D trained for pixels, score and order, against the metric that it serves;
- joint: the same with M and D trained together, through the noise. For the default metric alone; it is what ships.
"""

from __future__ import annotations

from pathlib import Path

import export
from export.networks import NO_DENOISER, OTHER_DENOISER, SHIPPED_METRIC, denoiser_for
from runtime import BundleError, open_bundle

MAIN_METRIC, SECOND_METRIC = "mobilenet_v1_050", "bilinear_025"
METRICS = (MAIN_METRIC, SECOND_METRIC)
SHIPPED = "joint"


def _defences(metric: str) -> dict[str, tuple[str, str]]:
    return {
        "MS": (metric, NO_DENOISER),
        "DMS": (metric, OTHER_DENOISER),
        "DMS-IQA": (metric, denoiser_for(metric)),
    }


SMOOTHED = {
    MAIN_METRIC: {**_defences(MAIN_METRIC), SHIPPED: (SHIPPED_METRIC, denoiser_for(SHIPPED_METRIC))},
    SECOND_METRIC: _defences(SECOND_METRIC),
}
"""Undefended metric → defence → (metric, denoiser), names of the export catalogue. "none" is MS without noise."""


def bundle_path(folder: Path, metric: str, defence: str) -> Path:
    """Where the bundle of a defence is kept, built on first use and again whenever its weights have changed."""
    path = folder / f"{metric}-{defence}"
    metric_spec, denoiser_spec = SMOOTHED[metric][defence]
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
