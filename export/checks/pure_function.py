"""Is it a function of the noisy frame alone? The certificate holds for nothing else.

Five ways a network fails, each found by running it on noisy photographs:

- a score that is not finite (an overflow, a division by zero);
- two runs that differ (a random crop, dropout that ignores evaluation mode);
- a score that depends on the other frames of the batch (batch statistics, a sort or a mean over N);
- a score that depends on the place in the batch;
- a score that no input moves.

A clamped score hides all that is beyond its ends, so the batches hold frames of several contrasts as well, whose
scores differ: what looks at its neighbours shows there.

The same checks are made on the PyTorch module before the export and on the graph after it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from runtime.bundle.manifest import InputContract, ScoreContract
from runtime.errors import ExportError
from runtime.frames.lattice import steps

from .photographs import PHOTOGRAPHS, noisy

Scores = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Noisy lattices N×3×h×w → N scores, of the sizes the network takes."""

BATCH_TOLERANCE = 1e-5
"""Largest score difference between batches, relative to the scores. Matrix kernels sum one row and several in
another order, which moves a float32 by about 1e-7 a layer; statistics over a batch move a score by far more."""

_BATCH = 4
_RUNS = 3


def scale(scores: NDArray[np.float32]) -> float:
    """What differences between scores are relative to: the largest magnitude among them, 1 if all are 0."""
    return float(np.abs(scores).max()) or 1.0


def span(score: ScoreContract, scores: NDArray[np.float32]) -> float:
    """What shifts of a score are relative to: its range, or :func:`scale` of some scores where that is not known."""
    if score.minimum is None or score.maximum is None:
        return scale(scores)
    return score.maximum - score.minimum


def check_function(scores: Scores, subject: str, contract: InputContract, height: int, width: int) -> float:
    """Make all five checks at one size; the largest difference between batches, relative to the scores.

    ``subject`` names what is checked in the message of the ExportError raised when one fails.
    """
    count = contract.batch or _BATCH
    samples = noisy(PHOTOGRAPHS[0], contract, height, width, 0, count)
    first = scores(samples)
    check_finite(first, subject, height, width)
    for _ in range(_RUNS - 1):
        again = scores(samples)
        if not np.array_equal(first, again):
            raise ExportError(
                f"{subject} gave {first[0]:.7g} and {again[0]:.7g} for the same input: it crops or drops at random; "
                "a certificate needs a function of its input alone, make it deterministic in evaluation mode"
            )
    mixed = _mixed(contract, height, width)
    alike = [scores(np.repeat(one[None], count, axis=0))[0] for one in mixed]
    largest = _largest_difference(scores, first, samples, subject, contract)
    if count > 1:
        batch = mixed[np.arange(count) % len(mixed)]
        largest = max(largest, _largest_difference(scores, scores(batch), batch, subject, contract))
        expected = np.array(alike)[np.arange(count) % len(mixed)]
        largest = max(largest, _difference(scores(batch), expected, "among other frames", subject))
    if len({float(score) for score in (*alike, *first)}) == 1:
        raise ExportError(
            f"{subject} scores every input {first[0]:.7g}, photographs, grey and noise alike: a score that no input "
            "moves measures nothing; look for a clamp that its raw score never enters"
        )
    return largest


def _mixed(contract: InputContract, height: int, width: int) -> NDArray[np.float32]:
    """Noisy frames of four contrasts, from grey to beyond white, N×3×h×w."""
    top = steps(8, contract.downscale)
    pictures = [
        noisy(PHOTOGRAPHS[index % len(PHOTOGRAPHS)], contract, height, width, index, 1)[0] for index in range(4)
    ]
    contrasts = (0.0, 0.3, 1.0, 3.0)
    return np.stack([(p - top / 2) * c + top / 2 for p, c in zip(pictures, contrasts, strict=True)]).astype(np.float32)


def _largest_difference(
    scores: Scores, first: NDArray[np.float32], samples: NDArray[np.float32], subject: str, contract: InputContract
) -> float:
    """Between ``first``, the scores of ``samples``, and those of the same samples in other batches."""
    largest = 0.0
    for change, positions, batch in _rearranged(samples, contract):
        found = _difference(scores(batch)[positions], first[: len(positions)], change, subject)
        largest = max(largest, found)
    return largest


def _difference(found: NDArray[np.float32], first: NDArray[np.float32], change: str, subject: str) -> float:
    difference = float(np.abs(found - first).max()) / scale(first)
    if not difference <= BATCH_TOLERANCE:  # negated so that a NaN is refused as well
        raise ExportError(
            f"{subject} scores a frame differently {change}: by {difference:.1e} of the score, where "
            f"{BATCH_TOLERANCE:.0e} would be rounding. It uses statistics of the batch (batch normalisation in "
            "training mode, a mean over N); a certificate needs a function of one frame alone"
        )
    return difference


def check_finite(scores: NDArray[np.float32], subject: str, height: int, width: int) -> None:
    """Raises ExportError where a score is NaN or infinite."""
    if not np.isfinite(scores).all():
        bad = scores[~np.isfinite(scores)]
        raise ExportError(
            f"{subject} scored {len(bad)} of {len(scores)} noisy samples of a photograph {bad[0]} at {width}×{height}: "
            "look for a division by zero, a logarithm or an overflow on strongly noisy input"
        )


def _rearranged(
    samples: NDArray[np.float32], contract: InputContract
) -> list[tuple[str, Sequence[int], NDArray[np.float32]]]:
    """Batches that hold the first samples again: how they differ, and where samples 0, 1, … are in them."""
    count = len(samples)
    cases: list[tuple[str, Sequence[int], NDArray[np.float32]]] = []
    if count > 1:
        cases.append(("at another place in the batch", [*range(1, count), 0], np.roll(samples, 1, axis=0)))
        others = samples.copy()
        others[:-1] = 0
        others[: (count - 1) // 2] = steps(8, contract.downscale)
        others[-1] = samples[0]
        cases.append(("among other frames", [count - 1], others))
    if contract.batch is None:
        cases.append(("alone in the batch", [0], samples[:1]))
    return cases
