"""Synthetic faults for training pictures, so that the denoiser meets more than the photographs' own.

Pictures are 3×h×w float32 in [0, 1]; every choice comes from the generator that is passed in.
"""

from __future__ import annotations

import io

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * torch.rand((), generator=generator).item()


def blur(picture: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian, standard deviation 0.4 … 2.5 pixels."""
    width = _uniform(0.4, 2.5, generator)
    radius = int(3 * width) + 1
    kernel = torch.exp(-(torch.arange(-radius, radius + 1, dtype=torch.float32) ** 2) / (2 * width**2))
    kernel /= kernel.sum()
    padded = F.pad(picture[:, None], (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel.view(1, 1, -1, 1))
    return F.conv2d(rows, kernel.view(1, 1, 1, -1))[:, 0]


def compress(picture: Tensor, generator: torch.Generator) -> Tensor:
    """JPEG, quality 5 … 60."""
    pixels = (picture.permute(1, 2, 0).numpy() * 255 + 0.5).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=round(_uniform(5, 60, generator)))
    with Image.open(stream) as image:
        return torch.from_numpy(np.asarray(image).astype(np.float32) / 255).permute(2, 0, 1)


def grain(picture: Tensor, generator: torch.Generator) -> Tensor:
    """White noise, standard deviation 0.01 … 0.15."""
    width = _uniform(0.01, 0.15, generator)
    return (picture + width * torch.randn(picture.shape, generator=generator)).clamp(0, 1)


def expose(picture: Tensor, generator: torch.Generator) -> Tensor:
    """All values times 0.2 … 1.6, clipped: underexposed or overexposed."""
    return (picture * _uniform(0.2, 1.6, generator)).clamp(0, 1)


FAULTS = (blur, compress, grain, expose)


def with_faults(pictures: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Give a ``share`` of N×3×h×w pictures one fault each.

    Returns the pictures and N booleans: which are still the photographs that people scored.
    """
    untouched = torch.rand(len(pictures), generator=generator) >= share
    result = pictures.clone()
    for index in torch.nonzero(~untouched).flatten().tolist():
        fault = FAULTS[int(torch.randint(len(FAULTS), (), generator=generator))]
        result[index] = fault(pictures[index], generator)
    return result, untouched
