"""A picture file → RGB code values, nothing lost and nothing guessed.

Read by Pillow. What would need a guess is refused: grey (repeat the channel?), alpha (over which background?), CMYK,
animation. Pillow narrows 16-bit RGB to 8 bits without a word; such files are decoded by PyAV instead, exactly.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DependencyError, FrameError, VideoError

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM")


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise DependencyError("Pillow is not installed: pip install 'stochastic-biqa[video]'") from None
    Image.init()  # Image.open(formats=…) fails on a format whose module was not loaded yet
    return Image


def is_image(path: Path) -> bool:
    """Whether Pillow recognises the file's content as a picture; False for anything else, missing files included."""
    Image = _pillow()  # noqa: N806
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return False


def read_image(path: Path) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int]:
    """The picture as uint8 or uint16 H×W×3, and its bit depth, 8 or 16.

    Raises VideoError for a file that is missing, damaged, cut or no picture, FrameError for one that is not RGB.
    """
    Image = _pillow()  # noqa: N806
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check(path, image)
                if _is_deep(image):
                    return _read_deep(path), 16
                return np.array(image.convert("RGB")), 8
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise VideoError(f"{path} is too large for a picture: {error}") from None
    except FileNotFoundError:
        raise VideoError(f"no such file: {path}") from None
    except (OSError, ValueError, SyntaxError) as error:
        if isinstance(error, FrameError):
            raise
        raise VideoError(f"{path} is not a picture, or is damaged: {error}") from None


def _check(path: Path, image: Any) -> None:
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise FrameError(f"{path} holds {image.n_frames} pictures: give one, or convert it to a video")
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa"):
        raise FrameError(f"{path} has transparency: compose it over a background first")
    if image.mode not in ("RGB", "P"):
        raise FrameError(f"{path} is not RGB (Pillow mode {image.mode}): convert it to RGB first")
    if image.mode == "P" and image.getpalette() is None:
        raise FrameError(f"{path} has a palette without colours")


def _is_deep(image: Any) -> bool:
    """Whether the file stores 16 bits a channel; Pillow's raw mode says so, e.g. "RGB;16B"."""
    return any("16" in str(tile[3]) for tile in image.tile)


def _read_deep(path: Path) -> NDArray[np.uint16]:
    from .video import _av

    av = _av()
    with av.open(str(path)) as container:
        try:
            frame = next(iter(container.decode(video=0)))
        except (av.FFmpegError, StopIteration):
            raise VideoError(f"{path} is damaged") from None
        if frame.format.name not in ("rgb48be", "rgb48le"):
            raise FrameError(f"{path} has pixel format {frame.format.name}: convert it to 8- or 16-bit RGB")
        pixels: NDArray[np.uint16] = frame.to_ndarray().astype(np.uint16)
        return pixels
