"""translations.py: what the exporter does not know gives PyTorch's numbers in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.checks.parity import onnx_scores, torch_scores
from export.checks.photographs import noisy
from export.graph.onnx_export import export_graph
from export.networks.fused import Fused
from runtime.bundle.manifest import InputContract

CONTRACT = InputContract(sigma=0.12, downscale=1)


def _one_head(image: torch.Tensor) -> torch.Tensor:
    tokens = F.avg_pool2d(image, 8).flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(4 * tokens, tokens, tokens * tokens).mean((1, 2))


def _scaled_head(image: torch.Tensor) -> torch.Tensor:
    tokens = F.avg_pool2d(image, 8).flatten(2).transpose(1, 2)
    return F.scaled_dot_product_attention(4 * tokens, tokens, tokens * tokens, scale=2.0).mean((1, 2))


def _heads(image: torch.Tensor) -> torch.Tensor:
    tokens = F.avg_pool2d(image, 8).flatten(2).transpose(1, 2)[:, None]
    return F.scaled_dot_product_attention(4 * tokens, tokens, tokens * tokens).mean((1, 2, 3))


def _pooled(image: torch.Tensor) -> torch.Tensor:
    pooled = F.adaptive_avg_pool2d(image, (7, 5))
    return (pooled * torch.arange(35).view(7, 5)).mean((1, 2, 3))


def _greatest(image: torch.Tensor) -> torch.Tensor:
    return (F.adaptive_max_pool2d(image, (7, 5)) * torch.arange(35).view(7, 5)).mean((1, 2, 3))


def _where_greatest(image: torch.Tensor) -> torch.Tensor:
    """Of a few values, so that many are equal."""
    few = (8 * F.avg_pool2d(image, 4)).round()
    _, places = F.adaptive_max_pool2d(few, (3, 2), return_indices=True)
    return (places * torch.arange(6).view(3, 2)).float().mean((1, 2, 3)) / 100


class _Encoder(nn.Module):
    """With a token of the whole frame before the others PyTorch runs it as one fused operation."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.token = nn.Parameter(torch.zeros(1, 1, 4))
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        tokens = F.pad(F.avg_pool2d(image, 8).flatten(2).transpose(1, 2), (0, 1))
        tokens = torch.cat([self.token.expand(len(tokens), -1, -1), tokens], 1)
        return self.layer(tokens)[:, 0, 0]


def _pooled_whole(image: torch.Tensor) -> torch.Tensor:
    return F.adaptive_avg_pool2d(image, 1).flatten(1).amax(1)


def _median_of_pixels(image: torch.Tensor) -> torch.Tensor:
    return image.mean(1).flatten(1).median(1).values


def _median_kept(image: torch.Tensor) -> torch.Tensor:
    return image.median(-2, keepdim=True).values.mean((1, 2, 3))


def _spectrum(image: torch.Tensor) -> torch.Tensor:
    return torch.fft.rfft2(image[..., :16, :16], norm="ortho").abs().log1p().mean((1, 2, 3))


class _Metric(nn.Module):
    def __init__(self, score: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.score = score

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return 100 * self.score(image)


@pytest.mark.parametrize(
    "score",
    [
        *(_one_head, _scaled_head, _heads, _Encoder(), _pooled, _pooled_whole, _greatest, _where_greatest),
        *(_median_of_pixels, _median_kept, _spectrum),
    ],
)
def test_operations_are_translated(score: Callable[[torch.Tensor], torch.Tensor]) -> None:
    fused = Fused(_Metric(score), None)
    data = export_graph(fused, CONTRACT)
    for height, width in ((48, 66), (65, 97)):
        samples = noisy("astronaut", CONTRACT, height, width, 0, 3)
        wanted, found = torch_scores(fused, CONTRACT)(samples), onnx_scores(data, CONTRACT)(samples)
        np.testing.assert_allclose(found, wanted, atol=1e-4)
        assert np.ptp(found) > 1e-3
