"""A trained family of noise levels → one bundle, each level checked as a bundle of its own would be.

    family → one export → for each level: its weights → checks → parity with PyTorch → fp16, int8 → split → write

The levels have one network and differ in weights alone, so it is traced once. What was measured of each level
(benchmarks/frontier.py) is put beside it: the runtime chooses by it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.bundle.levels import choose
from runtime.bundle.manifest import (
    DEFAULTS,
    FAMILY_SCHEMA,
    GRAPHS,
    LEVELS,
    MODEL,
    Defaults,
    InputContract,
    KnownAnswer,
    Level,
    Manifest,
    Measured,
    Part,
    ScoreContract,
    part_name,
)
from runtime.bundle.store import Bundle, file_entry, write_bundle
from runtime.errors import ExportError

from .build import DOWNSCALE, FP16, FP32, INT8, NAME, check_options, fp16_variant, int8_variant, made_with
from .checks.known_answer import known_answers
from .checks.parity import check_parity, onnx_scores, torch_scores, with_minimum
from .checks.pure_function import check_function
from .graph.onnx_export import check_graph, export_graph, trace_shape
from .graph.shared import factored, folded, split
from .networks.catalogue import MODEL_CARD, WEIGHTS
from .networks.fused import Fused
from .report import Report, silent

__all__ = ["FAMILY"]

FAMILY = WEIGHTS / "levels.safetensors"
MEASURED = WEIGHTS / "levels.measured.json"
"""What was measured of the levels of the family that ships."""

_SCORE = ScoreContract(0.0, 100.0, higher_is_better=True)


def build_family(
    weights: Path | str = FAMILY,
    *,
    out: Path | str,
    measured: Path | str | None = None,
    downscale: int = DOWNSCALE,
    name: str = NAME,
    defaults: Defaults = DEFAULTS,
    fp16: bool = False,
    int8: bool = False,
    keep_fp32: Sequence[str] = (),
    report: Report = silent,
) -> Bundle:
    """Export a family as ``training.recipes.levels`` stores it and write its bundle: a directory or a ``.zip``.

    ``measured``: JSON of ``benchmarks.frontier`` on the same weights; None for that of the family that ships, where it
    is this one, else none. The other arguments are those of ``build``. Raises ExportError with what is wrong and what
    to do, BundleError; then nothing is written.
    """
    path = Path(weights)
    family, _, _ = _load(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    contract = InputContract(sigma=family.sigmas[0], downscale=downscale)
    check_options(contract, None, name, defaults)
    figures = read_measured(measured, digest)

    report("exporting to ONNX")
    codes: dict[str, NDArray[np.int8]] = {}
    graphs: dict[str, list[bytes]] = {}
    levels = []
    for sigma, fused, graph in level_graphs(path, contract):
        report(f"level sigma {sigma:g}")
        check_graph(graph, contract)
        contract = replace(contract, sigma=sigma)
        reference, scores = torch_scores(fused, contract), onnx_scores(graph, contract)
        _, _, height, width = trace_shape(contract)
        check_function(scores, f"the graph at sigma {sigma:g}", contract, height, width)
        if sigma == family.sigmas[0]:
            contract = with_minimum(reference, scores, contract)
        parities = {FP32: check_parity(reference, scores, contract).parity}
        made = {MODEL: graph}
        plain = folded(graph)
        if fp16:
            made[GRAPHS[FP16]], parities[FP16] = fp16_variant(plain, contract, _SCORE, keep_fp32, report)
        if int8:
            made[GRAPHS[INT8]], parities[INT8] = int8_variant(plain, contract, _SCORE, keep_fp32, report, codes)
        for file, content in made.items():
            graphs.setdefault(file, []).append(content)
        levels.append(Level(sigma, {}, parities, figures.get(sigma)))

    contents: dict[str, bytes] = {}
    stored: list[dict[str, bytes]] = [{} for _ in levels]
    for file, whole in graphs.items():
        heads, tail = split(whole)
        contents[part_name(file, None)] = tail
        for index, head in enumerate(heads):
            contents[part_name(file, levels[index].sigma)] = head
            stored[index][file] = head + tail
            entries = {**levels[index].graphs, file: file_entry(head + tail)}
            levels[index] = replace(levels[index], graphs=entries)
    if MODEL_CARD.is_file() and path.resolve() == FAMILY.resolve():
        contents[MODEL_CARD.name] = MODEL_CARD.read_bytes()
    answers: dict[str, KnownAnswer] = {}
    for level, whole_graphs in zip(levels, stored, strict=True):
        answers |= known_answers(whole_graphs, replace(contract, sigma=level.sigma), _SCORE)
    manifest = Manifest(
        name=name,
        files={file: file_entry(content) for file, content in contents.items()},
        input=replace(contract, sigma=family.sigmas[0]),
        score=_SCORE,
        metric=_part("metric", path, digest),
        denoiser=_part("denoiser", path, digest),
        defaults=defaults,
        parity={},
        made_with=made_with(),
        schema=FAMILY_SCHEMA,
        levels=tuple(levels),
        known_answers=answers,
    )
    if figures:
        choice = choose(manifest, defaults.epsilon, defaults.alpha, defaults.samples, "smoothed")
        manifest = replace(manifest, input=replace(manifest.input, sigma=choice.sigma))
    bundle = write_bundle(Path(out), manifest, contents)
    total = sum(len(data) for file, data in contents.items() if file.startswith(LEVELS))
    report(f"wrote {out}: {len(levels)} levels in {total / 1e6:.2f} MB")
    return bundle


def level_graphs(path: Path, contract: InputContract) -> Iterator[tuple[float, Fused, bytes]]:
    """σ, the networks and the graph of each level of a family, its weights factored. Raises ExportError."""
    family, plain_pair, factors_at = _load(path)
    data = export_graph(Fused(family.pair.metric, family.pair.denoiser), contract)
    for sigma in family.sigmas:
        pair = plain_pair(family, sigma)
        fused = Fused(pair.metric, pair.denoiser)
        own = {name: value.numpy() for name, value in fused.state_dict().items()}
        factors = factors_at(family, sigma)
        yield sigma, fused, factored(data, factors, {n: v for n, v in own.items() if n not in factors})


def read_measured(path: Path | str | None, digest: str) -> dict[float, Measured]:
    """σ → what was measured of it, of a family with these weights. None: where the shipped figures are of this one.

    Raises ExportError for a file that is none, or of other weights.
    """
    source = MEASURED if path is None else Path(path)
    try:
        tree: Any = json.loads(source.read_text())
        found = {float(sigma): _measured(entry) for sigma, entry in tree["levels"].items()}
        of_weights = tree["weights_sha256"]
    except FileNotFoundError:
        if path is None:
            return {}
        raise ExportError(f"{source} does not exist: benchmarks.frontier writes it") from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ExportError(f"{source} is not what benchmarks.frontier writes: {error!r}") from None
    if of_weights == digest:
        return found
    if path is None:
        return {}
    raise ExportError(f"{source} was measured of weights {of_weights[:12]}…, these are {digest[:12]}…: measure again")


def _measured(entry: dict[str, Any]) -> Measured:
    return Measured(**{**entry, "z": tuple(entry["z"]), "offsets": tuple(entry["offsets"])})


def _load(path: Path) -> tuple[Any, Any, Any]:
    """The family, and the functions that make a level's networks and factors of it."""
    from importlib import import_module

    levelled = import_module("training.networks.levelled")  # by name, as the catalogue's specs are: no arrow goes there
    try:
        return levelled.load_family(path), levelled.plain_pair, levelled.factors_at
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise ExportError(f"{path} is not a family of noise levels: {str(error).splitlines()[0]}") from None


def level_network(path: Path, sigma: float) -> Fused:
    """One level of a family as the function that is certified, for the parity of a bundle that is there."""
    family, plain_pair, _ = _load(path)
    pair = plain_pair(family, sigma)
    return Fused(pair.metric, pair.denoiser)


def _part(role: str, path: Path, digest: str) -> Part:
    shipped = path.resolve() == FAMILY.resolve()
    version, licence = ("1", "Apache-2.0") if shipped else ("unstated", "unstated")
    return Part(f"{path.stem}_{role}", version, licence, "training.networks.levelled:load_family", digest)
