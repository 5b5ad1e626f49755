"""Graph in fp32 → the same graph with its convolutions in int8: ``model.int8.onnx``.

    y = conv(x, w) + b        →        y.codes = Q(conv(DQ(x.codes), DQ(w.codes)) + b′)        x, y uint8, w int8

Convolutions with constant weights and sums of two maps compute with 8-bit integers; scaling, clamps, the residual
frame, pooling, statistics and the score head stay fp32 (``layers.py``). Weights have a scale for each output
channel; what their rounding takes from a channel on average, (w − DQ(w.codes))·mean(x), is added to its bias, which
halves the shift of the score. An activation right after such a layer is what the quantiser's saturation does: Relu
ends at 0, Clip(0, 6) at the largest value seen, which is no more than 6. Pixels move between space and channels as
codes.

uint8 times int8 is what CPUs have instructions for (AVX-VNNI, AVX512-VNNI). Where one has none, the runtime asks ONNX
Runtime for slower products that cannot saturate (``runtime/samplers/vnni.py``), so that the function stays the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from runtime.errors import ExportError

from ..checks.parity import open_session
from ..graph.canonical import INPUTS, canonical
from .layers import layers, sensitive


@dataclass(frozen=True)
class Seen:
    """Values of one layer on noisy photographs: least, largest, and the mean of each channel; 0 is always between."""

    low: float
    high: float
    mean: NDArray[np.float64]


_LEVELS = 255  # steps from the least to the largest uint8
_WEIGHT = 127  # the largest int8 weight; −128 is left out, so that zero lies in the middle


def to_int8(
    data: bytes,
    seen: Mapping[str, Seen],
    keep: Iterable[str] = (),
    codes: dict[str, NDArray[np.int8]] | None = None,
) -> bytes:
    """The canonical bytes of the int8 variant of a canonical graph.

    ``seen``: its values, from :func:`observe`. ``keep``: names of layers to leave in fp32, as an error of the
    parity gate names them. ``codes``: of the weights of other noise levels, which differ by a factor a channel and so
    have the same codes but for rounding: taken where they do, and added to. Raises ExportError for a name that is no
    layer, and where no layer is left to convert.
    """
    model = onnx.load_from_string(data)
    found = layers(model)
    if unknown := sorted(set(keep) - set(found)):
        raise ExportError(
            f"{', '.join(unknown)}: no layer of the graph has this name; its layers are {', '.join(found)}"
        )
    chosen = set(integer_layers(model)) - set(keep)
    if not chosen:
        raise ExportError("every layer of this graph stays in fp32: it has no use for an int8 variant")
    _Rewrite(model, chosen, seen, {} if codes is None else codes).run()
    return canonical(model)


def integer_layers(model: ModelProto) -> list[str]:
    """Names of the layers that become int8: convolutions with constant weights and sums of two maps."""
    constants = {tensor.name for tensor in model.graph.initializer}
    found, wide = layers(model), sensitive(model)
    made = {node.output[0] for node in found.values()}

    def fits(node: NodeProto) -> bool:
        if node.op_type == "Conv":
            return node.input[0] in made and constants.issuperset(node.input[1:])
        return node.op_type == "Add" and made.issuperset(node.input)

    return [name for name, node in found.items() if name not in wide and fits(node)]


def observe(data: bytes, samples: Sequence[NDArray[np.float32]], unit: NDArray[np.float32]) -> dict[str, Seen]:
    """Name → what the layers make of noisy lattices, each N×3×h×w."""
    model = onnx.load_from_string(data)
    names = [node.output[0] for node in layers(model).values()]
    present = {value.name for value in model.graph.output}
    model.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in present)
    session = open_session(model.SerializeToString())
    parts: dict[str, list[Seen]] = {}
    for batch in samples:
        for name, values in zip(names, session.run(names, {INPUTS[0]: batch, INPUTS[1]: unit}), strict=True):
            if values.ndim > 1:
                mean = values.mean(tuple(a for a in range(values.ndim) if a != 1), dtype=np.float64)
                parts.setdefault(name, []).append(Seen(float(values.min()), float(values.max()), mean))
    return {
        name: Seen(
            min(0.0, *(s.low for s in some)), max(0.0, *(s.high for s in some)), np.mean([s.mean for s in some], 0)
        )
        for name, some in parts.items()
    }


class _Rewrite:
    """One pass over a model, in place.

    ``scales``: of the values that exist as codes by now. ``read``: value → the name of what its codes stand for, its
    own where it was made as codes.
    """

    def __init__(
        self, model: ModelProto, chosen: set[str], seen: Mapping[str, Seen], codes: dict[str, NDArray[np.int8]]
    ) -> None:
        self.codes = codes
        self.graph = model.graph
        self.chosen = chosen
        self.seen = seen
        self.constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in self.graph.initializer}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in self.graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)
        self.scales: dict[str, np.float32] = {}
        self.read: dict[str, str] = {}
        self.nodes: list[NodeProto] = []
        self.tensors: list[TensorProto] = []

    def run(self) -> None:
        absorbed: set[str] = set()
        for node in list(self.graph.node):
            if node.name in absorbed:
                continue
            if node.name in self.chosen:
                activation = self._activation(node)
                absorbed |= {activation.name} if activation else set()
                self._layer(node, (activation or node).output[0])
            elif node.op_type == "DepthToSpace" and self.read.get(node.input[0]) == node.input[0]:
                self._move(node)
            else:
                self.nodes.append(node)
        used = {name for node in self.nodes for name in node.input}
        kept = [tensor for tensor in (*self.graph.initializer, *self.tensors) if tensor.name in used]
        for field, values in (("node", self.nodes), ("initializer", kept)):
            self.graph.ClearField(field)
            getattr(self.graph, field).extend(values)

    def _activation(self, node: NodeProto) -> NodeProto | None:
        """The activation that alone reads the layer, where saturation does the same: it ends at 0 below."""
        readers = self.readers.get(node.output[0], [])
        if len(readers) != 1:
            return None
        reader = readers[0]
        low = reader.input[1] if reader.op_type == "Clip" and len(reader.input) > 1 else ""
        ends_at_zero = low in self.constants and not self.constants[low].any()
        return reader if reader.op_type == "Relu" or ends_at_zero else None

    def _layer(self, node: NodeProto, result: str) -> None:
        """One layer between a quantiser and the readers of its inputs; ``result`` is what others call its output."""
        maps = 1 if node.op_type == "Conv" else 2
        sources = list(node.input[:maps])
        node.input[:maps] = [self._rounded(name) for name in sources]
        if node.op_type == "Conv":
            self._parameters(node, sources[0])
        node.output[0] = f"{result}.exact"
        self.nodes.append(node)
        self._quantise(f"{result}.exact", result)
        self._decode(result, f"{result}.codes", result)
        self.read[result] = result

    def _rounded(self, name: str) -> str:
        """The name under which a value is read from its codes."""
        if name not in self.read:
            self._quantise(name, name)
            self._decode(name, f"{name}.codes", f"{name}.rounded")
            self.read[name] = f"{name}.rounded"
        return self.read[name]

    def _move(self, node: NodeProto) -> None:
        """The same on codes; the result has the scale of what it moves."""
        source, result = node.input[0], node.output[0]
        self.scales[result] = self.scales[source]
        self.read[result] = result
        node.input[0], node.output[0] = f"{source}.codes", f"{result}.codes"
        self.nodes.append(node)
        self._decode(source, f"{result}.codes", result)

    def _quantise(self, value: str, name: str) -> None:
        """Codes of a value, ``name.codes``, with the scale of its range."""
        low, high = self.seen[name].low, self.seen[name].high
        scale = np.float32((high - low) / _LEVELS) or np.float32(1)
        self.scales[name] = scale
        self._constant(f"{name}.scale", scale)
        self._constant(f"{name}.zero", np.uint8(np.rint(-low / scale)))
        codes = [value, f"{name}.scale", f"{name}.zero"]
        self.nodes.append(helper.make_node("QuantizeLinear", codes, [f"{name}.codes"]))

    def _decode(self, scaled: str, codes: str, result: str) -> None:
        """The fp32 values of codes that have the scale of ``scaled``."""
        self.nodes.append(helper.make_node("DequantizeLinear", [codes, f"{scaled}.scale", f"{scaled}.zero"], [result]))

    def _parameters(self, node: NodeProto, source: str) -> None:
        """Weights as int8 and the bias as int32 of a convolution that reads the codes of ``source``."""
        weight = self.constants[node.input[1]].astype(np.float64)
        steps = (np.abs(weight).reshape(len(weight), -1).max(1) / _WEIGHT).astype(np.float32)
        steps[steps == 0] = 1
        wide = steps.reshape(-1, *[1] * (weight.ndim - 1))
        codes = np.rint(weight / wide)
        known = self.codes.setdefault(node.input[1], codes.astype(np.int8))
        if known.shape == codes.shape and np.abs(known - codes).max() <= 1:
            codes = known.astype(np.float64)
        lost = (weight - codes * wide).reshape(*weight.shape[:2], -1).sum(2)
        group = np.arange(len(weight)) * (len(self.seen[source].mean) // weight.shape[1]) // len(weight)
        read = group[:, None] * weight.shape[1] + np.arange(weight.shape[1])
        bias = (lost * self.seen[source].mean[read]).sum(1)
        if len(node.input) > 2:
            bias += self.constants[node.input[2]]
        sums = steps * self.scales[source]
        name, limit = node.input[1], np.iinfo(np.int32).max
        node.input[1] = self._channels(name, codes.astype(np.int8), steps)
        shifts = np.clip(np.rint(bias / sums), -limit, limit).astype(np.int32)
        node.input[2:] = [self._channels(f"{name}.bias", shifts, sums)]

    def _channels(self, name: str, codes: NDArray[Any], steps: NDArray[np.float32]) -> str:
        """The name of a parameter read from codes with a scale for each output channel."""
        kind = str(codes.dtype)
        parts = f"{name}.{kind}", f"{name}.{kind}.scale", f"{name}.{kind}.zero"
        for part, values in zip(parts, (codes, steps, np.zeros(len(steps), codes.dtype)), strict=True):
            self._constant(part, values)
        self.nodes.append(helper.make_node("DequantizeLinear", parts, [f"{name}.read"], axis=0))
        return f"{name}.read"

    def _constant(self, name: str, values: NDArray[Any] | np.generic) -> None:
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
