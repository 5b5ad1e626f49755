"""space_to_depth.py: the rewritten graph gives PyTorch's numbers, folded into a convolution or not."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from export.checks.parity import onnx_scores, torch_scores
from export.checks.photographs import noisy
from export.graph.onnx_export import export_graph
from export.networks.fused import Fused
from runtime.bundle.manifest import InputContract

CONTRACT = InputContract(sigma=0.12, downscale=1, height=12, width=18, batch=2)


class _Net(nn.Module):
    """pixel_unshuffle(3), then something, then one score a picture that weighs every channel differently."""

    def __init__(self, then: str) -> None:
        super().__init__()
        self.then = then
        self.plain = nn.Conv2d(27, 27, 3)
        self.grouped = nn.Conv2d(27, 27, 3, groups=3)
        self.weigh = nn.Conv2d(27, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if self.then == "five dimensions":
            maps = F.pixel_unshuffle(image[:, None], 3)[:, 0]
        else:
            maps = F.pixel_unshuffle(image, 3)
        if self.then == "two convolutions":
            maps = self.plain(maps) + self.grouped(maps)
        else:
            maps = self.plain(maps.sin() if self.then == "sine" else maps)
        return self.weigh(maps).mean((1, 2, 3))


@pytest.mark.parametrize(
    ("then", "gathers", "transposes"),
    [
        ("plain", 0, 0),
        ("sine", 1, 0),
        ("two convolutions", 1, 0),
        ("five dimensions", 0, 1),
    ],
)
def test_same_scores(then: str, gathers: int, transposes: int) -> None:
    torch.manual_seed(4)
    fused = Fused(_Net(then), None)
    data = export_graph(fused, CONTRACT)
    operators = [node.op_type for node in onnx.load_from_string(data).graph.node]
    samples = noisy("astronaut", CONTRACT, 12, 18, 0, 2)
    wanted, found = torch_scores(fused, CONTRACT)(samples), onnx_scores(data, CONTRACT)(samples)
    np.testing.assert_allclose(found, wanted, atol=1e-6)
    if then != "five dimensions":
        assert operators.count("SpaceToDepth") == 1
        assert operators.count("Gather") == gathers
    assert operators.count("Transpose") == transposes
