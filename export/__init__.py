"""A PyTorch metric and denoiser → one checked ONNX graph → a bundle the runtime certifies with, and its engines.

    import export

    bundle = export.build("metrics.py:sharpness", metric_weights=Path("sharpness.safetensors"), out="sharpness.zip")

``biqa build`` does the same. Importing this package loads torch, onnx and onnxruntime.
"""

from __future__ import annotations

from .build import build
from .checks.parity import check_parity, onnx_scores, torch_scores
from .describe import GraphSummary, describe, summarise
from .engines.compile import Request, compile_bundle
from .engines.kernels import compile_kernels
from .graph.onnx_export import export_graph
from .networks.fused import Fused
from .networks.load import Loaded, load_denoiser, load_metric
from .precision.fp16 import to_fp16
from .verify import verify

__all__ = [
    "build",
    "check_parity",
    "compile_bundle",
    "compile_kernels",
    "describe",
    "export_graph",
    "Fused",
    "GraphSummary",
    "load_denoiser",
    "load_metric",
    "Loaded",
    "onnx_scores",
    "Request",
    "summarise",
    "to_fp16",
    "torch_scores",
    "verify",
]
