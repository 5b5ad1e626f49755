"""fp32 graph → its int8 variant, and how far apart their scores are, or a refusal that names the layer.

What is seen of the values and the differences are both of noisy photographs, but of other noise and another size. What
int8 costs is no error of the certificate: the int8 network is certified as it is. It is a shift of the score, and the
tolerance says which shift is still the same metric.
"""

from __future__ import annotations

from typing import NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray

from runtime.bundle.manifest import MODEL, InputContract, Parity, ScoreContract
from runtime.errors import ExportError

from ..checks.parity import measure, onnx_scores
from ..checks.photographs import PHOTOGRAPHS, noisy, unit
from ..checks.pure_function import span
from .int8 import Seen, integer_layers, observe, to_int8

SCORE_TOLERANCE, INTERVAL_TOLERANCE = 5e-2, 1.5e-2
"""Largest difference of one noisy score, and of an end of the small certificate's interval, as a share of the score
range; of the largest score where the range is not known. About twice what was measured: 1.7 and 0.4 of 100 for the
default model, 3.1 and 0.5 for the bilinear metric behind its denoiser, 1.6 and 0.6, 2.2 and 0.4 for the two without.
Rounding moves scores up and down, so the ends of an interval move less; and it moves those of small frames most."""

_SIZE = 256
_START, _COUNT = 1000, 4  # samples whose noise checks/parity.py does not draw


def seen_values(data: bytes, contract: InputContract) -> dict[str, Seen]:
    """What a graph makes of noisy photographs."""
    height = contract.height or max(_SIZE, contract.minimum_height)
    width = contract.width or max(_SIZE, contract.minimum_width)
    count = contract.batch or _COUNT
    return observe(data, [noisy(name, contract, height, width, _START, count) for name in PHOTOGRAPHS], unit(contract))


def int8_parity(data: bytes, int8: bytes, contract: InputContract, score: ScoreContract) -> Parity:
    """The differences between a graph and its int8 variant on noisy photographs of every size.

    Raises ExportError above ``SCORE_TOLERANCE`` or ``INTERVAL_TOLERANCE``, naming the layer that alone in int8 moves
    scores most.
    """

    def refuse(what: str, share: float, allowed: float, name: str, size: tuple[int, int]) -> NoReturn:
        moved = f"moves {what} by {share:.1%} of their range" if np.isfinite(share) else "gives no finite scores"
        layer, alone = _worst(data, contract, noisy(name, contract, *size, 0, contract.batch or _COUNT))
        raise ExportError(
            f"int8 {moved} at {size[1]}×{size[0]}, at most {allowed:.1%} is allowed: {layer} alone moves a score by "
            f"{alone:.2g}. Leave it in fp32 with --keep-fp32 {layer}, or build without --int8"
        )

    def check(wanted: NDArray[np.float32], found: NDArray[np.float32], name: str, size: tuple[int, int]) -> None:
        share = float(np.abs(found - wanted).max()) / span(score, wanted)
        # Negated so that a NaN is refused as well.
        if not share <= SCORE_TOLERANCE:
            refuse("scores", share, SCORE_TOLERANCE, name, size)

    measured = measure(onnx_scores(data, contract), onnx_scores(int8, contract), contract, MODEL, check)
    ends = np.array([measured.lowest, measured.highest], np.float32)
    share = measured.parity.interval_difference / span(score, ends)
    if share > INTERVAL_TOLERANCE:
        height, width = contract.height or _SIZE, contract.width or _SIZE
        refuse("the ends of intervals", share, INTERVAL_TOLERANCE, PHOTOGRAPHS[0], (height, width))
    return measured.parity


def _worst(data: bytes, contract: InputContract, samples: NDArray[np.float32]) -> tuple[str, float]:
    """The layer that moves a score most where it alone is int8, and by how much."""
    seen, names = seen_values(data, contract), integer_layers(onnx.load_from_string(data))
    wanted = onnx_scores(data, contract)(samples)
    moved = {}
    for name in names:
        alone = to_int8(data, seen, [other for other in names if other != name])
        moved[name] = float(np.abs(onnx_scores(alone, contract)(samples) - wanted).max())
    worst = max(moved, key=lambda name: moved[name])
    return worst, moved[worst]
