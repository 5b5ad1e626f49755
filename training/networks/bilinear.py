"""A second metric of another kind: two streams whose maps are multiplied, after DB-CNN.

Input N×3×H×W RGB in [0, 1], any size of at least 32×32; output N scores in (0, 100), higher is better.

One stream is MobileNetV1 (what is in the picture), the other five strided convolutions learned from scratch (what
was done to it). Their maps meet at 1/32 of the size: the spatial mean of the outer product, signed square root,
unit length, one linear layer. Zhang et al. 2018, arXiv 1907.02665, with smaller streams.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .mobilenet import BackboneMetric

_DISTORTION_CHANNELS = (16, 24, 32, 32, 16)


class BilinearQuality(BackboneMetric):
    """Bilinear pooling of a content and a distortion stream."""

    def __init__(self, width: float) -> None:
        super().__init__(width)
        channels = (3, *_DISTORTION_CHANNELS)
        self.distortion = nn.ModuleList(nn.Conv2d(*pair, 3, stride=2) for pair in pairwise(channels))
        self.set_head(self._ordered[-1].out_channels * channels[-1])

    def statistics(self, image: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → N×F."""
        *_, (_, content) = self.maps(image)
        distortion = 2 * image - 1
        for convolution in self.distortion:
            distortion = F.relu(convolution(F.pad(distortion, (0, 1, 0, 1))))
        product = (content.flatten(2) @ distortion.flatten(2).transpose(1, 2)).flatten(1)
        product = product / (content.shape[2] * content.shape[3])
        rooted = torch.sign(product) * (product.abs() + 1e-8).sqrt()
        return F.normalize(rooted, dim=1)


def bilinear_025() -> BilinearQuality:
    """MobileNetV1 of width 0.25 as the content stream."""
    return BilinearQuality(0.25)
