"""Graphs of several noise levels → what they share, stored once, and what is each one's own.

Two things make levels share. **Factored weights**: a level's convolution has the weights w·(1 + g), of the family's w
and a gain a channel (training/networks/levelled.py), so its graph keeps w as float16 and multiplies when it is loaded:

    Cast(w, float32) · (1 + g)   →   Conv          which ONNX Runtime folds into a constant: no sample pays for it.

**Concatenation**: ONNX is protobuf, and a protobuf message followed by another is the two merged. Tensors that are the
same in all graphs become one message of initializers alone; a level's own part followed by it is the level's graph.
TensorRT wants constant weights: :func:`folded` multiplies them out, to the very bytes of an ordinary export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper

from runtime.errors import ExportError

from .canonical import canonical

LEAST = 256
"""Bytes of a tensor from which on it is shared."""

_HALF, _FACTOR = ".half", ".factor"


def factored(data: bytes, factors: Mapping[str, NDArray[np.float32]], own: Mapping[str, NDArray[np.float32]]) -> bytes:
    """A graph with each weight named in ``factors`` as float16 times its factor, and the tensors of ``own`` replaced.

    Factors broadcast over their weight. Raises ExportError for a weight that float16 would round.
    """
    model = onnx.load_from_string(data)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    if unknown := sorted({*factors, *own} - tensors.keys()):
        raise ExportError(f"the graph has no parameters {', '.join(unknown)}: these are not the levels of this network")
    nodes = []
    for name, factor in factors.items():
        weight = numpy_helper.to_array(tensors[name])
        half = weight.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), weight):
            raise ExportError(f"{name} does not fit float16: save the family's weights in it")
        model.graph.initializer.remove(tensors[name])
        model.graph.initializer.append(numpy_helper.from_array(half, name + _HALF))
        model.graph.initializer.append(numpy_helper.from_array(factor, name + _FACTOR))
        nodes.append(helper.make_node("Cast", [name + _HALF], [name + ".single"], to=TensorProto.FLOAT))
        nodes.append(helper.make_node("Mul", [name + ".single", name + _FACTOR], [name + ".read"]))
    for node in model.graph.node:
        node.input[:] = [name + ".read" if name in factors else name for name in node.input]
    for name, values in own.items():
        if tuple(tensors[name].dims) != values.shape:
            raise ExportError(f"{name} is {tuple(tensors[name].dims)} in the graph and {values.shape} in the family")
        tensors[name].CopyFrom(numpy_helper.from_array(values, name))
    nodes += model.graph.node
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
    return canonical(model)


def folded(data: bytes) -> bytes:
    """The same function with its factored weights multiplied out; a graph without any as it is."""
    model = onnx.load_from_string(data)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    casts = {node.output[0]: node for node in model.graph.node if node.op_type == "Cast" and node.input[0] in tensors}
    products = [node for node in model.graph.node if node.op_type == "Mul" and node.input[0] in casts]
    if not products:
        return data
    for product in products:
        cast, factor = casts[product.input[0]], product.input[1]
        half = cast.input[0]
        name = half.removesuffix(_HALF)
        weight = numpy_helper.to_array(tensors[half]).astype(np.float32) * numpy_helper.to_array(tensors[factor])
        for used in (half, factor):
            model.graph.initializer.remove(tensors[used])
        model.graph.initializer.append(numpy_helper.from_array(weight, name))
        for node in model.graph.node:
            node.input[:] = [name if one == product.output[0] else one for one in node.input]
        for node in (cast, product):
            model.graph.node.remove(node)
    return canonical(model)


def split(graphs: Sequence[bytes]) -> tuple[list[bytes], bytes]:
    """The own part of each graph, and the part that follows it: large tensors that are the same in all of them."""
    models = [onnx.load_from_string(data) for data in graphs]
    kept = [
        {tensor.name: tensor.SerializeToString(deterministic=True) for tensor in m.graph.initializer} for m in models
    ]
    shared = [
        tensor
        for tensor in models[0].graph.initializer
        if len(tensor.raw_data) >= LEAST and all(k.get(tensor.name) == kept[0][tensor.name] for k in kept)
    ]
    names = {tensor.name for tensor in shared}
    tail = ModelProto()
    tail.graph.initializer.extend(shared)
    for model in models:
        own = [tensor for tensor in model.graph.initializer if tensor.name not in names]
        model.graph.ClearField("initializer")
        model.graph.initializer.extend(own)
    heads = [model.SerializeToString(deterministic=True) for model in models]
    return heads, tail.SerializeToString(deterministic=True)
