"""A PyTorch metric and denoiser → one checked ONNX graph → a bundle the runtime certifies with, and its engines.

    import export

    bundle = export.build("metrics.py:sharpness", metric_weights=Path("sharpness.safetensors"), out="sharpness.zip")

``python -m export build`` does the same. Importing this package loads torch, onnx and onnxruntime.
"""

from __future__ import annotations

from .build import build
from .compile import Request, compile_bundle
from .describe import GraphSummary, describe, summarise
from .fuse import Fused
from .graph import export_graph
from .kernels import compile_kernels
from .load import Loaded, load_denoiser, load_metric
from .parity import check_parity, onnx_scores, torch_scores
from .precision import to_fp16
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
