"""The ways to score a picture that the evidence compares, each a bundle that the runtime opens.

- none: f(x) = M(x), the undefended metric;
- MS: median of M(clamp(x + σg)), median smoothing;
- DMS: median of M(clamp(D(clamp(x + σg)))), D trained with the mean squared error;
- DMS-IQA: the same with D trained for pixels, score and order, against the metric that it serves.
"""

from __future__ import annotations

from pathlib import Path

import export
from export.catalogue import NO_DENOISER
from runtime.bundle import open_bundle
from runtime.errors import BundleError
from runtime.samplers.onnx import OnnxSampler

DEFENCES = ("none", "MS", "DMS", "DMS-IQA")
SMOOTHED = DEFENCES[1:]

DENOISERS = {
    "mobilenet_v1_050": {"MS": NO_DENOISER, "DMS": "unet_16_mse", "DMS-IQA": "unet_16"},
    "bilinear_025": {"MS": NO_DENOISER, "DMS": "unet_16_mse", "DMS-IQA": "unet_16_bilinear"},
}
"""Metric → defence → denoiser, names of the export catalogue. The undefended metric is MS without noise."""


def bundle_path(folder: Path, metric: str, defence: str) -> Path:
    """Where the bundle of a defence is kept, built on first use and again whenever its weights have changed."""
    path = folder / f"{metric}-{defence}"
    denoiser = DENOISERS[metric][defence]
    parts = export.load_metric(metric).part, export.load_denoiser(denoiser)
    wanted = parts[0], parts[1].part if parts[1] else None
    try:
        manifest = open_bundle(path).manifest
        if (manifest.metric, manifest.denoiser) == wanted:
            return path
    except BundleError:
        pass
    folder.mkdir(parents=True, exist_ok=True)
    export.build(metric, denoiser, out=path)
    return path


def samplers(paths: dict[str, Path]) -> dict[str, OnnxSampler]:
    """Defence → sampler on one thread, for the bundles of :func:`bundle_path`."""
    return {defence: OnnxSampler(open_bundle(path), threads=1) for defence, path in paths.items()}
