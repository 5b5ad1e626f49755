"""A picture file → RGB code values as they are stored, nothing lost and nothing guessed.

Read by Pillow. What would need a guess is refused: grey (repeat the channel?), alpha (over which background?), CMYK,
animation, samples of other than 8 or 16 bits. Pillow narrows 16-bit RGB to 8 bits without a word; such files are
decoded by PyAV instead, exactly, and compared with what Pillow makes of them.

The score is of the stored pixels: an ICC profile, a gamma or an EXIF orientation is not applied, so convert to sRGB
and turn upright before if the viewer would. (A TIFF that is not upright is refused: Pillow turns it on its own.)
"""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BiqaError, DependencyError, FrameError, VideoError
from ..install import pip_install

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP", "PPM")
_TIFF_BITS, _TIFF_ORIENTATION, _TIFF_PLANAR = 258, 274, 284
_DAMAGED = (OSError, ValueError, TypeError, SyntaxError, LookupError, EOFError, struct.error)  # as Pillow raises them
_TRUNCATED = threading.Lock()


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise DependencyError(f"Pillow is not installed: {pip_install('video')}") from None
    Image.init()  # Image.open(formats=…) fails on a format whose module was not loaded yet
    return Image


@contextmanager
def _whole_only() -> Iterator[None]:
    """Cut pictures are errors here even if the program around us set ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``."""
    from PIL import ImageFile

    with _TRUNCATED:
        kept = ImageFile.LOAD_TRUNCATED_IMAGES
        ImageFile.LOAD_TRUNCATED_IMAGES = False
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = kept


def is_image(path: Path) -> bool:
    """Whether Pillow recognises the file's content as a picture; False for anything else, missing files included."""
    Image = _pillow()  # noqa: N806
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=FORMATS):
            return True
    except Image.DecompressionBombError:
        return True
    except _DAMAGED:
        return False


def read_image(path: Path) -> tuple[NDArray[np.uint8] | NDArray[np.uint16], int]:
    """The picture as uint8 or uint16 H×W×3, and its bit depth, 8 or 16.

    Raises VideoError for a file that is missing, damaged, cut or no picture, FrameError for one that is not RGB or
    not of that depth.
    """
    Image = _pillow()  # noqa: N806
    try:
        with _whole_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that is damaged; pixels that are raise
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as image:
                _check(path, image)
                depth = _depth(path, image)
                pixels = np.array(image.convert("RGB"))
                return (pixels, 8) if depth == 8 else (_read_deep(path, image.format, pixels), 16)
    except BiqaError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise VideoError(f"{path} is too large for a picture: {error}") from None
    except FileNotFoundError:
        raise VideoError(f"no such file: {path}") from None
    except _DAMAGED as error:
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
    if image.format == "TIFF" and image.tag_v2.get(_TIFF_ORIENTATION, 1) != 1:
        raise FrameError(f"{path} is stored turned (TIFF orientation other than 1): turn it upright first")


def _depth(path: Path, image: Any) -> int:
    """Bits a sample as stored, 8 or 16. Pillow says it in the raw mode of its decoder ("RGB;16B") if at all."""
    if image.mode == "P":
        return 8
    codec, arguments = (image.tile[0].codec_name, image.tile[0].args) if image.tile else ("", "")
    raw, *more = (arguments,) if isinstance(arguments, str) else arguments
    stored: int | None
    if image.format == "TIFF":
        bits = set(image.tag_v2.get(_TIFF_BITS, (1,)))
        stored = bits.pop() if len(bits) == 1 else None
        if stored == 16 and image.tag_v2.get(_TIFF_PLANAR, 1) != 1:
            raise FrameError(f"{path} has 16 bits a sample in separate planes: write them interleaved")
    elif codec.startswith("ppm"):
        stored = {255: 8, 65535: 16}.get(more[0])
    else:
        stored = {"BGR;15": None, "BGR;16": None, "RGB;16B": 16}.get(raw, 8)
    if stored is None or stored not in (8, 16):
        raise FrameError(f"{path} does not have 8 or 16 full bits a channel: convert it to 8-bit RGB first")
    return stored


def _read_deep(path: Path, format: str, narrowed: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """``narrowed``: the same picture by Pillow, in 8 bits."""
    from .video import load_av

    av = load_av()
    try:
        with av.open(BytesIO(path.read_bytes()), format=f"{format.lower()}_pipe") as container:
            frame = next(iter(container.decode(video=0)))
    except (av.FFmpegError, StopIteration, UnicodeDecodeError):
        raise VideoError(f"{path} has 16 bits a channel and cannot be decoded: write it as PNG") from None
    if frame.format.name not in ("rgb48be", "rgb48le"):
        raise FrameError(f"{path} has pixel format {frame.format.name}: convert it to 8- or 16-bit RGB")
    pixels: NDArray[np.uint16] = frame.to_ndarray().astype(np.uint16)
    if pixels.shape != narrowed.shape or np.abs((pixels >> 8).astype(np.int16) - narrowed).max() > 1:
        raise VideoError(f"{path} is damaged: its two decoders disagree")
    return pixels
