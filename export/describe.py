"""Bundle → what is in it: the manifest and the graph's size, parameters and operators."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

import onnx

from runtime.bundle.manifest import MODEL, InputContract, Level, Parity, Part, PlanKey, ScoreContract
from runtime.bundle.store import Bundle
from runtime.samplers.gpu.kernels import FOLDER


@dataclass(frozen=True)
class GraphSummary:
    """An ONNX graph in numbers. ``parameters`` counts the values of all initializers."""

    bytes: int
    opset: int
    nodes: int
    parameters: int
    operators: Mapping[str, int]


def summarise(data: bytes) -> GraphSummary:
    """Count a graph's nodes, parameters and operators, most frequent first."""
    model = onnx.load_from_string(data)
    operators = Counter(node.op_type for node in model.graph.node)
    return GraphSummary(
        bytes=len(data),
        opset=next(o.version for o in model.opset_import if o.domain == ""),
        nodes=len(model.graph.node),
        parameters=sum(prod(tensor.dims) for tensor in model.graph.initializer),
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))),
    )


def describe(bundle: Bundle) -> dict[str, Any]:
    """Manifest, digest and graph as one JSON-ready tree. Raises BundleError where model.onnx was altered."""
    graph = summarise(bundle.at(bundle.manifest.input.sigma).read(MODEL))
    return {"digest": bundle.digest, "graph": asdict(graph), "manifest": asdict(bundle.manifest)}


def table(bundle: Bundle) -> str:
    """The same for a reader: one line a fact."""
    manifest, graph = bundle.manifest, summarise(bundle.at(bundle.manifest.input.sigma).read(MODEL))
    defaults = manifest.defaults
    rows = [
        ("name", f"{manifest.name}, schema {manifest.schema}, model {bundle.digest[:16]}"),
        ("metric", _part(manifest.metric)),
        ("denoiser", _part(manifest.denoiser) if manifest.denoiser else "none: median smoothing alone"),
        ("score", _score(manifest.score)),
        (
            "noise",
            f"sigma {', '.join(f'{s:g}' for s in bundle.sigmas)} on the engine's input, "
            f"box downscale {manifest.input.downscale}",
        ),
        ("input", _input(manifest.input)),
        (
            "defaults",
            f"epsilon {defaults.epsilon:g}, alpha {defaults.alpha:g}, samples {defaults.samples}",
        ),
        (
            "graph",
            f"{graph.bytes / 1e6:.2f} MB, opset {graph.opset}, {graph.parameters:,} parameters, {graph.nodes} nodes",
        ),
        ("operators", ", ".join(f"{name} {count}" for name, count in graph.operators.items())),
    ]
    rows += [(f"parity {name}", _parity(parity)) for name, parity in manifest.parity.items()]
    for level in manifest.levels:
        rows.append((f"sigma {level.sigma:g}", _level(bundle, level)))
        rows += [(f"  parity {name}", _parity(parity)) for name, parity in level.parity.items()]
    rows += [(f"engine {engine.precision} {engine.sm}", _engine(engine)) for engine in manifest.engines.values()]
    kernels = [name for name in manifest.files if name.startswith(FOLDER)]
    if kernels:
        rows.append(("kernels", _kernels(kernels)))
    rows += [
        (f"file {name}", f"{entry.bytes:,} bytes, SHA-256 {entry.sha256}")
        for name, entry in manifest.files.items()
        if name not in kernels
    ]
    rows.append(("made with", ", ".join(f"{name} {version}" for name, version in manifest.made_with.items())))
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)


def _level(bundle: Bundle, level: Level) -> str:
    digest = f"model {bundle.at(level.sigma).digest[:16]}"
    if (measured := level.measured) is None:
        return f"{digest}, nothing measured"
    scored = f"SROCC {measured.srocc:.3f}, PLCC {measured.plcc:.3f} on {measured.rated} photographs"
    return f"{digest}, {scored}, scores {measured.low:.0f} … {measured.high:.0f}"


def _parity(parity: Parity) -> str:
    worst = f"score {parity.score_difference:.2g}, interval {parity.interval_difference:.2g}"
    return f"{worst} from {parity.reference} on {parity.pictures} photographs"


def _engine(engine: PlanKey) -> str:
    profile = engine.profile
    low, best, high = (f"{width}×{height}" for height, width in (profile.minimum, profile.optimum, profile.maximum))
    hardware = "" if engine.hardware == "same-sm" else f", {engine.hardware}"
    made_on = f", compiled on {engine.gpu}" if engine.gpu else ""
    return (
        f"{engine.flavour} {engine.version}{' and later' if engine.version_compatible else ''}{hardware}, batch "
        f"{profile.batch}, {low} to {high}, tuned for {best}{made_on}"
    )


def _kernels(names: Sequence[str]) -> str:
    sms = {int(found[1]) for found in (re.search(r"sm_(\d+)\.cubin$", name) for name in names) if found}
    return f"{len(names)} files, machine code for {', '.join(f'sm{sm}' for sm in sorted(sms))}, PTX for later GPUs"


def _part(part: Part) -> str:
    weights = f", weights {part.weights_sha256[:16]}" if part.weights_sha256 else ""
    return f"{part.name}, version {part.version}, licence {part.licence}, from {part.spec}{weights}"


def _score(score: ScoreContract) -> str:
    known = score.minimum is not None and score.maximum is not None
    limits = f"{score.minimum:g} … {score.maximum:g}" if known else "range not stated"
    tiles = "" if score.of_tiles is None else f", the {score.of_tiles} of the tiles' medians"
    return f"{limits}, {'higher' if score.higher_is_better else 'lower'} is better{tiles}"


def _input(contract: InputContract) -> str:
    if contract.tile is not None:
        size = f"frames of any size, in tiles of {contract.tile}×{contract.tile}"
    elif contract.height is not None and contract.width is not None:
        size = f"{contract.width}×{contract.height} only"
    else:
        size = f"any size from {contract.minimum_width}×{contract.minimum_height}"
    return f"{size}, batch {contract.batch or 'of any size'} (after the downscale)"
