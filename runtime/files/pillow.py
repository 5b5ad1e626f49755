"""Pillow, loaded with the first picture: strict about cut files, silent about metadata, with the plugins it takes."""

from __future__ import annotations

import struct
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from ..errors import DependencyError

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
)
"""What Pillow and its plugins raise on damaged files."""

_STRICT = threading.Lock()


def load_pillow() -> Any:
    """``PIL.Image`` with every reader registered. Raises DependencyError."""
    try:
        from PIL import Image
    except ImportError:
        raise DependencyError("Pillow is not installed: pip install 'stochastic-biqa[video]'") from None
    Image.init()  # Image.open(formats=…) fails on a format whose module was not loaded yet
    if "HEIF" not in Image.OPEN and find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener(thumbnails=False)
    if "JXL" not in Image.OPEN and find_spec("pillow_jxl"):
        import pillow_jxl  # noqa: F401  (it registers itself)
    return Image


@contextmanager
def strictly() -> Iterator[None]:
    """Cut pictures are errors here even if the program around us set ``PIL.ImageFile.LOAD_TRUNCATED_IMAGES``.

    Pictures of any size are taken: what limits them is memory. Warnings are about metadata; pixels that are damaged
    raise.
    """
    from PIL import Image, ImageFile

    with _STRICT, warnings.catch_warnings(action="ignore"):
        kept = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = kept
