"""SPECs → a checked bundle, in one straight line.

    load → contract → checks of the module → graph → checks of the graph → smallest input → parity → fp16, int8 → write

Nothing is written before everything has passed, and then all of it at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from runtime.bounds.aggregates import AGGREGATES, TRIM
from runtime.bundle.graphs import check_graph as check_allowed
from runtime.bundle.manifest import DEFAULTS, GRAPHS, MODEL, Defaults, InputContract, Manifest, Parity, ScoreContract
from runtime.bundle.store import Bundle, file_entry, write_bundle
from runtime.errors import ExportError
from runtime.version import __version__

from .checks.known_answer import known_answers
from .checks.parity import Measurement, check_parity, onnx_scores, torch_scores, with_minimum
from .checks.photographs import PHOTOGRAPHS, noisy, unit
from .checks.pure_function import check_finite, check_function
from .describe import summarise
from .graph.half_weights import with_half_weights
from .graph.onnx_export import check_graph, export_graph, trace_shape
from .networks.catalogue import SHIPPED_METRIC, denoiser_for
from .networks.fused import Fused, check_contract
from .networks.load import Loaded, load_denoiser, load_metric
from .precision.fp16 import to_fp16
from .precision.fp16_check import fp16_parity
from .precision.int8 import to_int8
from .precision.int8_check import int8_parity, seen_values
from .report import Report, silent

SIGMA, DOWNSCALE = 0.12, 2
NAME = "biqa"
CARD = "MODEL_CARD.md"

FP32, FP16, INT8 = "fp32", "fp16", "int8"
"""The variants' names in the manifest's parity table."""


def build(
    metric: str | nn.Module = SHIPPED_METRIC,
    denoiser: str | nn.Module | None = None,
    *,
    out: Path | str,
    metric_weights: Path | None = None,
    denoiser_weights: Path | None = None,
    metric_licence: str | None = None,
    denoiser_licence: str | None = None,
    metric_version: str | None = None,
    denoiser_version: str | None = None,
    sigma: float = SIGMA,
    downscale: int = DOWNSCALE,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    tile: int | None = None,
    aggregate: str | None = None,
    trim: float | None = None,
    score_range: tuple[float, float] | None = None,
    lower_is_better: bool | None = None,
    name: str = NAME,
    defaults: Defaults = DEFAULTS,
    fp16: bool = False,
    int8: bool = False,
    keep_fp32: Sequence[str] = (),
    half_weights: bool = False,
    report: Report = silent,
) -> Bundle:
    """Export a metric behind a denoiser and write the bundle: a directory, or a file that ends in ``.zip``.

    ``metric``, ``denoiser``: SPECs of ``load.py``, or modules. ``denoiser`` None: the one that ``catalogue.py`` has for
    the metric, which for one of your own is trained for pixels; "none": median smoothing alone. ``sigma``: noise on
    the engine's input, frames in [0, 1]. ``downscale``: k of the k×k box before it. ``batch``, ``size`` (height,
    width of the engine's input): fixed where given. ``tile``: T, for a graph that scores the T×T tiles of a frame each
    by itself; ``aggregate``: "mean" (the default), "trimmed_mean" or "median" of a frame's tiles, ``trim``: what a
    trimmed mean drops at each end. ``score_range``, ``lower_is_better``: override what is known of
    the metric. ``fp16``, ``int8``: add the graph in fp16, in int8, with the layers named in ``keep_fp32`` left in fp32.
    ``half_weights``: store what is a half float as one, in half the bytes and with the same scores.
    ``report`` is called with a line before each stage and for each warning.
    Raises ExportError with what is wrong and what to do, DependencyError, BundleError; then nothing is written.
    """
    height, width = size or (tile, tile)
    contract = InputContract(sigma=sigma, downscale=downscale, height=height, width=width, batch=batch, tile=tile)
    check_options(contract, score_range, name, defaults)
    aggregate, trim = _aggregate(contract, aggregate, trim)
    report("loading the metric and the denoiser")
    loaded_metric = load_metric(metric, metric_weights, licence=metric_licence, version=metric_version)
    chosen = denoiser_for(metric) if denoiser is None else denoiser
    loaded_denoiser = load_denoiser(chosen, denoiser_weights, licence=denoiser_licence, version=denoiser_version)
    if loaded_denoiser is not None and loaded_denoiser.sigma not in (None, sigma):
        trained_at = f"{loaded_denoiser.part.name} was trained at sigma {loaded_denoiser.sigma:g}"
        report(f"warning: {trained_at}, not {sigma:g}: intervals widen")
    fused = Fused(loaded_metric.module, loaded_denoiser.module if loaded_denoiser else None)

    report("checking the PyTorch network: finite, deterministic, one frame at a time")
    count, _, trace_height, trace_width = trace_shape(contract)
    samples = noisy(PHOTOGRAPHS[0], contract, trace_height, trace_width, 0, count)
    check_contract(fused, torch.from_numpy(samples), torch.from_numpy(unit(contract)))
    reference = torch_scores(fused, contract)
    check_function(reference, "the PyTorch network", contract, trace_height, trace_width)

    report("exporting to ONNX")
    data = export_graph(fused, contract)
    stored = with_half_weights(data) if half_weights else data
    graph = onnx_scores(stored, contract)
    summary = summarise(stored)
    report(f"the graph has {summary.nodes} nodes and {summary.parameters:,} parameters in {summary.bytes / 1e6:.2f} MB")
    check_function(graph, "the graph", contract, trace_height, trace_width)

    report("comparing the graph with PyTorch on noisy photographs")
    contract = with_minimum(reference, graph, contract)
    compared = check_parity(reference, graph, contract)
    parity = compared.parity
    report(
        f"parity: score {parity.score_difference:.2g}, interval {parity.interval_difference:.2g}, both in score units"
    )
    if compared.lowest == compared.highest:
        report(f"warning: every photograph scored {compared.lowest:g}: are the metric's weights loaded?")
    score = replace(_score(loaded_metric, score_range, lower_is_better, compared), aggregate=aggregate, trim=trim)
    if tile is not None and score.range is None:
        raise ExportError("tiles are bounded together, which takes a range of scores: state it with --score-range")

    contents, parities = {MODEL: stored}, {FP32: parity}
    if fp16:
        contents[GRAPHS[FP16]], parities[FP16] = fp16_variant(data, contract, score, keep_fp32, report)
    if int8:
        contents[GRAPHS[INT8]], parities[INT8] = int8_variant(data, contract, score, keep_fp32, report)
    for precision, file in GRAPHS.items():
        if file in contents:
            check_allowed(contents[file], precision)
    card = loaded_metric.card or (loaded_denoiser.card if loaded_denoiser else None)
    if card is not None and card.is_file():
        contents[CARD] = card.read_bytes()
    manifest = Manifest(
        name=name,
        files={file: file_entry(content) for file, content in contents.items()},
        input=contract,
        score=score,
        metric=loaded_metric.part,
        denoiser=loaded_denoiser.part if loaded_denoiser else None,
        defaults=defaults,
        parity=parities,
        made_with=made_with(),
        known_answers=known_answers(contents, contract, score),
    )
    bundle = write_bundle(Path(out), manifest, contents)
    report(f"wrote {out}")
    return bundle


def fp16_variant(
    data: bytes, contract: InputContract, score: ScoreContract, keep: Sequence[str], report: Report
) -> tuple[bytes, Parity]:
    """The graph in fp16, past its gate."""
    report("converting to fp16 and comparing with fp32 on noisy photographs")
    half = to_fp16(data, keep)
    check_graph(half, contract)
    count, _, height, width = trace_shape(contract)
    scores = onnx_scores(half, contract)(noisy(PHOTOGRAPHS[0], contract, height, width, 0, count))
    check_finite(scores, "the fp16 graph", height, width)
    parity = fp16_parity(data, half, contract, score, keep)
    _report_variant(FP16, half, parity, report)
    return half, parity


def int8_variant(
    data: bytes,
    contract: InputContract,
    score: ScoreContract,
    keep: Sequence[str],
    report: Report,
    codes: dict[str, NDArray[np.int8]] | None = None,
) -> tuple[bytes, Parity]:
    """The graph in int8, past its gate. It is run as it is, so its behaviour is checked as that of the graph was.

    ``codes``: of the weights, shared by noise levels (``to_int8``).
    """
    report("converting to int8 and comparing with fp32 on noisy photographs")
    small = to_int8(data, seen_values(data, contract), keep, codes)
    check_graph(small, contract)
    _, _, height, width = trace_shape(contract)
    check_function(onnx_scores(small, contract), "the int8 graph", contract, height, width)
    parity = int8_parity(data, small, contract, score)
    _report_variant(INT8, small, parity, report)
    return small, parity


def _report_variant(name: str, graph: bytes, parity: Parity, report: Report) -> None:
    report(
        f"{name}: {len(graph) / 1e6:.2f} MB; parity: score "
        f"{parity.score_difference:.2g}, interval {parity.interval_difference:.2g}, both in score units"
    )


def made_with() -> dict[str, str]:
    """Versions of what made the graph: the same from build to build in one environment."""
    return {"stochastic-biqa": __version__, **{name: version(name) for name in ("onnx", "onnxscript", "torch")}}


def check_options(
    contract: InputContract, score_range: tuple[float, float] | None, name: str, defaults: Defaults
) -> None:
    sizes = [n for n in (contract.batch, contract.height, contract.width, contract.tile) if n is not None]
    faults = {
        f"sigma {contract.sigma:g}: it lies in (0, 10]": 0 < contract.sigma <= 10,
        f"downscale {contract.downscale}: it is a whole number from 1": contract.downscale >= 1,
        "the batch and the size are whole numbers from 1": all(n >= 1 for n in sizes),
        f"the name {name!r} is no identifier: it becomes a key such as {NAME}_cert_lo": name.isidentifier(),
        "the score range goes from low to high": score_range is None or score_range[0] < score_range[1],
        f"epsilon {defaults.epsilon:g}: it is above 0": defaults.epsilon > 0,
        f"alpha {defaults.alpha:g}: it lies in (0, 1)": 0 < defaults.alpha < 1,
        f"samples {defaults.samples}: it is at least 1": defaults.samples >= 1,
    }
    for fault, right in faults.items():
        if not right:
            raise ExportError(fault)


def _aggregate(contract: InputContract, aggregate: str | None, trim: float | None) -> tuple[str | None, float | None]:
    """The aggregate of a graph of tiles and its trim, with their defaults; (None, None) for one of whole frames."""
    if contract.tile is None:
        if aggregate is not None or trim is not None:
            raise ExportError("--aggregate and --trim are of a frame's tiles: give --tile as well")
        return None, None
    if (contract.height, contract.width) != (contract.tile, contract.tile):
        raise ExportError("--tile fixes the engine's input, and --size another one: leave --size out")
    aggregate = aggregate or AGGREGATES[0]
    if aggregate not in AGGREGATES:
        raise ExportError(f"the aggregate is one of {', '.join(AGGREGATES)}, not {aggregate!r}")
    if aggregate != "trimmed_mean":
        if trim is not None:
            raise ExportError(f"--trim is of a trimmed mean: leave it out, or give --aggregate {AGGREGATES[1]}")
        return aggregate, None
    trim = TRIM if trim is None else float(trim)
    if not 0 < trim < 0.5:
        raise ExportError(f"trim {trim:g}: it lies between 0 and 0.5, a share of the tiles at each end")
    return aggregate, trim


def _score(
    loaded_metric: Loaded, score_range: tuple[float, float] | None, lower_is_better: bool | None, compared: Measurement
) -> ScoreContract:
    """What is stated of the score, or known of the metric; checked against what was measured."""
    known = loaded_metric.score or ScoreContract(None, None, higher_is_better=True)
    if score_range is not None:
        known = replace(known, minimum=float(score_range[0]), maximum=float(score_range[1]))
    if lower_is_better is not None:
        known = replace(known, higher_is_better=not lower_is_better)
    low = -float("inf") if known.minimum is None else known.minimum
    high = float("inf") if known.maximum is None else known.maximum
    if not low <= compared.lowest <= compared.highest <= high:
        raise ExportError(
            f"noisy photographs scored {compared.lowest:g} … {compared.highest:g}, outside the stated range "
            f"{low:g} … {high:g}: state the right one with --score-range LOW HIGH"
        )
    return known
