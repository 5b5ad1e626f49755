"""fp32 graph and fp16 graph → how far apart their scores are, or a refusal that names the layer.

The fp16 graph is run as ``emulate.py`` rewrites it, which rounds as a GPU does.

What fp16 costs is no error of the certificate: the fp16 network is certified as it is. It is a shift of the score,
and the tolerance says which shift is still the same metric.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from runtime.bundle import MODEL, InputContract, Parity, ScoreContract
from runtime.errors import ExportError

from .checks import span
from .emulate import emulated
from .parity import measure, onnx_scores
from .pictures import noisy, unit
from .precision import halved
from .worst import worst_layer

FP16_TOLERANCE = 1e-2
"""Largest difference of a score, and with it of an interval's end, as a share of the score range; of the largest score
where the range is not known. Twice what rounding alone was measured to do: it moves the default model's scores by
0.27 of 100, those of the bilinear metric by 0.44 behind the denoiser and 0.35 without. Nearly all of it is the
weights' rounding, the same for every picture."""


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
