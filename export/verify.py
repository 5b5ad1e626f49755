"""Bundle → the same proof that was made when it was built, made again here.

Hashes, ONNX's checker, the graph's behaviour in this machine's ONNX Runtime, and its parity with PyTorch
where both parts can be loaded. A manifest may come from anyone, so the code a SPEC in it names is never
imported: parts are loaded from our own catalogue, or from a SPEC the user gives.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from runtime.bundle.manifest import GRAPHS, MODEL, Parity, Part
from runtime.bundle.store import Bundle
from runtime.errors import ExportError

from .build import FP16, INT8
from .checks.parity import check_parity, onnx_scores, torch_scores
from .checks.pure_function import Scores, check_function
from .family import FAMILY, level_network
from .graph.onnx_export import check_graph
from .graph.shared import folded
from .networks.catalogue import DENOISERS, METRICS, NO_DENOISER, Entry
from .networks.fused import Fused
from .networks.load import Loaded, load_denoiser, load_metric
from .precision.fp16_check import fp16_parity
from .precision.int8_check import int8_parity
from .report import Report, silent

_SIZE = 128


def verify(
    bundle: Bundle,
    *,
    metric: str | nn.Module | None = None,
    denoiser: str | nn.Module | None = None,
    metric_weights: Path | None = None,
    denoiser_weights: Path | None = None,
    report: Report = silent,
) -> Parity | None:
    """Verify a bundle; the parity measured here, None where a part could not be loaded.

    ``metric``, ``denoiser``: SPECs or modules the bundle was built from, where they are not in the catalogue.
    Raises BundleError for an altered file, ExportError for anything else that no longer holds.
    """
    bundle.verify()
    report(f"files: {len(bundle.manifest.files)} as the manifest names them")
    if bundle.manifest.levels:
        return _verify_family(bundle, metric_weights, report)
    contract = bundle.manifest.input
    graph = _verify_graphs(bundle, report)

    parts = bundle.manifest.metric, bundle.manifest.denoiser
    metric = metric or _in_catalogue(parts[0], METRICS)
    denoiser = denoiser or (NO_DENOISER if parts[1] is None else _in_catalogue(parts[1], DENOISERS))
    if metric is None or denoiser is None:
        missing = " and ".join(f"--{n}" for n, s in (("metric", metric), ("denoiser", denoiser)) if s is None)
        report(f"parity: not measured, the parts are not in the catalogue: name them with {missing}")
        return None
    loaded_metric, loaded_denoiser = load_metric(metric, metric_weights), load_denoiser(denoiser, denoiser_weights)
    _check_part("metric", loaded_metric, parts[0])
    _check_part("denoiser", loaded_denoiser, parts[1])
    reference = torch_scores(Fused(loaded_metric.module, loaded_denoiser.module if loaded_denoiser else None), contract)
    measured = check_parity(reference, graph, contract).parity
    report(
        f"parity: score {measured.score_difference:.2g}, interval {measured.interval_difference:.2g}, in score units"
    )
    return measured


def _verify_graphs(bundle: Bundle, report: Report) -> Scores:
    """Everything that takes no PyTorch, of a bundle of one level; its graph."""
    contract = bundle.manifest.input
    data = bundle.read(MODEL)
    check_graph(data, contract)
    report("graph: valid ONNX with the stated inputs and outputs")
    graph = onnx_scores(data, contract)
    height = contract.height or max(_SIZE, contract.minimum_height)
    width = contract.width or max(_SIZE, contract.minimum_width)
    largest = check_function(graph, "the graph", contract, height, width)
    report(f"function: finite, deterministic, independent of the batch to {largest:.1e} of the score")
    plain = folded(data)
    if GRAPHS[FP16] in bundle.manifest.files:
        half = bundle.read(GRAPHS[FP16])
        check_graph(half, contract)
        rounded = fp16_parity(plain, half, contract, bundle.manifest.score)
        report(f"fp16: score {rounded.score_difference:.2g}, interval {rounded.interval_difference:.2g} from fp32")
    if GRAPHS[INT8] in bundle.manifest.files:
        small = bundle.read(GRAPHS[INT8])
        check_graph(small, contract)
        check_function(onnx_scores(small, contract), "the int8 graph", contract, height, width)
        coded = int8_parity(plain, small, contract, bundle.manifest.score)
        report(f"int8: score {coded.score_difference:.2g}, interval {coded.interval_difference:.2g} from fp32")
    return graph


def _verify_family(bundle: Bundle, weights: Path | None, report: Report) -> Parity | None:
    """Every level; the parity of the one that differs most, None where its weights are not here."""
    path = weights or FAMILY
    known = path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == bundle.manifest.metric.weights_sha256
    measured = []
    for sigma in bundle.sigmas:
        report(f"sigma {sigma:g}")
        level = bundle.at(sigma)
        graph = _verify_graphs(level, report)
        if known:
            contract = level.manifest.input
            parity = check_parity(torch_scores(level_network(path, sigma), contract), graph, contract).parity
            worst = f"score {parity.score_difference:.2g}, interval {parity.interval_difference:.2g}"
            report(f"parity: {worst}, in score units")
            measured.append(parity)
    if not known:
        report("parity: not measured, the family's weights are not here: name them with --metric-weights")
    return max(measured, key=lambda parity: parity.score_difference, default=None)


def _in_catalogue(part: Part, entries: Mapping[str, Entry]) -> str | None:
    """The catalogue's name of a part that was built from it."""
    entry = entries.get(part.name)
    return part.name if entry is not None and entry.spec == part.spec else None


def _check_part(role: str, loaded: Loaded | None, part: Part | None) -> None:
    """Raises ExportError unless both are absent or made from the same weights file."""
    if loaded is None or part is None:
        if loaded is not None or part is not None:
            raise ExportError(
                f"the bundle was built {'with' if part else 'without'} a {role}: name the same one with --{role}"
            )
    elif loaded.part.weights_sha256 != part.weights_sha256:
        raise ExportError(
            f"the {role} was built from weights {part.weights_sha256}, these are {loaded.part.weights_sha256}: "
            f"name the right file with --{role}-weights"
        )
