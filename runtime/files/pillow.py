"""Pillow, loaded with the first picture: strict about cut files, silent about metadata, with the plugins it takes."""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from ..errors import DependencyError, VideoError
from ..install import pip_install

DAMAGED = (
    OSError,
    ValueError,
    TypeError,
    SyntaxError,
    LookupError,
    EOFError,
    ArithmeticError,
    struct.error,
    RuntimeError,
    UserWarning,
)
"""What Pillow and its plugins raise on damaged files."""

ABOUT_PIXELS = "Invalid APNG|Image appears to be a malformed MPO"
"""Warnings after which Pillow shows something else than what the file declares."""

MOST_PIXELS = 2**28
"""Of a picture: 2.5 times the largest that phones take."""

_STRICT = threading.Lock()


def load_pillow() -> Any:
    """``PIL.Image`` with every reader registered. Raises DependencyError."""
    try:
        from PIL import Image
    except ImportError:
        raise DependencyError(f"Pillow is not installed: {pip_install('video')}") from None
    Image.init()  # Image.open(formats=…) fails on a format whose module was not loaded yet
    if "HEIF" not in Image.OPEN and find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    if "JXL" not in Image.OPEN and find_spec("pillow_jxl"):
        import pillow_jxl  # noqa: F401  (it registers itself)
    return Image


def check_size(name: str, width: int, height: int) -> None:
    """Raise VideoError for a picture that would take gigabytes, or says so to do harm."""
    if width * height > MOST_PIXELS:
        raise VideoError(
            f"{name} is {width}×{height}, over {MOST_PIXELS // 10**6} million pixels: scale it down, or cut it up"
        )


@contextmanager
def strictly() -> Iterator[None]:
    """Cut pictures are errors here even if the program around us set ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``.

    ``check_size`` limits pictures, not Pillow. Warnings are about metadata, but those of ``ABOUT_PIXELS``, which are
    errors here; pixels that are damaged raise.
    """
    from PIL import Image, ImageFile

    with _STRICT, warnings.catch_warnings(action="ignore"):
        warnings.filterwarnings("error", ABOUT_PIXELS)
        kept = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = kept
