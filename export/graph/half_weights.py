"""Graph in fp32 → the same function in half the bytes: weights that are half floats are stored as such.

    initializer fp32  →  initializer fp16 → Cast to fp32

Only where nothing is lost: every value of the weight is a half float, as those of a network are that was saved in half
precision. ONNX Runtime and TensorRT make the Cast when they open the graph, so the scores are those of the fp32 graph,
bit for bit, at the same cost. It is not fp16: every sum and product is still one in fp32.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .canonical import canonical

_LEAST = 256
"""Values of a weight, below which a Cast node takes more bytes than it saves."""


def with_half_weights(data: bytes) -> bytes:
    """The canonical bytes of a canonical graph with its large weights stored in half, where that loses nothing."""
    model = onnx.load_from_string(data)
    graph = model.graph
    casts, given = [], {}
    for tensor in graph.initializer:
        if tensor.data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(tensor)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if values.size < _LEAST or not np.array_equal(half.astype(np.float32), values):
            continue
        given[tensor.name] = f"{tensor.name}/fp32"
        casts.append(helper.make_node("Cast", [tensor.name], [given[tensor.name]], to=TensorProto.FLOAT))
        tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    for node in graph.node:
        node.input[:] = [given.get(name, name) for name in node.input]
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return canonical(model)
