"""Decoder's pixel formats → three planes in the order :mod:`runtime.frames.planes` takes them: Y, U, V or G, B, R."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .planes import STEP


@dataclass(frozen=True)
class Layout:
    """``kind``: planar (Y, U, V or G, B, R), semi (Y, UV) or packed. ``shift``: unused low bits. ``full``: its range.

    ``green_blue_red``: where a packed pixel of three samples holds them.
    """

    kind: str
    subsampling: str
    bit_depth: int
    shift: int = 0
    rgb: bool = False
    full: bool = False
    green_blue_red: tuple[int, int, int] = (1, 2, 0)


def _layouts() -> dict[str, Layout]:
    made = {
        "rgb24": Layout("packed", "4:4:4", 8, rgb=True),
        "bgr24": Layout("packed", "4:4:4", 8, rgb=True, green_blue_red=(1, 0, 2)),
        "gbrp": Layout("planar", "4:4:4", 8, rgb=True),
    }
    for digits, subsampling in (("420", "4:2:0"), ("422", "4:2:2"), ("444", "4:4:4")):
        made[f"yuv{digits}p"] = Layout("planar", subsampling, 8)
        made[f"yuvj{digits}p"] = Layout("planar", subsampling, 8, full=True)
        for depth in (9, 10, 12, 14, 16):
            made[f"yuv{digits}p{depth}le"] = Layout("planar", subsampling, depth)
    for depth in (9, 10, 12, 14, 16):
        made[f"gbrp{depth}le"] = Layout("planar", "4:4:4", depth, rgb=True)
    for name, subsampling in (("nv12", "4:2:0"), ("nv16", "4:2:2"), ("nv24", "4:4:4")):
        made[name] = Layout("semi", subsampling, 8)
    for digit, subsampling in (("0", "4:2:0"), ("2", "4:2:2"), ("4", "4:4:4")):
        for depth in (10, 12, 16):
            made[f"p{digit}{depth}le"] = Layout("semi", subsampling, depth, shift=16 - depth)
    return made


LAYOUTS = _layouts()


def stored_shapes(layout: Layout, width: int, height: int) -> list[tuple[int, int]]:
    """(rows, samples a row) of each plane of a frame as the format stores it, without padding."""
    if layout.kind == "packed":
        return [(height, 3 * width)]
    down, right = STEP[layout.subsampling]
    rows, columns = -(-height // down), -(-width // right)
    chroma = [(rows, 2 * columns)] if layout.kind == "semi" else [(rows, columns)] * 2
    return [(height, width), *chroma]


def unpacked(stored: Sequence[NDArray[Any]], layout: Layout) -> tuple[NDArray[Any], ...]:
    """Planes as the format stores them, 2-D and without padding → three planes Y, U, V or G, B, R."""
    arrays = list(stored)
    if layout.kind == "packed":
        arrays = [arrays[0][:, channel::3] for channel in layout.green_blue_red]
    elif layout.kind == "semi":
        arrays = [arrays[0], arrays[1][:, 0::2], arrays[1][:, 1::2]]
    return tuple(np.right_shift(array, layout.shift) for array in arrays)


def planes_of(frame: Any, layout: Layout) -> tuple[NDArray[Any], ...]:
    """Copies of a PyAV frame's planes, 2-D, uint8 or uint16, without the padding at the end of their rows."""
    kind = np.dtype(np.uint8 if layout.bit_depth == 8 else "<u2")
    arrays: list[NDArray[Any]] = []
    for plane, (_, samples) in zip(frame.planes, stored_shapes(layout, frame.width, frame.height), strict=True):
        rows = np.frombuffer(plane, kind).reshape(plane.height, abs(plane.line_size) // kind.itemsize)
        if plane.line_size < 0:  # stored bottom-up, as in AVI
            rows = rows[::-1]
        arrays.append(rows[:, :samples].astype(kind.newbyteorder("=")))
    return unpacked(arrays, layout)
