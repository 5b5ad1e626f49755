"""What a denoiser and a metric are worth together, on pictures held back from training."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import nn

from ..data.batches import generator_for, noisy
from ..data.training_set import TrainingSet
from .correlation import plcc, srocc


def measure(
    metric: nn.Module, denoiser: nn.Module, data: TrainingSet, *, sigma: float, seed: int, draws: int = 9
) -> dict[str, float]:
    """On the pictures held back, with the same noise for every network of a seed.

    ``psnr``: mean in dB of the clamped output of one draw. ``srocc``, ``plcc``: of the median score of ``draws`` with
    the opinions. ``spread``: mean standard deviation of the score over the draws, to which certified widths are
    proportional.
    """
    metric.eval()
    denoiser.eval()
    decibels, medians, spreads = [], [], []
    with torch.inference_mode():
        for index in data.watch.tolist():
            clean = torch.from_numpy(data.domain[index][None].astype(np.float32) / data.steps)
            copies = noisy(clean.expand(draws, -1, -1, -1), sigma, generator_for(seed, index, purpose=2))
            output = denoiser(copies).clamp(0, 1)
            decibels.append(-10 * math.log10((output[0] - clean[0]).square().mean().item()))
            scores = metric(output)
            medians.append(scores.median().item())
            spreads.append(scores.std().item())
    opinions = data.mos[data.watch]
    return {
        "psnr": round(float(np.mean(decibels)), 3),
        "srocc": round(srocc(medians, opinions), 4),
        "plcc": round(plcc(medians, opinions), 4),
        "spread": round(float(np.mean(spreads)), 4),
    }
