"""Fused PyTorch module → checked ONNX bytes.

    torch.onnx.export(dynamo=True)  →  constant folding, padding folded into convolutions  →  space_to_depth.py
    →  canonical.py  →  checker and strict shape inference

**Free sizes.** Tracing follows one example, and a branch on the example's size is frozen into the graph
without a word: at a height that is a multiple of 8, ``pad(-height % 8)`` is traced as no padding at all. The
example's sizes are therefore primes, for which no ``size % m == 0`` holds, ``checks/parity.py`` compares the graph
with PyTorch at sizes of every kind, and where a network still allows one size only the error says so.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import torch

from runtime.bundle.manifest import InputContract
from runtime.errors import ExportError

from ..networks.fused import Fused
from .canonical import INPUTS, OPSET, OUTPUT, canonical
from .space_to_depth import fold_channel_orders
from .translations import TRANSLATIONS

TRACE_BATCH, TRACE_HEIGHT, TRACE_WIDTH = 3, 263, 293
"""Sizes of the example where they are free."""


def trace_shape(contract: InputContract) -> tuple[int, int, int, int]:
    """N×3×h×w of the example the graph is traced with."""
    return contract.batch or TRACE_BATCH, 3, contract.height or TRACE_HEIGHT, contract.width or TRACE_WIDTH


def export_graph(fused: Fused, contract: InputContract) -> bytes:
    """The canonical, checked ONNX bytes of ``fused``.

    Sizes that ``contract`` leaves None are free in the graph. Raises ExportError where PyTorch cannot export
    the network, or not with free sizes.
    """
    free = [axis for axis, size in ((0, contract.batch), (2, contract.height), (3, contract.width)) if size is None]
    shapes = {INPUTS[0]: dict.fromkeys(free, torch.export.Dim.DYNAMIC) or None, INPUTS[1]: None}
    try:
        with _quiet(), _plain_attention():
            program = torch.onnx.export(
                fused,
                (torch.rand(trace_shape(contract)), torch.ones(1)),
                dynamo=True,
                dynamic_shapes=shapes,
                input_names=INPUTS,
                output_names=[OUTPUT],
                opset_version=OPSET,
                custom_translation_table=TRANSLATIONS,
                optimize=True,
                verbose=False,
            )
            if program is None:
                raise AssertionError("torch.onnx.export returned no program")
            model = program.model_proto
    except Exception as error:
        if not free:
            raise ExportError(f"the network cannot be exported to ONNX: {_cause(error)}") from error
        axes = " and ".join({0: "batch", 2: "height", 3: "width"}[axis] for axis in free)
        raise ExportError(
            f"the network cannot be exported with free {axes}: {_cause(error)}. If it takes one size only, pass "
            "--size HEIGHTxWIDTH (of the engine's input, after the downscale), and --batch N if it takes one batch size"
        ) from error
    fold_channel_orders(model)
    data = canonical(model)
    check_graph(data, contract)
    return data


def check_graph(data: bytes, contract: InputContract) -> onnx.ModelProto:
    """Parse a graph, run ONNX's full checker and strict shape inference, and compare its ends with the contract.

    Raises ExportError naming what is wrong.
    """
    try:
        model = onnx.load_from_string(data)
        onnx.checker.check_model(model, full_check=True)
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except Exception as error:
        raise ExportError(f"the graph is not valid ONNX: {error}") from error
    found = {value.name: _sizes(value) for value in (*inferred.graph.input, *inferred.graph.output)}
    wanted = {
        INPUTS[0]: (contract.batch, 3, contract.height, contract.width),
        INPUTS[1]: (1,),
        OUTPUT: (contract.batch,),
    }
    if found != wanted:
        raise ExportError(f"the graph's inputs and outputs are {found}, the contract asks for {wanted} (None: free)")
    return model


def _sizes(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    return tuple(d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on itself (missing torchvision, its own deprecations) off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _plain_attention() -> Iterator[None]:
    """Have ``nn.TransformerEncoderLayer`` traced as the operations it is made of: PyTorch's one fused operation, which
    it takes in evaluation mode, has no translation."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def _cause(error: BaseException) -> str:
    """The first sentence of the innermost exception: the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    said = lines[0] if lines else "no message"
    if said.endswith(":") and len(lines) > 1:  # a heading: what it is about comes under it
        said = f"{said} {lines[1].removeprefix('- ')}"
    return f"{type(error).__name__}: {said.removesuffix('.')}"
