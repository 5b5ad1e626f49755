"""A metric of your own, small enough to read: how sharp a frame is, 0 (flat) to 100.

    python examples/own_metric.py [photo.png]               # certified as it stands; default: a cup of coffee
    biqa build --metric examples/own_metric.py:make --denoiser none --name sharpness --score-range 0 100 \\
        --metric-licence Apache-2.0 --out sharpness-bundle
    biqa certify build/demo/astronaut.png --model sharpness-bundle

Any module will do that maps N×3×H×W in [0, 1] to N scores, each from its own frame alone. This one has no weights to
load: brightness, smoothed by a 9×9 box against the noise, its slopes, and their mean on a scale of 0 to 100.
Read it cell by cell, in an editor or as a notebook.
"""

# %% The metric

from __future__ import annotations

import sys

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import uniform_filter
from torch import Tensor, nn

from runtime import Certifier

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


# %% Certified as it stands: any function of noisy copies will do. A bundle does the same without PyTorch.
METRIC = make()


def sharpness(copies: NDArray[np.float32]) -> NDArray[np.float32]:
    """N×3×h×w, values in [0, 1] plus noise → N scores."""
    with torch.inference_mode():
        return METRIC(torch.from_numpy(copies).clamp(0, 1)).numpy()  # type: ignore[no-any-return]


# %% A frame, and the same out of focus
def main() -> None:
    frame: NDArray[np.uint8] = (
        np.asarray(Image.open(sys.argv[1]).convert("RGB")) if len(sys.argv) > 1 else skimage.data.coffee()[:256, :256]  # type: ignore[no-untyped-call]
    )
    blurred = uniform_filter(frame, (15, 15, 0))
    with Certifier(sampler=sharpness, sigma=0.12, downscale=2, epsilon=0.1, samples=200) as certifier:
        for name, one in (("as it is", frame), ("out of focus", blurred)):
            made = certifier.certify(one)
            print(f"{name:>12}: {made.score:.2f} [{made.lower:.2f}, {made.upper:.2f}]  within ε={made.epsilon:g}")
        answer = certifier.compare(frame, blurred)
    print({"a": "certainly sharper as it is", "b": "certainly sharper out of focus"}.get(answer.decision, "undecided"))


if __name__ == "__main__":
    main()
