"""The default metric: MobileNetV1 features, pooled at eight depths, into one quality score.

Input N×3×H×W RGB in [0, 1], any size of at least 32×32; output N scores in (0, 100), higher is better.

Backbone: 27 convolutions (one 3×3 of stride 2, then 13 pairs of depthwise 3×3 and pointwise 1×1), ReLU6
after each, batch norm folded into the weights, input mapped to 2x−1, TensorFlow's SAME padding (stride 2
pads right and bottom by one). Howard et al. 2017, arXiv 1704.04861.

Head: spatial mean and standard deviation of the maps after convolutions 2, 4, 6, 10, 14, 18, 22 and 26,
normalised, one linear layer, 100·sigmoid.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runtime.errors import TrainingError

_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]
"""Pointwise output channels at width 1 and the stride of the depthwise convolution before it."""

_POOLED_AFTER = (2, 4, 6, 10, 14, 18, 22, 26)


class BackboneMetric(nn.Module, ABC):
    """MobileNetV1, statistics of its maps, one linear layer, 100·sigmoid. A subclass says which statistics.

    ``convolutions``: the backbone. ``feature_mean``, ``feature_scale``: normalise the statistics. ``head``: linear.
    """

    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = int(32 * width)
        convolutions = [nn.Conv2d(3, channels, 3, stride=2)]
        for full, stride in _BLOCKS:
            out = int(full * width)
            convolutions.append(nn.Conv2d(channels, channels, 3, stride=stride, groups=channels))
            convolutions.append(nn.Conv2d(channels, out, 1))
            channels = out
        self.convolutions = nn.ModuleList(convolutions)
        self._ordered = tuple(convolutions)  # the same modules, with their type

    def set_head(self, features: int) -> None:
        """Give it a head for ``features`` statistics, not yet fitted."""
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_scale", torch.ones(features))
        self.head = nn.Linear(features, 1)

    def maps(self, image: Tensor) -> Iterator[tuple[int, Tensor]]:
        """N×3×H×W in [0, 1] → (index, N×C×h×w) after each convolution in turn."""
        maps = 2 * image - 1
        for index, convolution in enumerate(self._ordered):
            if convolution.kernel_size[0] == 3:
                before = 0 if convolution.stride[0] == 2 else 1
                maps = F.pad(maps, (before, 1, before, 1))
            maps = F.relu6(convolution(maps))
            yield index, maps

    @abstractmethod
    def statistics(self, image: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → N×F."""

    def features(self, image: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → N×F, normalised."""
        return (self.statistics(image) - self.feature_mean) * self.feature_scale

    def forward(self, image: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → N scores in (0, 100)."""
        return 100 * torch.sigmoid(self.head(self.features(image)).squeeze(1))

    def load_backbone(self, archive: Path) -> None:
        """Take the 27 convolutions from an ``.npz`` with keys convNN.weight, .bias, .stride, .groups.

        Raises TrainingError for another file, or for convolutions of another width; OSError for none.
        """
        try:
            with archive.open("rb") as file, np.load(file) as arrays, torch.no_grad():
                for index, convolution in enumerate(self._ordered):
                    assert convolution.bias is not None
                    weight, bias = (torch.from_numpy(arrays[f"conv{index:02d}.{part}"]) for part in ("weight", "bias"))
                    if weight.shape != convolution.weight.shape:
                        raise TrainingError(
                            f"{archive}: convolution {index} is {tuple(weight.shape)}, this width needs "
                            f"{tuple(convolution.weight.shape)}"
                        )
                    convolution.weight.copy_(weight)
                    convolution.bias.copy_(bias)
        except TrainingError:
            raise
        except (BadZipFile, EOFError, KeyError, TypeError, ValueError) as error:
            raise TrainingError(f"{archive} is not an .npz of ImageNet features: {error}") from None


class MobileNetQuality(BackboneMetric):
    """Mean and standard deviation pooled at eight depths."""

    def __init__(self, width: float) -> None:
        super().__init__(width)
        self.set_head(2 * sum(self._ordered[i].out_channels for i in _POOLED_AFTER))

    def statistics(self, image: Tensor) -> Tensor:
        """N×3×H×W in [0, 1] → N×F."""
        pooled = []
        for index, maps in self.maps(image):
            if index in _POOLED_AFTER:
                mean = maps.mean((2, 3), keepdim=True)
                variance = (maps - mean).square().mean((2, 3))
                pooled += [mean.flatten(1), (variance + 1e-6).sqrt()]
        return torch.cat(pooled, 1)


def mobilenet_v1_025() -> MobileNetQuality:
    """Width 0.25."""
    return MobileNetQuality(0.25)


def mobilenet_v1_050() -> MobileNetQuality:
    """Width 0.5, the default metric."""
    return MobileNetQuality(0.5)
