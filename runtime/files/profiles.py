"""Colours a file declares → sRGB, by littlecms.

The score is of sRGB code values, so a picture tagged with another space is converted before anything is certified: the
radius is about the converted frame. Relative colorimetric intent with black point compensation, which is what
browsers and viewers use; colours outside sRGB are clipped. No precalculated tables (``NOOPTIMIZE``): pictures of 8 bits
go through Pillow's ImageCms, which rounds to 8 bits, deeper ones through imagecodecs, which keeps 16.

A file that declares nothing is taken for sRGB, and the record says so. So is one whose profile *is* sRGB: where 17³
colours spread over the cube come out within one code value of 255, nothing is converted, because sRGB has many
profiles, and rounding twice would change pixels for nothing.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError, DependencyError
from ..install import pip_install

UNTAGGED = "untagged, taken as sRGB"
HOW = "relative colorimetric, black point compensation, littlecms"
_INTENT = 1  # relative colorimetric
_FLAGS = 0x2000 | 0x0100  # black point compensation, no precalculated tables
_SPACES = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Colour space in a profile's header → Pillow's mode of the pixels it is for."""


def to_srgb(name: str, pixels: NDArray[Any], mode: str, profile: bytes | None) -> tuple[NDArray[Any], str]:
    """H×W×3 sRGB of the same dtype, and what was done, in words.

    ``pixels``: H×W (mode L), H×W×3 (RGB) or H×W×4 (CMYK, ink as Pillow counts it) of uint8 or uint16. Raises
    ConversionError for a profile that does not fit the pixels or cannot be used, and for CMYK without one.
    """
    if profile is None:
        if mode == "CMYK":
            raise ConversionError(f"{name} is CMYK without a profile, which says no colours: convert it to sRGB first")
        return as_rgb(pixels), UNTAGGED
    found = _opened(name, profile)
    space = str(found.profile.xcolor_space)
    said = f"{_described(found)} (ICC profile {hashlib.sha256(profile).hexdigest()[:12]})"
    if _SPACES.get(space) != mode:
        if mode == "L" and space == "RGB ":  # grey with the profile of its colour picture: three equal channels
            pixels, mode = as_rgb(pixels), "RGB"
        else:
            raise ConversionError(f"{name} is {mode}, its ICC profile is for {space.strip()}: remove or correct it")
    deep = pixels.dtype == np.uint16
    try:
        if mode == "RGB" and is_srgb(profile):
            return as_rgb(pixels), f"{said}: sRGB, not converted"
        converted = _deep(pixels, mode, profile) if deep else _shallow(pixels, mode, profile)
    except DependencyError:
        raise
    except Exception as error:  # littlecms' own, of several kinds
        raise ConversionError(f"{name}: its ICC profile cannot be used ({error}): convert it to sRGB first") from None
    return converted, f"{said} to sRGB: {HOW}, {16 if deep else 8} bits"


def as_rgb(pixels: NDArray[Any]) -> NDArray[Any]:
    """A grey picture is an RGB picture of three equal channels."""
    return np.repeat(pixels[:, :, None], 3, axis=2) if pixels.ndim == 2 else pixels


def rgb_profile(primaries: tuple[float, ...], gamma: float | None) -> bytes:
    """The ICC profile of an RGB space. ``primaries``: x, y of white, red, green, blue. ``gamma``: None is sRGB's curve.

    For files that give numbers in place of a profile: PNG's gAMA and cHRM, H.273's code points.
    """
    codecs = load_imagecodecs()
    white, red, green, blue = (list(primaries[at : at + 2]) for at in (0, 2, 4, 6))
    curve: dict[str, Any] = {"gamma": gamma} if gamma else {"transferfunction": _srgb_curve()}
    corners = [*red, 1.0, *green, 1.0, *blue, 1.0]
    return bytes(codecs.cms_profile("rgb", whitepoint=[*white, 1.0], primaries=corners, **curve))


@lru_cache(maxsize=8)
def is_srgb(profile: bytes) -> bool:
    """Whether it maps 17³ colours to themselves, to within one code value."""
    steps = np.linspace(0, 255, 17).round().astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(17, -1, 3)
    made = _shallow(cube, "RGB", profile)
    return int(np.abs(made.astype(np.int16) - cube).max()) <= 1


def _srgb_curve() -> NDArray[np.uint16]:
    value = np.linspace(0, 1, 4096)
    linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return (linear * 65535).round().astype(np.uint16)


def _opened(name: str, profile: bytes) -> Any:
    from PIL import ImageCms

    try:
        return ImageCms.ImageCmsProfile(BytesIO(profile))
    except OSError:
        raise ConversionError(
            f"{name}: its ICC profile is damaged: remove it, or convert the picture to sRGB"
        ) from None


def _described(profile: Any) -> str:
    text = profile.profile.profile_description or "a space without a name"
    return " ".join(str(text).replace("\0", "").split())[:80]


def _srgb() -> bytes:
    from PIL import ImageCms

    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())


@lru_cache(maxsize=8)
def _transform(profile: bytes, mode: str) -> Any:
    from PIL import ImageCms

    source, srgb = (ImageCms.ImageCmsProfile(BytesIO(data)) for data in (profile, _srgb()))
    return ImageCms.buildTransform(source, srgb, mode, "RGB", renderingIntent=_INTENT, flags=_FLAGS)  # type: ignore[arg-type]


def _shallow(pixels: NDArray[Any], mode: str, profile: bytes) -> NDArray[Any]:
    from PIL import Image

    height, width = pixels.shape[:2]
    image = Image.frombytes(mode, (width, height), np.ascontiguousarray(pixels).tobytes())
    return np.array(_transform(profile, mode).apply(image))


def _deep(pixels: NDArray[Any], mode: str, profile: bytes) -> NDArray[Any]:
    spaces = {"RGB": "rgb", "L": "minisblack", "CMYK": "cmyk"}
    made: NDArray[Any] = load_imagecodecs().cms_transform(
        np.ascontiguousarray(pixels), profile, _srgb(), colorspace=spaces[mode], outcolorspace="rgb",
        outdtype="uint16", intent=_INTENT, flags=_FLAGS,
    )  # fmt: skip
    return made


def load_imagecodecs() -> Any:
    """imagecodecs. Raises DependencyError."""
    try:
        import imagecodecs
    except ImportError:
        raise DependencyError(
            f"imagecodecs is not installed, and it reads this picture: {pip_install('video')}"
        ) from None
    return imagecodecs
