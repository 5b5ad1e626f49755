"""Which way up a picture is displayed: EXIF's eight orientations, and the display matrix of a video.

Orientation k of EXIF (CIPA DC-008, tag 274) says where the stored rows and columns go. Every one is a mirror image,
a transposition, or both, so no pixel is computed:

    1 as stored    2 mirrored             3 turned by 180°     4 upside down
    5 transposed   6 turned clockwise     7 transversed        8 turned counter-clockwise
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError, VideoError

AS_STORED = "as stored"
TURNS = {
    1: AS_STORED,
    2: "mirrored left to right",
    3: "turned by 180°",
    4: "mirrored top to bottom",
    5: "transposed",
    6: "turned by 90° clockwise",
    7: "transposed along the other diagonal",
    8: "turned by 90° counter-clockwise",
}
"""Orientation → what is done to the stored picture, in the words of the record."""

_MATRICES = {
    (1, 0, 0, 1): 1, (-1, 0, 0, 1): 2, (-1, 0, 0, -1): 3, (1, 0, 0, -1): 4,
    (0, 1, 1, 0): 5, (0, 1, -1, 0): 6, (0, -1, -1, 0): 7, (0, -1, 1, 0): 8,
}  # fmt: skip
"""a, b, c, d of (x', y') = (ax + cy, bx + dy), y downwards, as a display matrix (ISO/IEC 14496-12, 8.3.2) has them."""


def turned(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """The array as displayed, rows first; a view. ``orientation``: 1 … 8."""
    if orientation >= 5:
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def swaps_sides(orientation: int) -> bool:
    """Whether width and height change places."""
    return orientation >= 5


def exif_orientation(name: str, exif: bytes | None) -> int:
    """Orientation of an EXIF block, 1 where it says nothing. Raises FrameError for a number that means nothing."""
    if not exif:
        return 1
    from PIL import Image

    block = Image.Exif()
    try:
        block.load(exif)
        said = block.get(274, 1)
    except Exception:  # whatever a damaged block makes of its reader: it says nothing then, to anyone
        return 1
    if said in (0, None):  # "unknown", which all viewers show as stored
        return 1
    if said not in TURNS:
        raise FrameError(f"{name}: its EXIF orientation is {said!r}, and 1 … 8 mean something: remove or correct it")
    return int(said)


def matrix_orientation(name: str, matrix: bytes) -> int:
    """Orientation of a display matrix, nine little-endian 16.16 integers. Raises VideoError for other angles."""
    a, b, _, c, d, *_ = (value / 65536 for value in struct.unpack("<9i", matrix[:36]))
    size = max(abs(value) for value in (a, b, c, d)) or 1.0
    found = _MATRICES.get(tuple(round(value / size, 3) for value in (a, b, c, d)))
    if found is None:
        raise VideoError(
            f"{name} is displayed turned or stretched by a matrix that is no multiple of 90°: let ffmpeg apply it, "
            "ffmpeg -i IN -c:v ffv1 OUT.mkv"
        )
    return found


def turned_planes(planes: tuple[NDArray[Any], ...], orientation: int) -> tuple[NDArray[Any], ...]:
    """Every plane turned by itself, as FFmpeg turns frames: the siting of chroma keeps its name."""
    return planes if orientation == 1 else tuple(np.ascontiguousarray(turned(plane, orientation)) for plane in planes)
