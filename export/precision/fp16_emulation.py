"""fp16 graph → a graph in fp32 that rounds where the fp16 graph does: how it is run without a GPU.

    o = layer(x) in fp16    →    o = Cast₃₂(Cast₁₆(layer(x) in fp32))

ONNX Runtime's CPU kernels have no fp16: it puts casts around each and takes those that meet away again, so a chain of
fp16 layers runs in fp32, unrounded, and an overflow passes unseen. Casts that a graph states itself it keeps. Sums
are made in fp32 and rounded once a layer, as a GPU's fp16 units with fp32 accumulators do.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper, shape_inference


def emulated(model: ModelProto) -> ModelProto:
    """The graph that gives the scores of an fp16 graph, every value under its own name, as fp32."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    graph = result.graph
    types = {v.name: v.type.tensor_type.elem_type for v in shape_inference.infer_shapes(model).graph.value_info}
    halves = {name for name, kind in types.items() if kind == TensorProto.FLOAT16}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        fresh = NodeProto()
        fresh.CopyFrom(node)
        if node.op_type == "Cast":
            _widen(fresh)
        rounded = [(index, name) for index, name in enumerate(node.output) if name in halves]
        for index, name in rounded:
            fresh.output[index] = f"{name}.exact"
        nodes.append(fresh)
        for _, name in rounded:
            nodes.append(helper.make_node("Cast", [f"{name}.exact"], [f"{name}.half"], to=TensorProto.FLOAT16))
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT))
    graph.ClearField("node")
    graph.node.extend(nodes)
    graph.ClearField("value_info")
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT16:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float32), tensor.name))
    return result


def _widen(cast: NodeProto) -> None:
    """A cast between the two types has nothing left to do; the rounding comes after it."""
    if cast.attribute[0].i in (TensorProto.FLOAT, TensorProto.FLOAT16):
        cast.attribute[0].CopyFrom(AttributeProto(name="to", type=AttributeProto.INT, i=TensorProto.FLOAT))
