"""Which layers must stay in fp32 when the rest of a graph becomes fp16.

fp16 has 11 significant bits and ends at 65,504. Rounding a feature map to it adds noise far below the noise that
is certified against; four things it does not survive:

- **scaling.** Lattice values reach (2ᵇ−1)k² and the unit 1/((2ᵇ−1)k²): both leave fp16's exact range. The product
  and its clamp stay, what comes after them is a frame in [0, 1].
- **norms and roots.** Normalisations, softmax, quotients, powers, roots, logarithms: differences of near numbers,
  squares that overflow, small divisors.
- **statistics.** Reductions over many pixels, the arithmetic that feeds one (``(x − mean)²``), and everything that
  has lost the frame's extent: what has no pixels is small, and it is what the score is made of. The score head
  is such a value.
- **constants** that fp16 cannot hold: beyond its range, or all of them below it (an ε of 1e-8).

Layers that move numbers without computing, and shape arithmetic that never saw a pixel, are not layers here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, defs, numpy_helper, shape_inference

from ..graph.canonical import INPUTS, OUTPUT

_NORMS = frozenset(
    [
        *("BatchNormalization", "GroupNormalization", "InstanceNormalization", "LayerNormalization"),
        *("LpNormalization", "LRN", "MeanVarianceNormalization", "RMSNormalization", "Softmax", "LogSoftmax"),
        *("Div", "Exp", "Log", "Pow", "Reciprocal", "Sqrt"),
    ]
)
_REDUCTIONS = frozenset(["GlobalAveragePool", "GlobalLpPool", "CumSum"])
_ARITHMETIC = frozenset(["Abs", "Add", "Mul", "Neg", "Sub", "Sum"])
_FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)

Shape = tuple[int | None, ...]


def half_types(node: NodeProto, opset: int) -> tuple[list[bool], list[bool]] | None:
    """For each input and output of a node: does it become fp16 when the node does? None where the node cannot.

    Read from ONNX's own schemas: fp16 are the inputs and outputs that share a type variable which allows it. ``roi``
    and ``scales`` of Resize, the result of a Cast or a Constant share none.
    """
    schema = defs.get_schema(node.op_type, opset, node.domain)
    allowed = {c.type_param_str for c in schema.type_constraints if "tensor(float16)" in c.allowed_type_strs}
    inputs = [schema.inputs[min(i, len(schema.inputs) - 1)].type_str for i in range(len(node.input))]
    outputs = [schema.outputs[min(i, len(schema.outputs) - 1)].type_str for i in range(len(node.output))]
    shared = allowed.intersection(inputs).intersection(outputs)
    if not shared:
        return None
    return [kind in shared for kind in inputs], [kind in shared for kind in outputs]


def layers(model: ModelProto) -> dict[str, NodeProto]:
    """Name → node of every layer that could run in fp16: it computes with pixels, and its operator has fp16."""
    types = _types(model)
    seen = {INPUTS[0]}
    found = {}
    opsets = {o.domain: o.version for o in model.opset_import}
    for node in model.graph.node:
        if node.op_type in ("Shape", "Size") or not seen.intersection(node.input):
            continue
        seen.update(name for name in node.output if types.get(name, (0, None))[0] in _FLOATS)
        has_body = any(a.type == AttributeProto.GRAPH for a in node.attribute)
        if not has_body and half_types(node, opsets[node.domain]) is not None:
            found[node.name] = node
    return found


def sensitive(model: ModelProto) -> set[str]:
    """Names of the layers that stay in fp32, of those :func:`layers` finds."""
    candidates = layers(model)
    shapes = {name: shape for name, (_, shape) in _types(model).items()}
    free = any(size is None for size in (shapes[INPUTS[0]] or ())[2:])
    producers = {name: node for node in candidates.values() for name in node.output}
    constants = {tensor.name: tensor for tensor in model.graph.initializer}

    statistics = {
        name
        for name, node in candidates.items()
        if node.op_type in _NORMS | _REDUCTIONS
        or node.op_type.startswith("Reduce")
        or any(_is_pooled(shapes.get(value), free) for value in node.output)
    }
    kept = statistics | _feeding((candidates[name] for name in statistics), producers)
    kept |= _scaling(candidates)
    kept |= {name for name, node in candidates.items() if OUTPUT in node.output or _unfit(node, constants)}
    return kept


def _types(model: ModelProto) -> Mapping[str, tuple[int, Shape | None]]:
    """Element type and shape of every value; a size that is not a fixed number is None, an unknown shape too."""
    graph: GraphProto = shape_inference.infer_shapes(model, data_prop=True).graph
    found: dict[str, tuple[int, Shape | None]] = {}
    for value in (*graph.value_info, *graph.input, *graph.output):
        tensor = value.type.tensor_type
        sizes = tuple(d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim)
        found[value.name] = (tensor.elem_type, sizes if tensor.HasField("shape") else None)
    return found


def _is_pooled(shape: Shape | None, free: bool) -> bool:
    """Has the value lost the frame's extent? In a graph of free size: no size depends on the frame's. In one
    of fixed size: at most one axis besides the batch is longer than 1."""
    if shape is None or None in shape[1:]:
        return False
    return free or sum(size != 1 for size in shape[1:]) <= 1


def _feeding(statistics: Iterable[NodeProto], producers: Mapping[str, NodeProto]) -> set[str]:
    """The chains of plain arithmetic that end in a statistic."""
    found: set[str] = set()
    waiting = list(statistics)
    while waiting:
        for name in waiting.pop().input:
            node = producers.get(name)
            if node is not None and node.op_type in _ARITHMETIC and node.name not in found:
                found.add(node.name)
                waiting.append(node)
    return found


def _scaling(candidates: Mapping[str, NodeProto]) -> set[str]:
    """The product of lattice and unit, and the clamp after it."""
    products = [node for node in candidates.values() if INPUTS[0] in node.input]
    scaled = {name for node in products for name in node.output}
    clamps = [n for n in candidates.values() if n.op_type == "Clip" and scaled.intersection(n.input)]
    return {node.name for node in (*products, *clamps)}


def _unfit(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    """Does a constant of the node leave fp16's range, or vanish below it?"""
    for name in node.input:
        if name not in constants or constants[name].data_type != TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(constants[name])
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.isfinite(half[np.isfinite(values)]).all() or (values.any() and not half.any()):
            return True
    return False
