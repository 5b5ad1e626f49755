"""The defended metric as a loss: tune an encoder, an enhancer or a filter against what will really be reported.

A network tuned against a bare metric learns to move the metric. Tuned against the median over noise it has to move
the median, which takes changes that survive the noise and the denoiser.

    loss = SmoothedLoss(scorer(), sigma=0.12, samples=9)
    loss(enhancer(pictures)).backward()
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.errors import ParameterError

from .networks import JOINT_DENOISER_WEIGHTS, JOINT_METRIC_WEIGHTS, frozen_denoiser, frozen_metric

__all__ = ["Scorer", "smoothed_score", "SmoothedLoss"]


class Scorer(nn.Module):
    """metric(clamp(denoiser(z))) of clamped noisy pictures z, N×3×h×w → N scores; no denoiser: metric(z)."""

    def __init__(self, metric: nn.Module, denoiser: nn.Module | None = None) -> None:
        super().__init__()
        self.metric, self.denoiser = metric, denoiser

    def forward(self, pictures: Tensor) -> Tensor:
        """N×3×h×w in [0, 1] → N scores."""
        cleaned = pictures if self.denoiser is None else self.denoiser(pictures).clamp(0, 1)
        scores: Tensor = self.metric(cleaned)
        return scores


def scorer() -> Scorer:
    """The pair of metric and denoiser that ships, frozen."""
    return Scorer(frozen_metric(weights=JOINT_METRIC_WEIGHTS), frozen_denoiser(weights=JOINT_DENOISER_WEIGHTS)).eval()


def smoothed_score(
    function: nn.Module,
    pictures: Tensor,
    *,
    sigma: float,
    samples: int,
    downscale: int = 1,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Median of ``function`` over ``samples`` noisy copies of each picture: N×3×H×W in [0, 1] → N, differentiable.

    The median is the score of one of the copies; its gradient is the gradient of that copy's score. All copies are
    scored without a graph first, then the middle one of each picture again with one, so memory does not grow with n.
    ``downscale``: k of the k×k box before the noise. ``generator``: of the noise, on the CPU. Raises ParameterError
    for an even number of samples, whose median is no sample.
    """
    if samples < 1 or samples % 2 == 0:
        raise ParameterError(f"samples must be odd, so that the median is one of them, not {samples}")
    small = F.avg_pool2d(pictures, downscale) if downscale > 1 else pictures
    noise = sigma * torch.randn((samples, *small.shape), generator=generator).to(small.device)
    with torch.no_grad():
        scores = torch.stack([function((small + copy).clamp(0, 1)) for copy in noise])
        middle = scores.argsort(0)[samples // 2]
    chosen = noise[middle, torch.arange(len(small), device=middle.device)]
    median: Tensor = function((small + chosen).clamp(0, 1))
    return median


class SmoothedLoss(nn.Module):
    """1 − mean smoothed score/100: 0 for perfect pictures. Scores are taken to be 0 (bad) to 100 (excellent).

    ``function``: N×3×h×w → N scores, e.g. :func:`scorer`. Other parameters as in :func:`smoothed_score`.
    """

    def __init__(self, function: nn.Module, *, sigma: float = 0.12, samples: int = 9, downscale: int = 2) -> None:
        super().__init__()
        self.function, self.sigma, self.samples, self.downscale = function, sigma, samples, downscale

    def forward(self, pictures: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """N×3×H×W in [0, 1] → scalar."""
        scores = smoothed_score(
            self.function, pictures, sigma=self.sigma, samples=self.samples, downscale=self.downscale,
            generator=generator,
        )  # fmt: skip
        return 1 - scores.mean() / 100
