"""pixel_unshuffle(r) → convolution   ⇒   SpaceToDepth(r) → convolution with reordered weights.

PyTorch numbers the channels of ``pixel_unshuffle`` (c, i, j), colour first; ONNX's SpaceToDepth (i, j, c),
place in the block first. The exporter therefore writes a six-dimensional transpose with a dozen nodes of shape
arithmetic around it, ten times as slow. With p the permutation between the two orders,

    unshuffle(x)[:, k] = space_to_depth(x)[:, p[k]],      Σₖ W[:, k] · s[:, p[k]] = Σₘ W[:, p⁻¹[m]] · s[:, m]

so it is translated to SpaceToDepth and a Gather of channels, and a Gather that feeds one convolution moves
into its weights. Nothing is rounded: the same products are added in another order.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, numpy_helper
from onnxscript import opset20 as op
from onnxscript.function_libs.torch_lib.ops.core import aten_pixel_unshuffle


def unshuffle(self: Any, downscale_factor: int) -> Any:
    """The translation of ``pixel_unshuffle``."""
    if len(self.shape) != 4 or not isinstance(self.shape[1], int):
        return aten_pixel_unshuffle(self, downscale_factor)
    order = np.arange(self.shape[1] * downscale_factor**2).reshape(downscale_factor**2, self.shape[1])
    channels: Any = op.Constant(value_ints=order.T.reshape(-1).tolist())
    return op.Gather(op.SpaceToDepth(self, blocksize=downscale_factor), channels, axis=1)


def fold_channel_orders(model: ModelProto) -> None:
    """Move every Gather of channels that feeds one convolution, and nothing else, into its weights, in place."""
    graph = model.graph
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    constants = {tensor.name: tensor for tensor in graph.initializer}
    gathers = {node.output[0]: node for node in graph.node if _reorders_channels(node, constants)}
    for convolution in graph.node:
        gather = gathers.get(convolution.input[0]) if convolution.op_type == "Conv" else None
        if gather is None or uses[gather.output[0]] > 1 or not _is_plain(convolution, constants, uses):
            continue
        order = numpy_helper.to_array(constants[gather.input[1]])
        weight = constants[convolution.input[1]]
        weight.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weight)[:, np.argsort(order)], weight.name))
        convolution.input[0] = gather.input[0]
        graph.node.remove(gather)
        uses[gather.input[1]] -= 1
        _drop_unused(graph, gather.input[1], uses)


def _reorders_channels(node: NodeProto, constants: dict[str, Any]) -> bool:
    """A Gather along axis 1 by a permutation."""
    if (
        node.op_type != "Gather"
        or node.input[1] not in constants
        or {a.name: a.i for a in node.attribute} != {"axis": 1}
    ):
        return False
    order = numpy_helper.to_array(constants[node.input[1]])
    return order.ndim == 1 and np.array_equal(np.sort(order), np.arange(len(order)))


def _is_plain(convolution: NodeProto, constants: dict[str, Any], uses: Counter[str]) -> bool:
    """Ungrouped, with constant weights of its own."""
    groups = {a.i for a in convolution.attribute if a.name == "group"} or {1}
    return groups == {1} and convolution.input[1] in constants and uses[convolution.input[1]] == 1


def _drop_unused(graph: GraphProto, name: str, uses: Counter[str]) -> None:
    if uses[name] == 0:
        graph.initializer.remove(next(tensor for tensor in graph.initializer if tensor.name == name))
