"""Graph → the answer that the runtime asks for at opening: scores of one tiny frame, with their tolerance."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from runtime.bundle.manifest import GRAPHS, InputContract, KnownAnswer, ScoreContract
from runtime.noise.table import table_for
from runtime.samplers.known_answer import known_lattice, noise_sha256, noisy_copies, table_sha256

from .parity import onnx_scores

TOLERANCES = {"fp32": 1e-3, "fp16": 1e-2, "int8": 1e-2}
"""Of the score range, or of the largest score from 1 on where it is not known. Other orders of float32 sums move a
score by 1e-5 of it; what fp16 and int8 may differ by from unit to unit is bounded by their own checks."""


def known_answers(contents: dict[str, bytes], contract: InputContract, score: ScoreContract) -> dict[str, KnownAnswer]:
    """SHA-256 of each graph among ``contents`` → its answer; none where its only size is large."""
    lattice = known_lattice(contract)
    if lattice is None:
        return {}
    noisy, table, found = noisy_copies(contract, lattice), table_for(contract.sigma, lattice), {}
    for precision, name in GRAPHS.items():
        if name in contents:
            scores = _scores(contents[name], contract, noisy)
            size = max(1.0, *map(abs, scores)) if score.range is None else score.range[1] - score.range[0]
            found[hashlib.sha256(contents[name]).hexdigest()] = KnownAnswer(
                name,
                contract.sigma,
                table_sha256(table),
                noise_sha256(noisy),
                tuple(scores),
                TOLERANCES[precision] * size,
            )
    return found


def _scores(graph: bytes, contract: InputContract, noisy: NDArray[np.float32]) -> list[float]:
    """In calls of the graph's batch; where that is fixed the last one is filled up with the first copy."""
    batch, score = contract.batch or len(noisy), onnx_scores(graph, contract)
    filled = np.concatenate([noisy, np.repeat(noisy[:1], -len(noisy) % batch, axis=0)])
    made = [score(filled[start : start + batch]) for start in range(0, len(filled), batch)]
    return [float(value) for value in np.concatenate(made)[: len(noisy)]]
