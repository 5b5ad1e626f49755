"""Two forms of one function → how far apart they are where it matters: PyTorch and its graph, fp32 and fp16.

On noisy photographs of several sizes: the largest difference of a score, and of the two ends of the interval
a small certificate would give. Order statistics are 1-Lipschitz in the largest score difference, so the
interval can differ by no more than the scores do: one tolerance serves both, the second number says what a
user sees. It is also where the smallest input is found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from runtime.bounds.ranks import interval, order_statistics, sorted_sides
from runtime.bundle.manifest import InputContract, Parity
from runtime.errors import ExportError
from runtime.samplers.vnni import EXACT_PRODUCTS, exact_products

from ..graph.canonical import INPUTS, OUTPUT
from ..graph.onnx_export import trace_shape
from ..networks.fused import Fused
from .photographs import PHOTOGRAPHS, noisy, unit
from .pure_function import Scores, check_finite, scale

TOLERANCE = 1e-4
"""Largest difference between PyTorch and the graph, relative to the scores. Another order of float32 sums moves
a deep network's score by 1e-7 to 1e-5 of it; a real difference (padding on the other side, another epsilon,
a branch frozen at the traced size) by 1e-3 and more."""

SAMPLES, SHIFT, ALPHA = 64, 0.5, 1e-3
"""The small certificate: ranks 8 and 57 of 64, of the default ε/σ's order."""

SIZES = ((128, 128), (97, 131), (160, 96), (101, 89))
"""Engine input of each photograph: a multiple of 32, two odd ones, portrait and landscape."""

FURTHER_SIZES = ((256, 320), (389, 211))
"""Sizes beyond the traced one, on either side, compared on two samples."""

_CHUNK = 8


Check = Callable[[NDArray[np.float32], NDArray[np.float32], str, tuple[int, int]], None]
"""Raises ExportError where the wanted scores and those found are too far apart; a photograph's name and a size
(height, width) say where."""


@dataclass(frozen=True)
class Measurement:
    """What :func:`check_parity` measured; ``lowest`` and ``highest`` score of all samples of all photographs."""

    parity: Parity
    lowest: float
    highest: float


