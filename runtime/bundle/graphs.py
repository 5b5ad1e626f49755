"""What a graph may hold, checked before ONNX Runtime sees a byte of it.

    operators    those of ``OPERATORS``, of ONNX's own domain, opsets ``OPSETS``: pure functions of their inputs
    none of      subgraphs (If, Loop, Scan), functions, sparse or string tensors, training graphs, unknown fields
    weights      inside the file: a tensor that names another file is refused
    constants    what depends on no frame is at most a cast, a change of shape, or a product that is as large as its
                 larger factor (the weights of a noise level): folding it at opening costs nothing

So a graph is a straight line of at most ``MOST_NODES`` steps, its result depends on its inputs alone, and opening it
reads no other file. What running it may cost is the other half: ``samplers/trial.py``.

ONNX's field numbers are those of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto. A message that is there twice
is merged, as protobuf's own readers do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import zip_longest

from ..errors import BundleError
from .wire import fields, varints

OPSETS = range(13, 25)
"""Versions of ONNX's operators. Ours are 20."""

MOST_NODES = 50_000

_ALLOWED = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
BitwiseNot BitwiseOr BitwiseXor Cast CastLike Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv ConvInteger
ConvTranspose Cos Cosh CumSum DFT DeformConv DepthToSpace DequantizeLinear Det Div DynamicQuantizeLinear Einsum Elu
Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool
GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Hardmax Identity
InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LpNormalization
LpPool MatMul MatMulInteger Max MaxPool MaxUnpool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not OneHot Or
PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RMSNormalization RNN Range Reciprocal ReduceL1 ReduceL2
ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus Softsign
SpaceToDepth Split Sqrt Squeeze Sub Sum Swish Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
"""

OPERATORS = frozenset(_ALLOWED.split())

_FREE = frozenset(
    (
        "Cast", "CastLike", "Constant", "DequantizeLinear", "Flatten", "Identity", "QuantizeLinear", "Reshape", "Shape",
        "Size", "Squeeze", "Transpose", "Unsqueeze",
    )
)  # fmt: skip
"""What may be done to constants alone: its output has no more values than its first input."""

_SMALL = 1 << 16
"""Values: sums and the like of constants that small are free as well."""

_GROWING = frozenset(("ConstantOfShape", "Expand", "EyeLike", "OneHot", "Pad", "Range", "Resize", "Tile"))
"""A few numbers in, any number out."""

_CODES = frozenset(("QuantizeLinear", "DequantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger"))
"""Operators of integer graphs: what a graph in fp32 or fp16 has none of."""

_MODEL = {1, 2, 3, 4, 5, 6, 7, 8, 14}  # neither training_info (20), functions (25) nor configuration (26)
_GRAPH = {1, 2, 5, 10, 11, 12, 13, 14, 16}  # no sparse_initializer (15)
_NODE = {1, 2, 3, 4, 5, 6, 7, 9}  # no overload (8)
_ATTRIBUTE = {1, 2, 3, 4, 5, 7, 8, 9, 13, 20}  # neither graphs (6, 11), types (14, 15), references (21) nor sparse ones
_TENSOR = {1, 2, 4, 5, 7, 8, 9, 10, 11, 12, 14, 16}  # neither segment (3), strings (6) nor external_data (13)
_STRING = 8  # TensorProto.STRING


@dataclass
class _Graph:
    """What the walk over a graph gathers. ``sizes``: most values of what depends on constants alone, by name.

    ``shapes``: of stored tensors and their casts.
    """

    opsets: dict[str, int] = field(default_factory=dict)
    nodes: list[memoryview] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)


def check_graph(data: bytes, precision: str = "fp32") -> None:
    """Raise BundleError, naming what it found, for a graph that holds what is not allowed. ``precision``: as stated."""
    graph = _Graph()
    _read_model(memoryview(data), graph)
    if not graph.nodes:
        raise BundleError("the graph has no node: it is no ONNX graph")
    if len(graph.nodes) > MOST_NODES:
        raise BundleError(f"the graph has {len(graph.nodes)} nodes, and {MOST_NODES} is the most that is opened")
    if not OPSETS.start <= graph.opsets.get("", 0) < OPSETS.stop:
        raise BundleError(
            f"the graph has opset {graph.opsets.get('')}, this runtime takes {OPSETS.start} to {OPSETS.stop - 1}: "
            "build it again with `biqa build`"
        )
    found = {_read_node(node, graph) for node in graph.nodes}
    if precision != "int8" and found & _CODES:
        raise BundleError(
            f"the graph holds {', '.join(sorted(found & _CODES))}, so it is one in int8, and the bundle calls it "
            f"{precision}: its variants were swapped; build it again with `biqa build`"
        )


def _read_model(model: memoryview, graph: _Graph) -> None:
    for number, value in _known(model, _MODEL, "model"):
        if number == 7:
            _read_graph(_message(value), graph)
        elif number == 8:
            domain, version = "", 0
            for part, held in _known(_message(value), {1, 2}, "opset"):
                if part == 1:
                    domain = _text(held)
                elif isinstance(held, int):
                    version = held
            domain = "" if domain == "ai.onnx" else domain
            if domain:
                raise BundleError(
                    f"the graph takes operators of {domain!r}: ONNX's own are allowed, others run code of their makers"
                )
            graph.opsets[domain] = version


def _read_graph(message: memoryview, graph: _Graph) -> None:
    for number, value in _known(message, _GRAPH, "graph"):
        if number == 1:
            graph.nodes.append(_message(value))
        elif number == 5:
            name, shape = _read_tensor(_message(value))
            graph.sizes[name], graph.shapes[name] = math.prod(shape), shape


def _read_node(node: memoryview, graph: _Graph) -> str:
    """The node's operator, after its checks."""
    inputs: list[str] = []
    outputs: list[str] = []
    operator, domain, held = "", "", 0
    for number, value in _known(node, _NODE, "node"):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            operator = _text(value)
        elif number == 7:
            domain = _text(value)
        elif number == 5:
            held += _read_attribute(_message(value))
    if domain not in ("", "ai.onnx") or operator not in OPERATORS:
        raise BundleError(
            f"the graph holds the operator {operator!r} of {domain or 'ai.onnx'!r}, which is not one of those that are "
            "allowed (docs/bundle.md): rewrite that part of the network with others, and build it again"
        )
    if all(not name or name in graph.sizes for name in inputs):
        _check_constant(operator, inputs, outputs, held, graph)
    return operator


