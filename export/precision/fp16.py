"""Graph in fp32 → the same graph with its large layers in fp16: ``model.fp16.onnx``.

    every layer fp16, except those that ``layers.py`` names; inputs and score fp32

Each value gets the type of the layer that makes it, and a Cast stands only where the two types meet, so a chain of
fp32 layers is never rounded in between: nine casts for the default model. (Given the same list of layers, ONNX
Runtime's converter puts 146, a pair between every two that stay, and onnxconverter-common's gives one type to
constants that both kinds share, which no runtime loads.)
The result states the type of every tensor, which is what a strongly typed TensorRT network is built from.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from runtime.errors import ExportError

from ..graph.canonical import canonical
from .layers import half_types, layers, sensitive


def to_fp16(data: bytes, keep: Iterable[str] = ()) -> bytes:
    """The canonical bytes of the fp16 variant of a canonical graph.

    ``keep``: names of further layers to leave in fp32, as an error of the parity gate names them. Raises
    ExportError for a name that is no layer, and where no layer is left to convert.
    """
    return canonical(halved(data, keep))


def halved(data: bytes, keep: Iterable[str] = ()) -> ModelProto:
    """The same before its values are named anew: each still has the name it has in the fp32 graph."""
    model = onnx.load_from_string(data)
    found = layers(model)
    if unknown := sorted(set(keep) - set(found)):
        raise ExportError(
            f"{', '.join(unknown)}: no layer of the graph has this name; its layers are {', '.join(found)}"
        )
    chosen = set(found) - sensitive(model) - set(keep)
    if not chosen:
        raise ExportError("every layer of this graph stays in fp32: it has no use for an fp16 variant")
    _Rewrite(model, chosen).run()
    return model


class _Rewrite:
    """One pass over a model, in place: which values are fp16 by now, and the casts already made."""

    def __init__(self, model: ModelProto, chosen: set[str]) -> None:
        self.graph: GraphProto = model.graph
        self.opsets = {o.domain: o.version for o in model.opset_import}
        self.chosen = chosen
        self.constants = {t.name: t for t in self.graph.initializer if t.data_type == TensorProto.FLOAT}
        self.halves: set[str] = set()
        self.made: dict[tuple[str, bool], str] = {}
        self.nodes: list[NodeProto] = []

    def run(self) -> None:
        for node in list(self.graph.node):
            self._convert(node)
        used = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in self.graph.initializer if tensor.name in used]
        for field, values in (("node", self.nodes), ("initializer", kept)):
            self.graph.ClearField(field)
            getattr(self.graph, field).extend(values)

    def _convert(self, node: NodeProto) -> None:
        types = half_types(node, self.opsets[node.domain]) if node.name in self.chosen else None
        inputs, outputs = types or ([False] * len(node.input), [False] * len(node.output))
        for index, half in enumerate(inputs):
            node.input[index] = self._as(node.input[index], half)
        self.halves.update(name for name, half in zip(node.output, outputs, strict=True) if half)
        self.nodes.append(node)

    def _as(self, name: str, half: bool) -> str:
        """The name under which a value or constant is fp16, or is not. Integers are never asked to be."""
        if not name or half == (name in self.halves):
            return name
        if (name, half) not in self.made:
            self.made[name, half] = self._constant(name) if name in self.constants else self._cast(name, half)
        return self.made[name, half]

    def _cast(self, name: str, half: bool) -> str:
        cast = f"{name}.fp16" if half else f"{name}.fp32"
        to = TensorProto.FLOAT16 if half else TensorProto.FLOAT
        self.nodes.append(helper.make_node("Cast", [name], [cast], to=to))
        return cast

    def _constant(self, name: str) -> str:
        values = numpy_helper.to_array(self.constants[name]).astype(np.float16)
        self.graph.initializer.append(numpy_helper.from_array(values, f"{name}.fp16"))
        return f"{name}.fp16"
