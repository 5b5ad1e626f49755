"""Graphs that read other files, run other code, or ask for hours and gigabytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

Attack = Callable[[], bytes]

MEAN = helper.make_node("ReduceMean", ["image", "axes"], ["score"], keepdims=0)
SCALED = helper.make_node("Mul", ["lattice", "unit"], ["image"])


def model(nodes: Sequence[NodeProto], *, domain: str = "", opset: int = 18, **constants: NDArray[Any]) -> ModelProto:
    """Inputs and output of a bundle's graph around these nodes."""
    held = {"axes": np.array([1, 2, 3]), **constants}
    graph = helper.make_graph(
        list(nodes),
        "attack",
        [
            helper.make_tensor_value_info("lattice", TensorProto.FLOAT, ["n", 3, "h", "w"]),
            helper.make_tensor_value_info("unit", TensorProto.FLOAT, [1]),
        ],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n"])],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    opsets = [helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def _bytes(*nodes: NodeProto, **options: Any) -> Attack:
    return lambda: model(nodes, **options).SerializeToString()


def outside_tensor() -> bytes:
    """Weights in /etc/passwd."""
    made = model([SCALED, MEAN])
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    return made.SerializeToString()


def outside_attribute() -> bytes:
    """The same in a Constant."""
    made = model([helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(1))), SCALED, MEAN])
    made.graph.node[0].attribute[0].t.external_data.add(key="location", value="../secret")
    return made.SerializeToString()


def loop() -> bytes:
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"])],
        "body",
        [helper.make_tensor_value_info("i", TensorProto.INT64, []), helper.make_tensor_value_info("c", 9, [])],
        [helper.make_tensor_value_info("d", 9, [])],
    )
    return model([SCALED, helper.make_node("Loop", ["n", "t"], [], body=body), MEAN]).SerializeToString()


def hidden_subgraph() -> bytes:
    """A body in an operator that has none."""
    node = helper.make_node("Identity", ["image"], ["x"], body=GraphProto())
    return model([SCALED, node, MEAN]).SerializeToString()


def function() -> bytes:
    made = model([SCALED, MEAN])
    made.functions.add(name="Relu", domain="")
    return made.SerializeToString()


def many_nodes() -> bytes:
    nodes = [helper.make_node("Relu", [f"x{i}"], [f"x{i + 1}"]) for i in range(50_001)]
    return model([SCALED, *nodes, MEAN]).SerializeToString()


def doubled_constants() -> bytes:
    """A constant doubled forty times, which opening would compute."""
    nodes = [helper.make_node("Concat", [f"c{i}"] * 2, [f"c{i + 1}"], axis=0) for i in range(40)]
    return model([*nodes, SCALED, MEAN], c0=np.ones(1, np.float32)).SerializeToString()


def multiplied_constants() -> bytes:
    """Hours of products of one matrix with itself, which opening would compute."""
    nodes = [helper.make_node("MatMul", [f"c{i}", "c0"], [f"c{i + 1}"]) for i in range(1000)]
    return model([*nodes, SCALED, MEAN], c0=np.ones((3000, 3000), np.float32)).SerializeToString()


def outer_product() -> bytes:
    """A column times a row: a matrix of ten thousand million values, which opening would compute."""
    node = helper.make_node("Mul", ["column", "row"], ["matrix"])
    column, row = np.ones((100_000, 1), np.float32), np.ones((1, 100_000), np.float32)
    return model([node, SCALED, MEAN], column=column, row=row).SerializeToString()


def gigabytes() -> bytes:
    """A frame laid beside itself a hundred thousand times."""
    expand = helper.make_node("Expand", ["image", "shape"], ["wide"])
    mean = helper.make_node("ReduceMean", ["wide", "all"], ["score"], keepdims=0)
    shape, axes = np.array([100_000, 1, 1, 1, 1]), np.array([0, 2, 3, 4])
    return model([SCALED, expand, mean], shape=shape, all=axes).SerializeToString()


def hours() -> bytes:
    """A frame through ten thousand products with one large matrix: hours, in a few megabytes."""
    start = [
        helper.make_node("ReduceMean", ["image", "axes"], ["mean"], keepdims=1),
        helper.make_node("Squeeze", ["mean", "last"], ["m"]),
        helper.make_node("Mul", ["m", "weights"], ["x0"]),
    ]
    steps = [helper.make_node("MatMul", [f"x{i}", "weights"], [f"x{i + 1}"]) for i in range(10_000)]
    end = helper.make_node("ReduceMean", ["x10000", "axes"], ["score"], keepdims=0)
    weights = np.full((1, 1, 1024, 1024), 1 / 1024, np.float32)
    last = helper.make_node("Identity", ["mean"], ["m"])
    start[1] = last
    return model([SCALED, *start, *steps, end], weights=weights).SerializeToString()


RELU = helper.make_node("Relu", ["image"], ["x"])

FORBIDDEN: dict[str, tuple[Attack, str]] = {
    "weights in another file": (outside_tensor, "keeps a tensor in another file"),
    "an attribute in another file": (outside_attribute, "keeps a tensor in another file"),
    "loop": (loop, "fields that are not allowed|operator 'Loop'"),
    "subgraph where none belongs": (hidden_subgraph, "no subgraphs"),
    "function": (function, "no subgraphs, functions"),
    "operator of another maker": (
        _bytes(SCALED, helper.make_node("Run", ["image"], ["x"], domain="evil"), MEAN, domain="evil"),
        "operators of 'evil'",
    ),
    "operator of ONNX Runtime's own": (
        _bytes(SCALED, helper.make_node("Inverse", ["image"], ["x"], domain="com.microsoft"), MEAN),
        "which is not one of those that are allowed",
    ),
    "chance": (
        _bytes(SCALED, helper.make_node("RandomNormalLike", ["image"], ["x"]), MEAN),
        "operator 'RandomNormalLike'",
    ),
    "opset of tomorrow": (_bytes(SCALED, MEAN, opset=99), "opset 99, this runtime takes 13 to 24"),
    "opset of long ago": (_bytes(SCALED, MEAN, opset=7), "opset 7"),
    "text": (_bytes(SCALED, MEAN, words=np.array(["a"], object)), "tensor of text"),
    "too many nodes": (many_nodes, "50000 is the most"),
    "constants doubled": (doubled_constants, "constants alone"),
    "constants multiplied": (multiplied_constants, "constants alone"),
    "constants multiplied to a matrix": (outer_product, "constants alone"),
    "int8 under the name of fp32": (
        _bytes(
            SCALED,
            helper.make_node("QuantizeLinear", ["image", "scale", "zero"], ["x"]),
            MEAN,
            scale=np.ones((), np.float32),
            zero=np.zeros((), np.uint8),
        ),
        "its variants were swapped",
    ),
}
"""Refused before ONNX Runtime sees them."""

COSTLY: dict[str, tuple[Attack, str]] = {
    "gigabytes for a small frame": (gigabytes, "takes more than 2 GiB"),
    "hours for a small frame": (hours, "is not done after"),
}
"""Refused by the trial of the smallest frame."""
