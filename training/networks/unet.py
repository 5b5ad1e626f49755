"""The default denoiser: a small U-Net on 2×2 pixel-unshuffled input.

Input N×3×H×W, a clamped noisy picture in [0, 1] of any size; output of the same shape, the picture minus
the predicted noise (not clamped: the fused graph clamps it).

Working on 12 channels at half resolution costs a quarter of the same network at full resolution. Three
scales, widths w, 2w, 4w, a residual pair of 3×3 convolutions at each, skips added. A size that is not a
multiple of eight is padded by edge replication and cropped again, so any frame is taken.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

_MULTIPLE = 8


class _Pair(nn.Module):
    """Two 3×3 convolutions with a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, maps: Tensor) -> Tensor:
        return F.relu(maps + self.second(F.relu(self.first(maps))))


class UNet(nn.Module):
    """Residual U-Net over pixel-unshuffled input, ``width`` channels at its finest scale."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(12, width, 3, padding=1)
        self.fine_in = _Pair(width)
        self.down_middle = nn.Conv2d(width, 2 * width, 2, stride=2)
        self.middle_in = _Pair(2 * width)
        self.down_coarse = nn.Conv2d(2 * width, 4 * width, 2, stride=2)
        self.coarse = _Pair(4 * width)
        self.up_middle = nn.ConvTranspose2d(4 * width, 2 * width, 2, stride=2)
        self.middle_out = _Pair(2 * width)
        self.up_fine = nn.ConvTranspose2d(2 * width, width, 2, stride=2)
        self.fine_out = _Pair(width)
        self.last = nn.Conv2d(width, 12, 3, padding=1)

    def forward(self, noisy: Tensor) -> Tensor:
        """N×3×H×W → N×3×H×W, denoised."""
        height, width = noisy.shape[2], noisy.shape[3]
        image = F.pad(noisy, (0, -width % _MULTIPLE, 0, -height % _MULTIPLE), mode="replicate")
        fine = self.fine_in(F.relu(self.stem(F.pixel_unshuffle(image, 2))))
        middle = self.middle_in(F.relu(self.down_middle(fine)))
        coarse = self.coarse(F.relu(self.down_coarse(middle)))
        middle = self.middle_out(middle + self.up_middle(coarse))
        fine = self.fine_out(fine + self.up_fine(middle))
        return (image - F.pixel_shuffle(self.last(fine), 2))[:, :, :height, :width]


def unet_16() -> UNet:
    """Width 16, the default denoiser."""
    return UNet(16)
