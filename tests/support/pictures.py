"""Picture files made on the spot: bytes that Pillow will not write, and damage."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.support.clips import photograph

PICTURE = photograph()[:48, :64]
DEEP = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(np.uint16)


def saved(pixels: NDArray[Any] | Image.Image = PICTURE, **options: Any) -> bytes:
    """As Pillow saves it."""
    image = Image.fromarray(pixels) if isinstance(pixels, np.ndarray) else pixels
    file = io.BytesIO()
    image.save(file, **options)
    return file.getvalue()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_png_chunk(png: bytes, kind: bytes, data: bytes) -> bytes:
    """A chunk after the header."""
    return png[:33] + png_chunk(kind, data) + png[33:]


def png16(pixels: NDArray[np.uint16]) -> bytes:
    """16 bits a channel: grey, grey and alpha, RGB or RGBA."""
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, colour, 0, 0, 0)
    body = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def ppm(pixels: NDArray[Any], maximum: int) -> bytes:
    kind = b"P5" if pixels.ndim == 2 else b"P6"
    head = kind + b" %d %d %d\n" % (pixels.shape[1], pixels.shape[0], maximum)
    return head + pixels.astype(">u2" if maximum > 255 else np.uint8).tobytes()


def tiff(pixels: NDArray[Any], **options: Any) -> bytes:
    """As tifffile writes it: tiles, planes, BigTIFF, floats."""
    import tifffile

    file = io.BytesIO()
    tifffile.imwrite(file, pixels, **options)
    return file.getvalue()


def damage(data: bytes, rng: np.random.Generator, kind: str) -> bytes:
    """Zeros, flipped bits, bytes left out, or an end left out, at random places after the first two bytes."""
    made, at, length = bytearray(data), int(rng.integers(2, len(data) - 66)), int(rng.integers(1, 64))
    if kind == "zeros":
        made[at : at + length] = bytes(length)
    elif kind == "flips":
        for place in rng.integers(2, len(data), int(rng.integers(1, 4))):
            made[place] ^= 1 << int(rng.integers(8))
    elif kind == "dropped":
        del made[at : at + length]
    else:
        del made[at:]
    return bytes(made)
