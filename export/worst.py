"""Two versions of a graph → the layer where they part.

Both run on one noisy photograph with every layer's output shown. A layer's error is the largest difference of its
output relative to the largest value of it; what the layer adds is its error less the largest of its inputs'. An
activation only shows what the layer before it did, so its error counts as that layer's. The first layer that
overflows, else the one that adds most, is where fp16 is not enough.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, ValueInfoProto

from .canonical import INPUTS, PARAMETERS
from .emulate import emulated
from .sensitive import layers

_ACTIVATIONS = frozenset(["Clip", "Relu"])


@dataclass(frozen=True)
class Worst:
    """``layer``: name of the node. ``label``: the same with the parameters it holds. ``added``: error relative to
    its largest value, infinite where it overflows. ``largest``: that value in fp32, of its inputs too if it does."""

    layer: str
    label: str
    added: float
    largest: float

    def __str__(self) -> str:
        if self.added == float("inf"):
            return f"{self.label} overflows: its values reach {self.largest:.3g} in fp32, fp16 ends at 65504"
        return f"most of it arises in {self.label}, {self.added:.1e} of its largest value"


def worst_layer(
    fp32: ModelProto, fp16: ModelProto, samples: NDArray[np.float32], lattice_unit: NDArray[np.float32]
) -> Worst:
    """The layer that adds most error. The graphs name their values alike, as ``precision.halved`` leaves them."""
    found = layers(fp32)
    names = [node.output[0] for node in found.values()]
    rounded = emulated(fp16)
    wanted, ours = (_run(model, names, samples, lattice_unit) for model in (fp32, rounded))
    values = {name for node in rounded.graph.node for name in node.output}
    makers = {node.output[0]: node for node in found.values() if f"{node.output[0]}.half" in values}
    errors: dict[str, float] = {}
    worst: Worst | None = None
    for node in found.values():
        name = node.output[0]
        largest = float(np.abs(wanted[name]).max(initial=0.0))
        errors[name] = _error(wanted[name], ours[name], largest)
        if errors[name] == float("inf"):
            reached = max([largest, *(float(np.abs(wanted[value]).max()) for value in node.input if value in wanted)])
            return Worst(node.name, _label(node), errors[name], reached)
        maker = makers.get(node.input[0], node) if node.op_type in _ACTIVATIONS else node
        added = errors[name] - max((errors.get(value, 0.0) for value in maker.input), default=0.0)
        if worst is None or added > worst.added:
            worst = Worst(maker.name, _label(maker), added, largest)
    assert worst is not None, "a graph of a picture has layers"
    return worst


def _error(wanted: NDArray[np.float32], found: NDArray[np.float32], largest: float) -> float:
    if not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - wanted).max(initial=0.0)) / (largest or 1.0)


def _label(node: NodeProto) -> str:
    held = sorted({name.rpartition(".")[0] for name in node.input if name.startswith(PARAMETERS)})
    return f"{node.name} ({', '.join(held)})" if held else node.name


def _run(
    model: ModelProto, names: list[str], samples: NDArray[np.float32], lattice_unit: NDArray[np.float32]
) -> dict[str, NDArray[np.float32]]:
    shown = onnx.ModelProto()
    shown.CopyFrom(model)
    present = {value.name for value in shown.graph.output}
    shown.graph.output.extend(ValueInfoProto(name=name) for name in names if name not in present)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(shown.SerializeToString(), options, providers=["CPUExecutionProvider"])
    values = session.run(names, {INPUTS[0]: samples, INPUTS[1]: lattice_unit})
    return dict(zip(names, values, strict=True))
