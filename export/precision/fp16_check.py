"""fp32 graph and fp16 graph → how far apart their scores are, or a refusal that names the layer.

The fp16 graph is run as ``fp16_emulation.py`` rewrites it, which rounds as a GPU does.

What fp16 costs is no error of the certificate: the fp16 network is certified as it is. It is a shift of the score,
and the tolerance says which shift is still the same metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, ValueInfoProto

from runtime.bundle.manifest import MODEL, InputContract, Parity, ScoreContract
from runtime.errors import ExportError

from ..checks.parity import measure, onnx_scores
from ..checks.photographs import noisy, unit
from ..checks.pure_function import span
from ..graph.canonical import INPUTS, PARAMETERS
from .fp16 import halved
from .fp16_emulation import emulated
from .layers import layers

_ACTIVATIONS = frozenset(["Clip", "Relu"])

FP16_TOLERANCE = 1e-2
"""Largest difference of a score, and with it of an interval's end, as a share of the score range; of the largest score
where the range is not known. Twice what rounding alone was measured to do: it moves the default model's scores by
0.27 of 100, those of the bilinear metric by 0.44 behind the denoiser and 0.35 without. Nearly all of it is the
weights' rounding, the same for every frame."""


def fp16_parity(
    fp32: bytes, fp16: bytes, contract: InputContract, score: ScoreContract, keep: Sequence[str] = ()
) -> Parity:
    """The differences between a graph and its fp16 variant on noisy photographs of every size.

    ``keep`` is what the variant was made with. Raises ExportError above ``FP16_TOLERANCE``, naming the layer that
    adds most.
    """

    def check(wanted: NDArray[np.float32], found: NDArray[np.float32], name: str, size: tuple[int, int]) -> None:
        share = float(np.abs(found - wanted).max()) / span(score, wanted)
        if share <= FP16_TOLERANCE:
            return
        moved = (
            f"moves scores by {share:.1%} of their range" if np.isfinite(share) else "gives scores that are no numbers"
        )
        samples = noisy(name, contract, *size, 0, contract.batch or 1)
        worst = worst_layer(onnx.load_from_string(fp32), halved(fp32, keep), samples, unit(contract))
        raise ExportError(
            f"fp16 {moved} at {size[1]}×{size[0]}, at most {FP16_TOLERANCE:.1%} is allowed: {worst}. Leave it in fp32 "
            f"with --keep-fp32 {worst.layer}, or build without --fp16"
        )

    rounded = emulated(onnx.load_from_string(fp16)).SerializeToString()
    return measure(onnx_scores(fp32, contract), onnx_scores(rounded, contract), contract, MODEL, check).parity


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
    assert worst is not None, "a graph of a frame has layers"
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
