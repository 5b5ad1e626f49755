"""A pair of metric and denoiser that is told the noise level: one set of weights, and what each level adds to it.

For a convolution with weights w and biases b, and σ between the levels σ₁ < … < σ_L,

    w′ = w·(1 + Σ h_l(σ)·g_l),     b′ = b·(1 + Σ h_l(σ)·g_l) + Σ h_l(σ)·c_l

with a gain g_l and an offset c_l a channel and level, and h_l the hat functions that interpolate linearly in log σ:
at a level its own gains alone count, between two both, beyond the ends the nearest. That is feature-wise modulation
(Perez et al. 2018, arXiv 1709.07871) by the noise level; since σ is the same for a whole run it is folded into the
weights, so a level costs what the plain pair costs and *is* a plain pair. The metric's linear head has a gain an
input. A gain and an offset of 0 leave the weights alone: an untrained family is the pair it was made of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor, nn
from torch.func import functional_call

from .mobilenet import BackboneMetric, mobilenet_v1_050
from .unet import UNet

__all__ = ["load_family", "plain_pair"]

LEVELS = (0.03, 0.06, 0.12, 0.25, 0.5)
"""Noise levels on the engine's domain."""

HEAD = "metric.head"
"""The linear layer, which has a gain an input."""


class Observed(NamedTuple):
    """What a pair makes of N noisy pictures: N×3×h×w denoised, not clamped; N×F statistics; N scores."""

    denoised: Tensor
    statistics: Tensor
    scores: Tensor


class Pair(nn.Module):
    """metric(clamp(denoiser(z))), with what lies between."""

    def __init__(self, metric: BackboneMetric, denoiser: nn.Module) -> None:
        super().__init__()
        self.metric, self.denoiser = metric, denoiser

    def forward(self, noisy: Tensor) -> Observed:
        """N×3×h×w in [0, 1] → what it makes of them."""
        denoised = self.denoiser(noisy)
        statistics = self.metric.statistics(denoised.clamp(0, 1))
        features = (statistics - self.metric.feature_mean) * self.metric.feature_scale
        return Observed(denoised, statistics, 100 * torch.sigmoid(self.metric.head(features).squeeze(1)))


def hats(sigma: float, sigmas: Sequence[float]) -> list[float]:
    """The share of each level at ``sigma``: they sum to 1, and at most two are above 0. Raises ValueError for σ ≤ 0."""
    if not sigma > 0:
        raise ValueError(f"sigma must be above 0, not {sigma}")
    place, nodes = math.log(sigma), [math.log(s) for s in sigmas]
    shares = [0.0] * len(nodes)
    above = next((i for i, node in enumerate(nodes) if node >= place), len(nodes))
    if above in (0, len(nodes)):
        shares[min(above, len(nodes) - 1)] = 1.0
    else:
        share = (place - nodes[above - 1]) / (nodes[above] - nodes[above - 1])
        shares[above - 1], shares[above] = 1 - share, share
    return shares


class LevelledPair(nn.Module):
    """A pair with gains and offsets for each of ``sigmas``, which rise."""

    def __init__(self, metric: BackboneMetric, denoiser: nn.Module, sigmas: Sequence[float] = LEVELS) -> None:
        super().__init__()
        if not sigmas or sigmas[0] <= 0 or any(a >= b for a, b in pairwise(sigmas)):
            raise ValueError(f"noise levels are above 0 and rise, not {tuple(sigmas)}")
        self.sigmas = tuple(sigmas)
        self.pair = Pair(metric, denoiser)
        self.gains, self.offsets = nn.ParameterDict(), nn.ParameterDict()
        self.layers: list[tuple[str, str, int]] = []
        for name, module in self.pair.named_modules():
            if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                axis = 0 if isinstance(module, nn.Conv2d) else 1
                key = name.replace(".", "-")
                self.gains[key] = nn.Parameter(torch.zeros(len(sigmas), module.weight.shape[axis]))
                assert module.bias is not None
                self.offsets[key] = nn.Parameter(torch.zeros(len(sigmas), len(module.bias)))
                self.layers.append((name, key, axis))

    def modulation(self) -> list[nn.Parameter]:
        """The gains and offsets of all levels."""
        return [*self.gains.parameters(), *self.offsets.parameters()]

    def weights_at(self, sigma: float) -> dict[str, Tensor]:
        """Name → the pair's weights and biases at a noise level."""
        shares = hats(sigma, self.sigmas)
        own = dict(self.pair.named_parameters())
        folded = {}
        for name, key, axis in self.layers:
            gain, offset = (
                sum((share * table[level] for level, share in enumerate(shares) if share), torch.zeros(()))
                for table in (self.gains[key], self.offsets[key])
            )
            weight, bias = own[f"{name}.weight"], own[f"{name}.bias"]
            factor = (1 + gain).view([-1 if i == axis else 1 for i in range(weight.ndim)])
            folded[f"{name}.weight"] = weight * factor
            folded[f"{name}.bias"] = (bias if name == HEAD else bias * (1 + gain)) + offset
        return folded

    def forward(self, noisy: Tensor, sigma: float) -> Observed:
        """N×3×h×w in [0, 1], clamped noisy pictures of one level → what the pair of that level makes of them."""
        observed: Observed = functional_call(self.pair, self.weights_at(sigma), (noisy,))
        return observed


def plain_pair(family: LevelledPair, sigma: float, width: int = 16) -> Pair:
    """The pair of one level as plain networks, frozen: a MobileNetV1 0.5 metric and a U-Net."""
    plain = Pair(mobilenet_v1_050(), UNet(width))
    state = {name: value.detach() for name, value in family.pair.state_dict().items()}
    plain.load_state_dict(state | {name: value.detach() for name, value in family.weights_at(sigma).items()})
    return plain.eval().requires_grad_(False)


def factors_at(family: LevelledPair, sigma: float) -> dict[str, NDArray[np.float32]]:
    """Name of a convolution's weight → 1 + its gains at a level, which broadcast over the weight of ``family.pair``."""
    shares = hats(sigma, family.sigmas)
    factors = {}
    for name, key, axis in family.layers:
        weight = family.pair.get_parameter(f"{name}.weight")
        if name != HEAD:
            gain = sum((share * family.gains[key][i] for i, share in enumerate(shares) if share), torch.zeros(()))
            shape = [-1 if i == axis else 1 for i in range(weight.ndim)]
            factors[f"{name}.weight"] = (1 + gain).detach().view(shape).numpy()
    return factors


def load_family(path: Path, width: int = 16) -> LevelledPair:
    """A family as ``training.levels`` stores it, frozen. Raises ValueError for another file, OSError for none."""
    with safe_open(str(path), "pt") as file:
        levels = (file.metadata() or {}).get("sigmas")
        if levels is None:
            raise ValueError(f"{path} names no noise levels: it is not a family of them")
        state = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    family = LevelledPair(mobilenet_v1_050(), UNet(width), [float(s) for s in levels.split()])
    family.load_state_dict(state)
    return family.eval().requires_grad_(False)