def _check_constant(operator: str, inputs: list[str], outputs: list[str], held: int, graph: _Graph) -> None:
    """What ONNX Runtime computes once, at opening, without a limit: note its size, or refuse it."""
    sizes = [graph.sizes[name] for name in inputs if name]
    most = 1
    for size in sizes:
        most *= max(size, 1)
    if operator in _FREE:
        most = max([*sizes[:1], held])
    elif operator == "Concat":
        most = sum(sizes)
    product = _product(operator, inputs, graph)
    if product is not None:
        most = product
    if (operator not in _FREE and product is None and most > _SMALL) or operator in _GROWING:
        raise BundleError(
            f"the graph holds a {operator} of constants alone, which would be computed at opening without a limit: "
            "`biqa build` puts its result into the graph; build it again"
        )
    for name in outputs:
        graph.sizes[name] = most
        if operator == "Cast" and inputs[0] in graph.shapes:
            graph.shapes[name] = graph.shapes[inputs[0]]


def _product(operator: str, inputs: list[str], graph: _Graph) -> int | None:
    """The size of a product of two tensors of known shapes that is no larger than the larger; None of anything else."""
    shapes = [graph.shapes.get(name) for name in inputs]
    if operator != "Mul" or len(shapes) != 2 or shapes[0] is None or shapes[1] is None:
        return None
    sides = zip_longest(reversed(shapes[0]), reversed(shapes[1]), fillvalue=1)
    size = math.prod(max(pair) if min(pair) else 0 for pair in sides)
    return size if size <= max(graph.sizes[name] for name in inputs) else None


def _read_attribute(attribute: memoryview) -> int:
    """The number of values of the tensors it holds."""
    held = 0
    for number, value in _known(attribute, _ATTRIBUTE, "attribute (a subgraph, a type or a reference)"):
        if number in (5, 10):
            held += math.prod(_read_tensor(_message(value))[1])
        elif number in (7, 8, 9):
            held += 1 if isinstance(value, int) else len(value)
    return held


def _read_tensor(tensor: memoryview) -> tuple[str, tuple[int, ...]]:
    """(name, shape) of a tensor whose values are in it."""
    name, dims = "", list[int]()
    for number, value in fields(tensor):
        if number == 13 or (number == 14 and value != 0):
            raise BundleError(
                "the graph keeps a tensor in another file: weights are part of the graph, so that its SHA-256 covers "
                "them; build it again with `biqa build`"
            )
        if number not in _TENSOR or (number == 2 and value == _STRING):
            raise BundleError(
                f"the graph holds a tensor of text or of unknown fields ({number}): only numbers are allowed"
            )
        if number == 1:
            dims += [value] if isinstance(value, int) else varints(value)
        elif number == 8:
            name = _text(value)
    size = 1
    for dim in dims:
        size *= dim
    if size >> 31:
        raise BundleError(f"the graph states a tensor of {dims} values, more than a graph can hold")
    return name, tuple(dims)


def _known(message: memoryview, known: set[int], what: str) -> list[tuple[int, int | memoryview]]:
    found = list(fields(message))
    if unknown := {number for number, _ in found} - known:
        raise BundleError(
            f"the graph's {what} has fields that are not allowed: {sorted(unknown)}; no subgraphs, functions, sparse "
            "tensors or training graphs (docs/bundle.md)"
        )
    return found


def _message(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise BundleError("the graph is no ONNX: a number stands where a message should")
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_message(value)).decode()
    except UnicodeDecodeError:
        raise BundleError("the graph is no ONNX: a name is not UTF-8") from None
