"""TIFF → samples, by tifffile; Pillow narrows 16 bits, and keeps quiet about what libtiff complains of.

What both can read is read by both, and must be equal. Orientation and profile are the file's tags.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import BiqaError, DependencyError, FrameError
from ..install import pip_install
from .damage import Complaints, agree, damaged
from .orientation import turned
from .pillow import DAMAGED, check_size, load_pillow
from .samples import SCALES, Decoded, from_floats

_ORIENTATION = 274
_ASSOCIATED, _UNASSOCIATED = 1, 2
_LOSSY = ("JPEG", "OJPEG", "JPEG_LOSSY", "WEBP", "JPEGXL", "JPEG2000", "APERIO_JP2000_YCBC", "APERIO_JP2000_RGB")
_COLOURS = {"MINISBLACK": 1, "MINISWHITE": 1, "RGB": 3, "YCBCR": 3, "PALETTE": 1, "SEPARATED": 4}


def is_tiff(head: bytes) -> bool:
    """By the first four bytes: TIFF or BigTIFF, of either byte order."""
    return head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def read_tiff(name: str, data: bytes) -> tuple[Decoded, int, bytes | None]:
    """Samples, orientation and profile. Raises VideoError, FrameError or DependencyError."""
    try:
        import tifffile
    except ImportError:
        raise DependencyError(f"tifffile is not installed, and it reads TIFFs: {pip_install('video')}") from None
    check_chain(name, data)
    try:
        with Complaints(name, "tifffile"), tifffile.TiffFile(BytesIO(data)) as file:
            pages = [page for page in file.pages if not page.is_reduced]  # type: ignore[union-attr]
            if len(pages) != 1:
                raise FrameError(f"{name} holds {len(pages)} pictures: give one")
            page: Any = pages[0]
            check_size(name, page.imagewidth, page.imagelength)
            decoded = _decoded(name, page, page.asarray())
            tag = page.tags.get(_ORIENTATION)
            orientation, profile = int(tag.value) if tag else 1, page.iccprofile
            lossless = page.compression.name not in _LOSSY and page.photometric.name != "YCBCR"
    except (BiqaError, MemoryError):
        raise
    except Exception as error:  # decoders of a dozen libraries
        raise damaged(name, f"{' '.join(str(error).split())[:200]}") from None
    if not 1 <= orientation <= 8:
        orientation = 1
    if lossless and decoded.colours.dtype == np.uint8 and decoded.mode != "CMYK" and decoded.alpha is None:
        _compare(name, data, decoded, orientation)
    return decoded, orientation, bytes(profile) if profile else None


def check_chain(name: str, data: bytes) -> None:
    """Raise VideoError where the chain of directories runs in a circle, which tifffile would follow for ever."""
    order: Literal["little", "big"] = "little" if data[:2] == b"II" else "big"
    wide = data[2:4] in (b"+\0", b"\0+")
    count, entry, link, at = (8, 20, 8, 8) if wide else (2, 12, 4, 4)
    seen: set[int] = set()
    place = int.from_bytes(data[at : at + link], order)
    while place:
        if place in seen:
            raise damaged(name, "its directories form a circle")
        seen.add(place)
        after = place + count + entry * int.from_bytes(data[place : place + count], order)
        place = int.from_bytes(data[after : after + link], order)


def _decoded(name: str, page: Any, pixels: NDArray[Any]) -> Decoded:
    photometric, compression = page.photometric.name, page.compression.name
    colours = _COLOURS.get(photometric)
    if colours is None or (photometric == "YCBCR" and compression not in _LOSSY):
        raise FrameError(
            f"{name} holds colours of another kind (TIFF photometric {photometric}): convert it to RGB first"
        )
    if pixels.ndim == 3 and page.planarconfig == 2 and page.samplesperpixel > 1:
        pixels = pixels.transpose(1, 2, 0)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    if pixels.ndim != 3:
        raise FrameError(f"{name} holds a volume of shape {pixels.shape}: give one picture")
    bits, kind = page.bitspersample, pixels.dtype.kind
    shown = {1: "grey", 3: "RGB", 4: "CMYK"}[colours]
    samples = f"{shown}, {bits} bits"
    if kind == "f":
        pixels, samples = from_floats(name, pixels), f"{shown}, floats in [0, 1] to 16 bits"
    elif photometric == "PALETTE":
        table = np.asarray(page.colormap)
        pixels = (table[:, pixels[:, :, 0]] >> 8).astype(np.uint8).transpose(1, 2, 0)
        colours, samples = 3, "palette, 8 bits"
    elif bits in SCALES and colours == 1:
        pixels = pixels.astype(np.uint8) * np.uint8(SCALES[bits])
        samples = "bilevel" if bits == 1 else f"grey, {bits} bits to 8"
    elif kind not in "u" or bits not in (8, 16):
        raise FrameError(f"{name} has {bits} bits a sample ({pixels.dtype}): 8 and 16 are taken: convert it first")
    if photometric == "MINISWHITE":
        pixels = np.iinfo(pixels.dtype).max - pixels
    alpha, extra = None, list(page.extrasamples)
    if extra:
        if len(extra) > 1 or extra[0] not in (_ASSOCIATED, _UNASSOCIATED):
            raise FrameError(f"{name} has {len(extra)} channels beside its colours: drop them first")
        alpha = pixels[:, :, colours]
        if extra[0] == _ASSOCIATED and int(alpha.min()) < np.iinfo(alpha.dtype).max:
            raise FrameError(f"{name} is transparent, its colours already multiplied by alpha: compose it first")
    pixels = pixels[:, :, :colours]
    mode = {1: "L", 3: "RGB", 4: "CMYK"}[colours]
    return Decoded(pixels[:, :, 0] if mode == "L" else pixels, mode, alpha, samples)


def _compare(name: str, data: bytes, decoded: Decoded, orientation: int) -> None:
    """With what Pillow makes of it, which turns a TIFF upright by itself; nothing where Pillow cannot read its kind."""
    try:
        image = load_pillow().open(BytesIO(data), formats=("TIFF",))
    except DAMAGED:
        return
    try:
        seen = np.asarray(image.convert(decoded.mode))
    except DAMAGED as error:
        raise damaged(name, f"{error}") from None
    agree(name, turned(decoded.colours, orientation), seen)
