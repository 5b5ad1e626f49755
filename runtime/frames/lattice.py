"""Decoded RGB frame → integer lattice tensor.

A frame holds b-bit code values c ∈ {0 … 2ᵇ−1}, shape H×W×3. The engine sees its k×k box average, and
because an average of integers is a *sum* of integers times a constant, it is kept as the sum

    v[channel, i, j] = Σ_{0≤p,q<k} c[k·i+p, k·j+q, channel]          an integer in 0 … k²(2ᵇ−1)

on a lattice of unit 1/((2ᵇ−1)k²): v·unit is the averaged frame in [0, 1]. Noise is drawn and added on
this lattice (noise/draw.py), so nothing is ever rounded between the frame and the engine.

**Radius.** Averaging k² values has L2 operator norm 1/k: a change of the source frame by ‖δ‖₂ ≤ ε moves
the engine's input by at most ε/k. Rows and columns that do not fill a k×k block are cropped (a
projection, norm 1), which keeps that bound; padding them would not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError

EXACT_FLOAT32 = 2**24
"""Integers of magnitude up to this are exact in float32, the type of the engine's input."""


@dataclass(frozen=True)
class DeviceFrame:
    """The pixels of an RGB frame in the memory of a GPU, H×W×3 uint8 or uint16. ``address``: of the first.

    ``pitch``: bytes from one row to the next; within a row they are packed. ``owner``: what keeps the memory.
    """

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    pitch: int
    owner: object = field(repr=False, compare=False)


@dataclass(frozen=True)
class Lattice:
    """A frame on the integer lattice of the engine's domain.

    ``values``: 3×h×w, C-contiguous, each in 0 … k²(2ᵇ−1): uint16 where that fits, for the memory of large frames, else
    int32. ``device``: the pixels they are sums of, where a GPU can sum them again.
    """

    values: NDArray[Any]
    bit_depth: int
    downscale: int
    device: DeviceFrame | None = None

    @property
    def steps(self) -> int:
        """Lattice units in 1.0: (2ᵇ−1)k²."""
        return steps(self.bit_depth, self.downscale)

    @property
    def height(self) -> int:
        return int(self.values.shape[1])

    @property
    def width(self) -> int:
        return int(self.values.shape[2])


def steps(bit_depth: int, downscale: int) -> int:
    """Lattice units between 0.0 and 1.0, (2ᵇ−1)k²."""
    return ((1 << bit_depth) - 1) * downscale * downscale


def sigma_in_steps(sigma: float, bit_depth: int, downscale: int) -> Fraction:
    """σ in lattice units, exact: σ(2ᵇ−1)k² of the float64 σ."""
    return Fraction(sigma) * steps(bit_depth, downscale)


def check_frame(frame: Any, bit_depth: int | None = None) -> int:
    """The bit depth of an RGB frame, or a FrameError that says what is wrong with it.

    ``frame``: uint8 or uint16, H×W×3, channels R, G, B. ``bit_depth``: default 8 for uint8 and 16 for
    uint16; pass 10 or 12 for video code values stored in uint16.
    """
    if not isinstance(frame, np.ndarray):
        raise FrameError(f"a frame is a NumPy array, not {type(frame).__name__}: use numpy.asarray(image)")
    check_layout(frame.shape, frame.dtype)
    depth = (8 if frame.dtype == np.uint8 else 16) if bit_depth is None else bit_depth
    if not isinstance(depth, int) or not 1 <= depth <= frame.dtype.itemsize * 8:
        raise FrameError(f"bit_depth {depth!r} does not fit {frame.dtype}: use 1 … {frame.dtype.itemsize * 8}")
    if depth < frame.dtype.itemsize * 8 and int(frame.max()) >= 2**depth:
        raise FrameError(f"the frame holds {int(frame.max())}, more than {depth} bits can: pass the right bit_depth")
    return depth


def check_layout(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Raises FrameError for what is not H×W×3 of uint8 or uint16, or is empty."""
    if dtype not in (np.uint8, np.uint16):
        raise FrameError(
            f"a frame holds uint8 or uint16 code values, not {dtype}: the certificate speaks of the frame "
            "as received, so pass the decoder's integers, not scaled floats"
        )
    if len(shape) == 2 or (len(shape) == 3 and shape[2] == 1):
        raise FrameError(
            f"the frame is grey (shape {shape}): pass H×W×3 RGB; numpy.repeat(frame[:, :, None], 3, axis=2) "
            "makes one if that is what the score should mean"
        )
    if len(shape) == 3 and shape[2] == 4:
        raise FrameError("the frame has 4 channels (RGBA?): compose it over a background and pass H×W×3 RGB")
    if len(shape) != 3 or shape[2] != 3:
        raise FrameError(f"a frame is H×W×3 RGB, not an array of shape {shape}")
    if shape[0] == 0 or shape[1] == 0:
        raise FrameError(f"the frame is empty: shape {shape}")


def to_lattice(frame: Any, *, downscale: int = 1, bit_depth: int | None = None) -> Lattice:
    """Sum k×k blocks of an RGB frame into the integer lattice of the engine's domain.

    ``frame``: uint8 or uint16, H×W×3. Returns values of shape 3×⌊H/k⌋×⌊W/k⌋.
    Raises FrameError for any other array, and for a frame smaller than one block.
    """
    depth = check_frame(frame, bit_depth)
    k = downscale
    h, w = frame.shape[0] // k, frame.shape[1] // k
    if h == 0 or w == 0:
        raise FrameError(f"a frame of {frame.shape[1]}×{frame.shape[0]} is smaller than one {k}×{k} block")
    planes = np.ascontiguousarray(frame[: h * k, : w * k].transpose(2, 0, 1))
    values: NDArray[Any] = planes[:, ::k, ::k].astype(np.uint16 if steps(depth, k) < 2**16 else np.int32)
    for p in range(k):
        for q in range(k):
            if p or q:
                values += planes[:, p::k, q::k]
    return Lattice(values, depth, k)
