"""A metric of your own, small enough to read: how sharp a frame is, 0 (flat) to 100.

    biqa build --metric examples/own_metric.py:make --denoiser none --name sharpness --score-range 0 100 \\
        --metric-licence Apache-2.0 --out sharpness-bundle
    biqa certify build/demo/astronaut.png --model sharpness-bundle

Any module will do that maps N×3×H×W in [0, 1] to N scores, each from its own frame alone. This one has no weights to
load: brightness, smoothed by a 9×9 box against the noise, its slopes, and their mean on a scale of 0 to 100.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

SLOPE = 0.05
"""Mean slope, in brightness a pixel, that scores 63 of 100."""


class Sharpness(nn.Module):
    """100·(1 − exp(−mean slope/SLOPE)) of the smoothed brightness."""

    def __init__(self) -> None:
        super().__init__()
        self.brightness = nn.Conv2d(3, 1, 9, bias=False)
        self.slopes = nn.Conv2d(1, 2, 3, bias=False)
        with torch.no_grad():
            self.brightness.weight[:] = torch.tensor([0.299, 0.587, 0.114]).reshape(1, 3, 1, 1) / 81
            across = torch.tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
            self.slopes.weight[:] = torch.stack([across, across.T])[:, None]

    def forward(self, frames: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → N scores."""
        slope = self.slopes(self.brightness(frames)).abs().mean((1, 2, 3))
        return 100 * (1 - torch.exp(-slope / SLOPE))


def make() -> nn.Module:
    """What ``biqa build --metric examples/own_metric.py:make`` calls."""
    return Sharpness().eval()
