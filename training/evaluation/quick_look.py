"""Correlation with opinion scores of the bare metric, and of its median over noise without and with the denoiser.

- none: M(x), the undefended metric;
- MS: median of M(clamp(x + σg)), median smoothing alone;
- denoised: median of M′(clamp(D(clamp(x + σg)))), by default of the pair that ships; M′ is M for a denoiser that was
  trained with the metric frozen.

The noise is the runtime's integer noise. SROCC and PLCC are given pooled and for each subset of the table,
because subsets that differ in mean score flatter a pooled correlation. ``benchmarks/correlation.py`` measures the
exported bundle, with intervals and widths; this is the quick look at weights.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from runtime.errors import ParameterError
from runtime.frames.lattice import Lattice, to_lattice
from runtime.noise.draw import draw_noise
from runtime.noise.table import table_for

from ..data.photographs import Photograph, read_rgb
from ..networks import JOINT_DENOISER_WEIGHTS, JOINT_METRIC_WEIGHTS, frozen_denoiser, frozen_metric
from ..smoothed_loss import Scorer
from .correlation import plcc, srocc

DEFENCES = ("none", "MS", "denoised")
_BATCH = 8


def noisy_copies(picture: Lattice, sigma: float, samples: int, seed: int) -> torch.Tensor:
    """``samples`` clamped noisy copies, float32 N×3×h×w in [0, 1]."""
    noise = np.empty((samples, *picture.values.shape), np.float32)
    draw_noise(table_for(sigma, picture), seed.to_bytes(16, "little"), 0, noise)
    noise += picture.values
    return torch.from_numpy(noise / np.float32(picture.steps)).clamp(0, 1)


def median_scores(
    metric: nn.Module, pair: Scorer, picture: Lattice, sigma: float, samples: int, seed: int
) -> NDArray[np.float64]:
    """Scores of one picture under each of ``DEFENCES``."""
    clean = torch.from_numpy(picture.values[None].astype(np.float32) / picture.steps)
    copies = torch.split(noisy_copies(picture, sigma, samples, seed), _BATCH)
    smoothed = torch.cat([metric(copy) for copy in copies]).median()
    denoised = torch.cat([pair(copy) for copy in copies]).median()
    return np.array([metric(clean).item(), smoothed.item(), denoised.item()])


def correlations(
    scores: NDArray[np.float64], photographs: Sequence[Photograph]
) -> dict[str, dict[str, dict[str, float]]]:
    """{subset: {defence: {srocc, plcc, pictures}}}; ``pooled`` is all of them; subsets of fewer than 3 are left out."""
    subsets = {"pooled": np.ones(len(photographs), bool)}
    for name in sorted({p.subset for p in photographs}):
        subsets[name] = np.array([p.subset == name for p in photographs])
    mos = np.array([p.mos for p in photographs])
    return {
        subset: {
            defence: {
                "srocc": round(srocc(scores[chosen, column], mos[chosen]), 4),
                "plcc": round(plcc(scores[chosen, column], mos[chosen]), 4),
                "pictures": int(chosen.sum()),
            }
            for column, defence in enumerate(DEFENCES)
        }
        for subset, chosen in subsets.items()
        if chosen.sum() >= 3
    }


def evaluate(
    photographs: Sequence[Photograph],
    *,
    split: str = "val",
    samples: int = 32,
    limit: int | None = None,
    metric_weights: Path | None = None,
    denoiser_weights: Path = JOINT_DENOISER_WEIGHTS,
    denoised_metric_weights: Path = JOINT_METRIC_WEIGHTS,
    sigma: float = 0.12,
    downscale: int = 2,
    output: Path | None = None,
) -> None:
    """Print, and optionally write as JSON, the correlations on one split.

    Raises ParameterError for fewer than 3 pictures and for samples or a limit below 1.
    """
    if samples < 1:
        raise ParameterError(f"samples {samples}: a median needs at least 1 noisy copy a picture")
    if not 0 < sigma < math.inf:
        raise ParameterError(f"sigma {sigma}: it is the noise level for pictures in [0, 1], such as 0.12")
    if limit is not None and limit < 1:
        raise ParameterError(f"limit {limit}: it is the number of pictures to score, at least 3")
    chosen = [p for p in photographs if p.split == split][:limit]
    if len(chosen) < 3:
        raise ParameterError(f"there are {len(chosen)} pictures of split {split!r}: a correlation needs 3")
    metric = frozen_metric(weights=metric_weights)
    pair = Scorer(frozen_metric(weights=denoised_metric_weights), frozen_denoiser(weights=denoiser_weights)).eval()
    rows = []
    with torch.inference_mode():
        for seed, photograph in enumerate(tqdm(chosen, "scoring", disable=None)):
            picture = to_lattice(read_rgb(photograph.path), downscale=downscale)
            rows.append(median_scores(metric, pair, picture, sigma, samples, seed))
    scores = np.array(rows)
    measured = correlations(scores, chosen)
    figures = {"split": split, "samples": samples, "sigma": sigma, "correlation": measured}
    for subset, row in measured.items():
        for defence, values in row.items():
            print(
                f"{subset:8} {defence:8} SROCC {values['srocc']:.4f}  PLCC {values['plcc']:.4f}  n={values['pictures']}"
            )
    if output:
        output.write_text(json.dumps(figures, indent=2) + "\n")
