"""Decoded samples → colour and alpha, of 8 or 16 bits; grey levels of other widths only where nothing is lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError

SCALES = {1: 255, 2: 85, 4: 17}
"""Bits of a grey sample → what a step of it is worth in 8 bits, exactly."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A picture as its decoder hands it over.

    ``colours``: H×W (``mode`` L), H×W×3 (RGB) or H×W×4 (CMYK), uint8 or uint16. ``alpha``: H×W of the same dtype, or
    None. ``samples``: what the file holds and what became of it, in words.
    """

    colours: NDArray[Any]
    mode: str
    alpha: NDArray[Any] | None
    samples: str


def from_pillow(name: str, image: Any) -> Decoded:
    """The samples of an open Pillow image; it decodes here. Raises FrameError for what is not taken."""
    mode, transparent = image.mode, "transparency" in image.info
    if mode == "P":
        if image.getpalette() is None:
            raise FrameError(f"{name} has a palette without colours")
        transparent = transparent or image.palette.mode == "RGBA"
        return split(np.array(image.convert("RGBA" if transparent else "RGB")), "palette, 8 bits")
    if mode == "1":
        return Decoded(np.array(image.convert("L")), "L", None, "bilevel")
    if mode == "CMYK":
        return Decoded(np.array(image), "CMYK", None, "CMYK, 8 bits")
    if mode.startswith("I;16"):
        if transparent:
            raise FrameError(f"{name} is grey of 16 bits with a transparent level: compose it over a background first")
        return Decoded(np.array(image).astype(np.uint16), "L", None, "grey, 16 bits")
    if mode == "F":
        return Decoded(from_floats(name, np.array(image)), "L", None, "grey, floats in [0, 1] to 16 bits")
    if mode in ("L", "LA", "La"):
        if transparent or mode == "La":
            image = image.convert("LA")
        return split(np.array(image), "grey, 8 bits")
    if mode in ("RGB", "RGBA", "RGBX", "RGBa", "PA", "YCbCr"):
        if transparent or mode in ("RGBa", "PA"):
            image = image.convert("RGBA")
        elif mode in ("RGBX", "YCbCr"):
            image = image.convert("RGB")
        return split(np.array(image), "palette, 8 bits" if mode == "PA" else "RGB, 8 bits")
    raise FrameError(f"{name} holds colours of another kind (Pillow mode {mode}): convert it to RGB first")


def split(pixels: NDArray[Any], samples: str) -> Decoded:
    """H×W, or H×W×C of 1 … 4 channels, the last of an even number alpha."""
    if pixels.ndim == 2:
        return Decoded(pixels, "L", None, samples)
    channels = pixels.shape[2]
    alpha = pixels[:, :, -1] if channels in (2, 4) else None
    if channels <= 2:
        return Decoded(pixels[:, :, 0], "L", alpha, samples)
    return Decoded(pixels[:, :, :3], "RGB", alpha, samples)


def from_floats(name: str, values: NDArray[Any]) -> NDArray[np.uint16]:
    """Floats in [0, 1], code values by their own word, → round(65535·v). Raises FrameError for any outside."""
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):
        raise FrameError(
            f"{name} holds floats from {low:g} to {high:g}: those in [0, 1] are taken, as sRGB values: scale them"
        )
    return (values.astype(np.float64) * 65535 + 0.5).astype(np.uint16)
