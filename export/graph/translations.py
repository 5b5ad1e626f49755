"""PyTorch operations that the exporter does not know, or writes badly, in ONNX's own.

- ``pixel_unshuffle``: SpaceToDepth and a Gather of channels (space_to_depth.py);
- ``median``, of all values or along an axis: the last of the smallest ⌈n/2⌉, as PyTorch takes the lower of two;
- adaptive average pooling to h×w, of frames of any size: P·x·Qᵀ, where row i of P averages rows ⌊iH/h⌋ to
  ⌈(i+1)H/h⌉−1 as PyTorch does; Q likewise with columns;
- adaptive maximum pooling to h×w, with the same shares;
- attention of one head, over N×L×E: softmax(QKᵀ/√E)·V, where the exporter knows N×heads×L×E alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from onnx import TensorProto
from onnx.numpy_helper import from_array
from onnxscript import opset20 as op
from onnxscript.function_libs.torch_lib.ops.nn import aten_scaled_dot_product_attention

from .space_to_depth import unshuffle


def _ints(*values: int) -> Any:
    return op.Constant(value_ints=list(values))


def _median_along(self: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
    axis = dim % len(self.shape)
    count = op.Div(op.Add(op.Shape(self, start=axis, end=axis + 1), _ints(1)), _ints(2))
    found: Any = op.TopK(self, count, axis=axis, largest=0, sorted=1)
    values, places = (op.Gather(part, _ints(-1), axis=axis) for part in found)
    return (values, places) if keepdim else (op.Squeeze(values, _ints(axis)), op.Squeeze(places, _ints(axis)))


def _median(self: Any) -> Any:
    return _median_along(op.Reshape(self, _ints(-1)), 0)[0]


def _shares(size: Any, count: int) -> tuple[Any, Any]:
    """(bool count×size: which of ``size`` places belong to a share; int64 count×1: how many). ``size`` an int64[1]."""
    number: Any = op.Constant(value=from_array(np.arange(count)[:, None]))
    start = op.Div(op.Mul(number, size), _ints(count))
    end = op.Div(op.Add(op.Mul(op.Add(number, _ints(1)), size), _ints(count - 1)), _ints(count))
    place = op.Range(op.Constant(value_int=0), op.Squeeze(size), op.Constant(value_int=1))
    return op.And(op.GreaterOrEqual(place, start), op.Less(place, end)), op.Sub(end, start)


def _averaging(size: Any, count: int) -> Any:
    """float32 count×size, each row the mean of its share of ``size`` places; ``size`` an int64[1]."""
    within, length = _shares(size, count)
    lengths: Any = op.Cast(length, to=TensorProto.FLOAT)
    return op.Div(op.Cast(within, to=TensorProto.FLOAT), lengths)


def _adaptive_average(self: Any, output_size: Sequence[int]) -> Any:
    rank = len(self.shape)
    height, width = (op.Shape(self, start=axis, end=axis + 1) for axis in (rank - 2, rank - 1))
    if list(output_size) == [1, 1]:
        return op.ReduceMean(self, _ints(-2, -1), keepdims=1)
    rows = op.MatMul(_averaging(height, output_size[0]), self)
    return op.MatMul(rows, op.Transpose(_averaging(width, output_size[1]), perm=[1, 0]))


def _adaptive_maximum(self: Any, output_size: Sequence[int]) -> tuple[Any, Any]:
    """Of equal values the first by rows, as PyTorch takes it: columns are searched first, then rows."""
    rank = len(self.shape)
    least: Any = op.Constant(value_float=-np.inf)
    height, width = (op.Shape(self, start=axis, end=axis + 1) for axis in (rank - 2, rank - 1))
    within, _ = _shares(width, output_size[1])
    parts = op.Where(within, op.Unsqueeze(self, _ints(rank - 1)), least)  # …×H×w×W
    columns = op.Unsqueeze(op.ArgMax(parts, axis=rank, keepdims=0), _ints(rank - 2))
    found = op.Unsqueeze(op.ReduceMax(parts, _ints(rank), keepdims=0), _ints(rank - 2))
    within, _ = _shares(height, output_size[0])
    parts = op.Where(op.Unsqueeze(within, _ints(-1)), found, least)  # …×h×H×w
    rows = op.ArgMax(parts, axis=rank - 1, keepdims=1)
    chosen = op.GatherElements(op.Expand(columns, op.Shape(parts)), rows, axis=rank - 1)
    places = op.Squeeze(op.Add(op.Mul(rows, width), chosen), _ints(rank - 1))
    return op.ReduceMax(parts, _ints(rank - 1), keepdims=0), places


def _attention(query: Any, key: Any, value: Any, attn_mask: Any = None, *rest: Any, **options: Any) -> Any:
    plain = attn_mask is None and not any(rest) and not any(options.get(o) for o in ("dropout_p", "is_causal"))
    if not plain or any(len(part.shape) != 3 for part in (query, key, value)):
        return aten_scaled_dot_product_attention(query, key, value, attn_mask, *rest, **options)
    scale = options.get("scale") or query.shape[-1] ** -0.5
    alike = op.MatMul(op.Mul(query, op.Constant(value_float=float(scale))), op.Transpose(key, perm=[0, 2, 1]))
    return op.MatMul(op.Softmax(alike, axis=-1), value)


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    torch.ops.aten.pixel_unshuffle.default: unshuffle,
    torch.ops.aten.adaptive_avg_pool2d.default: _adaptive_average,
    torch.ops.aten.adaptive_max_pool2d.default: _adaptive_maximum,
    torch.ops.aten.median.default: _median,
    torch.ops.aten.median.dim: _median_along,
    torch.ops.aten.scaled_dot_product_attention.default: _attention,
}
"""For ``torch.onnx.export(custom_translation_table=…)``."""
