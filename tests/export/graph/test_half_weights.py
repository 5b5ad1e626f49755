"""Weights stored in half: the same scores bit for bit, in fewer bytes, and only where nothing is lost."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, numpy_helper

from export.graph.half_weights import with_half_weights
from export.graph.onnx_export import check_graph, export_graph
from export.networks.fused import Fused
from runtime.bundle.manifest import InputContract

CONTRACT = InputContract(sigma=0.25, downscale=1, height=32, width=32, tile=32)


class Small(torch.nn.Module):
    """``half``: whether its weights are half floats."""

    def __init__(self, half: bool) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.first, self.second = torch.nn.Conv2d(3, 24, 3), torch.nn.Conv2d(24, 24, 3)
        if half:
            for value in self.parameters():
                value.data = value.data.half().float()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(torch.relu(self.first(x))).square().mean((1, 2, 3))


def graph(half: bool) -> bytes:
    return export_graph(Fused(Small(half), None), CONTRACT)


def scores(data: bytes) -> np.ndarray:
    noisy = np.random.default_rng(1).integers(-200, 400, (5, 3, 32, 32)).astype(np.float32)
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    (made,) = session.run(None, {"lattice": noisy, "unit": np.array([1 / 255], np.float32)})
    return made


def test_same_scores_in_fewer_bytes() -> None:
    plain = graph(half=True)
    small = with_half_weights(plain)
    check_graph(small, CONTRACT)
    assert len(small) < 0.6 * len(plain)
    assert np.array_equal(scores(small), scores(plain))
    assert with_half_weights(plain) == small


def test_what_would_lose_stays() -> None:
    plain = graph(half=False)
    assert with_half_weights(plain) == plain


def test_large_weights_alone_are_stored_in_half() -> None:
    stored = onnx.load_from_string(with_half_weights(graph(half=True))).graph.initializer
    kinds = {tensor.name: (tensor.data_type, numpy_helper.to_array(tensor).size) for tensor in stored}
    assert kinds["metric.second.weight"] == (TensorProto.FLOAT16, 24 * 24 * 9)
    assert kinds["metric.second.bias"] == (TensorProto.FLOAT, 24)
