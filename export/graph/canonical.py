"""ONNX model → the same function in a form that depends on nothing but the weights.

    names, doc strings, stack traces, paths, order of tables   →   one fixed spelling

An exporter names values after Python variables, keeps stack traces with local paths, and numbers what it
adds. None of that is the function, all of it changes the bytes, and the bundle's identity is a hash of the
bytes. Afterwards: parameters keep their PyTorch names (``metric.head.weight``), other constants are
``constant_<i>`` and nodes ``<Op>_<i>`` in order of use, a value is named after the node that makes it, and
initializers are sorted by name.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper
from onnx.inliner import inline_local_functions

from runtime.errors import ExportError

OPSET = 20
IR_VERSION = 10
GRAPH_NAME = "certified_function"
PRODUCER = "stochastic-biqa"

INPUTS = ("lattice", "unit")
OUTPUT = "score"
AXES = ("batch", "height", "width")

PARAMETERS = ("metric.", "denoiser.")
_LIMIT = 2**31 - 1  # protobuf's


def canonical(model: ModelProto) -> bytes:
    """The canonical bytes of a model with inputs ``lattice`` and ``unit`` and output ``score``."""
    if model.functions:
        model = inline_local_functions(model)
    result = ModelProto()
    result.ir_version = IR_VERSION
    result.producer_name = PRODUCER
    domains = {n.domain for g in _graphs(model.graph) for n in g.node}
    result.opset_import.extend(sorted((o for o in model.opset_import if o.domain in domains), key=lambda o: o.domain))
    result.graph.CopyFrom(model.graph)
    result.graph.name = GRAPH_NAME
    for graph in _graphs(result.graph):
        _strip(graph)
    _rename(result.graph)
    _name_axes(result.graph)
    if result.ByteSize() > _LIMIT:
        raise ExportError(
            f"the graph is {result.ByteSize() / 2**30:.1f} GiB: weights are embedded, which ends at 2 GiB"
        )
    data: bytes = result.SerializeToString(deterministic=True)
    return data


def _graphs(graph: GraphProto) -> Iterator[GraphProto]:
    """A graph and the bodies of its If, Loop and Scan nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                yield from _graphs(attribute.g)


def _strip(graph: GraphProto) -> None:
    for field in ("doc_string", "metadata_props", "value_info", "quantization_annotation"):
        graph.ClearField(field)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.ClearField("doc_string")
        value.ClearField("metadata_props")
    for node in graph.node:
        node.ClearField("doc_string")
        node.ClearField("metadata_props")
        attributes = sorted(node.attribute, key=lambda a: a.name)
        for attribute in attributes:
            attribute.ClearField("doc_string")
            if attribute.type == AttributeProto.TENSOR:
                attribute.t.CopyFrom(_raw(attribute.t, ""))
        fresh = [AttributeProto.FromString(a.SerializeToString()) for a in attributes]
        node.ClearField("attribute")
        node.attribute.extend(fresh)


def _raw(tensor: TensorProto, name: str) -> TensorProto:
    """The tensor with its values as raw bytes, whichever field held them."""
    return numpy_helper.from_array(numpy_helper.to_array(tensor), name)


class _Names:
    """Old name → new name, with one counter for the nodes of all graphs."""

    def __init__(self) -> None:
        self.nodes = 0
        self.constants = 0

    def node(self, node: NodeProto) -> str:
        self.nodes += 1
        return f"{node.op_type}_{self.nodes - 1}"

    def constant(self) -> str:
        self.constants += 1
        return f"constant_{self.constants - 1}"


def _rename(graph: GraphProto) -> None:
    kept = {name: name for name in ("", *INPUTS, OUTPUT)}
    _rename_graph(graph, kept, _Names())


def _rename_graph(graph: GraphProto, outer: dict[str, str], names: _Names) -> None:
    scope = dict(outer)
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    for value in graph.input:
        if value.name not in scope:
            scope[value.name] = names.constant()

    def renamed(name: str) -> str:
        # Constants are numbered as they are first used, not as the exporter happened to store them.
        if name not in scope:
            scope[name] = name if name.startswith(PARAMETERS) else names.constant()
        return scope[name]

    for node in graph.node:
        node.name = names.node(node)
        inputs = [renamed(name) for name in node.input]
        for index, name in enumerate(node.output):
            if name not in scope:
                scope[name] = node.name if index == 0 else f"{node.name}_{index}"
        outputs = [scope[name] for name in node.output]
        del node.input[:], node.output[:]
        node.input.extend(inputs)
        node.output.extend(outputs)
        for attribute in node.attribute:
            if attribute.type == AttributeProto.GRAPH:
                attribute.g.name = f"{node.name}_{attribute.name}"
                _rename_graph(attribute.g, scope, names)
    for value in (*graph.input, *graph.output):
        value.name = renamed(value.name)
    tensors = sorted((_raw(tensor, renamed(name)) for name, tensor in initializers.items()), key=lambda t: t.name)
    graph.ClearField("initializer")
    graph.initializer.extend(tensors)


def _name_axes(graph: GraphProto) -> None:
    """Call the free sizes batch, height and width."""
    lattice = graph.input[0].type.tensor_type.shape.dim
    score = graph.output[0].type.tensor_type.shape.dim
    for axis, name in ((lattice[0], AXES[0]), (lattice[2], AXES[1]), (lattice[3], AXES[2])):
        if not axis.HasField("dim_value"):
            axis.dim_param = name
    if lattice[0].HasField("dim_value"):
        score[0].dim_value = lattice[0].dim_value
    else:
        score[0].dim_param = AXES[0]