def torch_scores(fused: Fused, contract: InputContract) -> Scores:
    """Score by running the PyTorch module, on one thread."""
    lattice_unit = torch.from_numpy(unit(contract))

    def scores(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        # One thread: the reference is then the same on any number of cores, and threads that share a busy core
        # with another program would wait for each other far longer than they work.
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            with torch.no_grad():
                result: NDArray[np.float32] = fused(torch.from_numpy(samples), lattice_unit).numpy()
        finally:
            torch.set_num_threads(threads)
        return result

    return scores


def open_session(data: bytes) -> onnxruntime.InferenceSession:
    """The graph in ONNX Runtime on the CPU, run as the runtime runs it. Raises ExportError where it does not load."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # failures are raised, and probing for the smallest input provokes them
    options.add_session_config_entry(EXACT_PRODUCTS, exact_products())
    try:
        return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(f"ONNX Runtime does not load the graph: {error}") from error


def onnx_scores(data: bytes, contract: InputContract) -> Scores:
    """Score by running the graph in ONNX Runtime on the CPU. Raises ExportError where it does not load."""
    session = open_session(data)
    lattice_unit = unit(contract)

    def scores(samples: NDArray[np.float32]) -> NDArray[np.float32]:
        result: NDArray[np.float32] = session.run([OUTPUT], {INPUTS[0]: samples, INPUTS[1]: lattice_unit})[0]
        return result

    return scores


def with_minimum(reference: Scores, graph: Scores, contract: InputContract) -> InputContract:
    """The contract with the smallest square both sides run at, found by bisection below the traced size."""
    if contract.height is not None and contract.width is not None:
        return replace(contract, minimum_height=contract.height, minimum_width=contract.width)

    def runs(size: int) -> bool:
        sample = noisy(PHOTOGRAPHS[0], contract, size, size, 0, contract.batch or 1)
        return all(_finite(scores, sample) for scores in (reference, graph))

    fails, works = 0, min(trace_shape(contract)[2:])
    if not runs(works):
        raise ExportError(
            f"the graph does not run at {works}×{works}, though PyTorch exported it: the network seems to take one "
            "size only, pass --size HEIGHTxWIDTH"
        )
    while works - fails > 1:
        size = (works + fails) // 2
        fails, works = (fails, size) if runs(size) else (size, works)
    return replace(contract, minimum_height=works, minimum_width=works)


def _finite(scores: Scores, sample: NDArray[np.float32]) -> bool:
    # Any exception means the same here: this size is too small for a layer, and each layer has its own words.
    try:
        return bool(np.isfinite(scores(sample)).all())
    except Exception:
        return False


def check_parity(reference: Scores, graph: Scores, contract: InputContract) -> Measurement:
    """Compare PyTorch and the graph on noisy photographs. Raises ExportError above ``TOLERANCE``."""
    return measure(reference, graph, contract, "pytorch fp32", _check_rounding)


def measure(reference: Scores, graph: Scores, contract: InputContract, name: str, check: Check) -> Measurement:
    """Compare both sides on noisy photographs at every size; ``name`` is the reference's in the manifest.

    Raises ExportError where ``check`` does, and where a size is taken by one side only.
    """
    ranks = order_statistics(SAMPLES, SHIFT, ALPHA)
    score_difference = interval_difference = 0.0
    seen: list[NDArray[np.float32]] = []
    for photograph, size in zip(PHOTOGRAPHS, SIZES, strict=True):
        wanted, found = _both(reference, graph, photograph, _fit(size, contract), SAMPLES, contract, check)
        ends = [np.array(interval(*sorted_sides(scores), ranks)) for scores in (wanted, found)]
        score_difference = max(score_difference, float(np.abs(wanted - found).max()))
        interval_difference = max(interval_difference, float(np.abs(ends[0] - ends[1]).max()))
        seen.append(wanted)
    if contract.height is None or contract.width is None:
        low = (contract.minimum_height, contract.minimum_width)
        for size in (low, (low[0] + 1, low[1] + 6), *FURTHER_SIZES):
            wanted, found = _both(reference, graph, PHOTOGRAPHS[0], _fit(size, contract), 2, contract, check)
            score_difference = max(score_difference, float(np.abs(wanted - found).max()))
    parity = Parity(name, len(PHOTOGRAPHS), score_difference, interval_difference)
    scores = np.concatenate(seen)
    return Measurement(parity, float(scores.min()), float(scores.max()))


def _fit(size: tuple[int, int], contract: InputContract) -> tuple[int, int]:
    """The contract's fixed size, or this one enlarged to its minimum."""
    return (
        contract.height or max(size[0], contract.minimum_height),
        contract.width or max(size[1], contract.minimum_width),
    )


def _both(
    reference: Scores,
    graph: Scores,
    name: str,
    size: tuple[int, int],
    count: int,
    contract: InputContract,
    check: Check,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``count`` scores of one photograph by both sides, checked."""
    chunk = contract.batch or min(_CHUNK, count)
    wanted, found = [], []
    for start in range(0, count, chunk):
        samples = noisy(name, contract, *size, start, chunk)
        wanted.append(_scored(reference, samples, "PyTorch"))
        found.append(_scored(graph, samples, "the graph"))
    theirs, ours = np.concatenate(wanted)[:count], np.concatenate(found)[:count]
    check(theirs, ours, name, size)
    return theirs, ours


def _check_rounding(wanted: NDArray[np.float32], found: NDArray[np.float32], _: str, size: tuple[int, int]) -> None:
    """PyTorch and the graph differ by the order of their sums only."""
    check_finite(wanted, "PyTorch", *size)
    check_finite(found, "the graph", *size)
    difference = float(np.abs(found - wanted).max()) / scale(wanted)
    if not difference <= TOLERANCE:
        raise ExportError(
            f"the graph's scores differ from PyTorch's by {difference:.1e} of the score at {size[1]}×{size[0]}, "
            f"{TOLERANCE:.0e} is rounding: the network branches on the frame's size (pass --size HEIGHTxWIDTH), "
            "or these are not the weights the graph was made from"
        )


def _scored(scores: Scores, samples: NDArray[np.float32], subject: str) -> NDArray[np.float32]:
    height, width = samples.shape[2:]
    try:
        return scores(samples)
    except Exception as error:
        first = str(error).splitlines()[0]
        raise ExportError(
            f"{subject} fails at {width}×{height}, though smaller and larger frames work ({first}): the network "
            "takes some sizes only; pad inside it, or pass --size HEIGHTxWIDTH"
        ) from error
