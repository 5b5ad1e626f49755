"""A picture file → its frames as displayed: decoded, converted to sRGB, without alpha, upright.

One path for all formats:

    check    the file for damage (damage.py)
    decode   Pillow, or what keeps more than 8 bits (samples.py, tiff.py)
    colours  declared → sRGB (profiles.py)
    alpha    opaque or over a background (alpha.py)
    turn     upright (orientation.py)

Each step leaves its words in ``reading``, which goes into the record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BiqaError, FrameError, VideoError
from ..frames.colour_tags import HDR, hdr_error
from . import alpha, isobmff, profiles
from .damage import agree, damaged, png_chunks, seen_by_ffmpeg
from .formats import FORMATS, NO_STILLS, Format
from .orientation import TURNS, exif_orientation, turned
from .pillow import DAMAGED, check_size, load_pillow, strictly
from .samples import Decoded, from_pillow, split
from .tiff import is_tiff, read_tiff

_PRIMARIES = {
    1: (0.3127, 0.329, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    9: (0.3127, 0.329, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (0.3127, 0.329, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
}
"""Code point of ITU-T H.273 → x, y of white, red, green, blue."""
_SRGB_PRIMARIES = (1, 2, 5, 6, 7)
"""BT.709, unknown, and BT.601's, which differ from it by less than a viewer applies."""
_SRGB_TRANSFERS = (1, 2, 6, 13, 14, 15)
_GAMMA = 0.45455
_BEGINNINGS = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF8": "GIF", b"BM": "BMP"}


@dataclass(frozen=True)
class Colours:
    """What a file declares: a profile, or None and what to say of it."""

    profile: bytes | None = None
    said: str | None = None


def picture_format(file: Path | bytes) -> str | None:
    """Pillow's name of the picture in a file, or None: no picture, or one that is not there.

    Raises DependencyError where Pillow is missing.
    """
    Image = load_pillow()  # noqa: N806
    if isinstance(file, Path) and not file.is_file():
        return None
    head = b""
    try:
        head = file[:64] if isinstance(file, bytes) else _head(file)
        if is_tiff(head):
            return "TIFF"
        if head[:2] == b"\xff\x0a" or head[4:8] == b"JXL ":
            return "JXL"
        if head[4:8] == b"ftyp" and head[8:12] in (
            b"heic",
            b"heix",
            b"heim",
            b"heis",
            b"mif1",
            b"msf1",
            b"hevc",
            b"hevx",
        ):
            return "AVIF" if b"avif" in head[8:64] else "HEIF"
        with strictly(), Image.open(file if isinstance(file, Path) else BytesIO(file)) as image:
            return None if image.format in NO_STILLS else str(image.format)
    except DAMAGED:  # no picture, or one so damaged that only its first bytes tell
        return next((kind for start, kind in _BEGINNINGS.items() if head.startswith(start)), None)


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(64)


class Picture:
    """The frames of a picture file, one or, of an animation, several.

    ``count``; ``durations``: milliseconds each is shown, None of a still; ``reading``: every step, for the record.
    Raises VideoError for a file that is damaged, FrameError or ConversionError for one that is not taken.
    """

    def __init__(self, name: str, data: bytes, format: str, background: str | None = None) -> None:
        self._name, self._data, self._format = name, data, _row(name, format)
        self._background = background
        self.count = 1
        self.durations: list[int] | None = None
        self._skip = 0
        with strictly():
            notes = self._format.check(name, data)
            try:
                self._still, words = self._only() if self._format.name == "TIFF" else self._all()
            except BiqaError:
                raise
            except MemoryError:
                raise VideoError(
                    f"{name} takes more memory than there is: scale it down, or cut it into tiles"
                ) from None
            except DAMAGED as error:
                raise damaged(name, " ".join(str(error).split()) or type(error).__name__) from None
        self.reading: dict[str, Any] = {
            "format": self._format.name,
            "decoder": _decoder(self._format),
            **words,
            **({"background": background} if background else {}),
            **({"notes": notes} if notes else {}),
            **({"durations_ms": self.durations} if self.durations else {}),
        }

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """The frames, H×W×3 uint8 or uint16, in order, each time anew."""
        if self._still is not None:
            yield self._still
            return
        with strictly():
            image = self._opened()
        with image:
            for index in range(self.count):
                with strictly():
                    pixels = self._frame(image, index)[0]
                yield pixels

    def _only(self) -> tuple[NDArray[Any], dict[str, Any]]:
        decoded, orientation, profile = read_tiff(self._name, self._data)
        return self._finished(decoded, orientation, Colours(profile))

    def _all(self) -> tuple[NDArray[Any] | None, dict[str, Any]]:
        """A still, or None and every frame of a clip decoded once."""
        with self._opened() as image:
            found = getattr(image, "n_frames", 1)
            self._skip = int(bool(getattr(image, "default_image", False)))  # an APNG's still, no frame of it
            if found - self._skip > 1 and self._format.moving:
                self.count = found - self._skip
                words: dict[str, Any] = {}
                self.durations, sizes = [], set()
                for index in range(self.count):
                    pixels, said = self._frame(image, index)
                    self.durations.append(round(float(image.info.get("duration", 0))))
                    words = said if not words or said["alpha"] not in (alpha.NONE, alpha.OPAQUE) else words
                    sizes.add(pixels.shape)
                if len(sizes) > 1:
                    raise FrameError(f"{self._name} holds frames of several sizes: give them as files of their own")
                return None, words
            if found > 1 and not self._format.moving and self._format.several == "refused":
                raise FrameError(f"{self._name} holds {found} pictures: give one")
            still, words = self._frame(image, 0 if found > 1 and self._format.moving else None)
            if found > 1 and self._format.several == "first":
                words["picture"] = f"the main one; {found} layers or pictures in the file"
            if self._skip:
                words["picture"] = "the only frame of an animation, in place of its still"
            return still, words

    def _opened(self) -> Any:
        Image = load_pillow()  # noqa: N806
        try:
            return Image.open(
                BytesIO(self._data), formats=("JPEG", "MPO") if self._format.name == "MPO" else (self._format.name,)
            )
        except DAMAGED as error:
            if self._format.name in ("JXL", "HEIF") and self._format.name not in Image.OPEN:
                package = {"JXL": "pillow-jxl-plugin", "HEIF": "pillow-heif"}[self._format.name]
                raise FrameError(
                    f"{self._name} is {self._format.name}, which {package} reads: pip install {package}"
                ) from None
            raise damaged(self._name, f"{error}") from None

    def _frame(self, image: Any, index: int | None) -> tuple[NDArray[Any], dict[str, Any]]:
        try:
            if index is not None:
                image.seek(index + self._skip)
            check_size(self._name, image.width, image.height)
            declared = self._colours(image)
            decoded = self._deep(image) or from_pillow(self._name, image)
            if self._format.name == "BMP":
                rgb = decoded.colours if decoded.mode == "RGB" else np.repeat(decoded.colours[..., None], 3, axis=2)
                agree(self._name, rgb, seen_by_ffmpeg(self._name, self._data))
            if self._format.name == "AVIF" and (bits := isobmff.av1_depth(self._data)) > 8:
                decoded = replace(decoded, samples=f"{decoded.samples}, decoded from {bits}")
            if self._format.name == "HEIF" and (bits := image.info.get("bit_depth", 8)) > 8:
                decoded = replace(decoded, samples=f"{decoded.samples}, decoded from {bits}")
            return self._finished(decoded, self._orientation(image), declared)
        except BiqaError:
            raise
        except MemoryError:
            raise VideoError(
                f"{self._name} takes more memory than there is: scale it down, or cut it into tiles"
            ) from None
        except DAMAGED as error:
            raise damaged(self._name, " ".join(str(error).split()) or type(error).__name__) from None

    def _finished(self, decoded: Decoded, orientation: int, declared: Colours) -> tuple[NDArray[Any], dict[str, Any]]:
        colours, converted = profiles.to_srgb(self._name, decoded.colours, decoded.mode, declared.profile)
        flat, laid = alpha.without_alpha(self._name, colours, decoded.alpha, self._background)
        upright = TURNS[orientation]
        if self._format.name == "HEIF" and isobmff.is_turned(self._data):
            upright = "turned by libheif, as irot and imir say"
        words = {
            "samples": decoded.samples,
            "colours": declared.said or converted,
            "alpha": laid,
            "orientation": upright,
        }
        return np.ascontiguousarray(turned(flat, orientation)), words

    def _orientation(self, image: Any) -> int:
        if self._format.name in ("JPEG", "MPO", "PNG", "WEBP", "AVIF"):
            return exif_orientation(self._name, image.info.get("exif"))
        return 1

    def _deep(self, image: Any) -> Decoded | None:
        """16 bits where Pillow narrows them, or refuses to say."""
        name = self._format.name
        if name == "PNG" and self._data[24:25] == b"\x10" and image.mode in ("RGB", "RGBA", "LA"):
            if "transparency" in image.info:
                raise FrameError(
                    f"{self._name} has 16 bits and a transparent colour: compose it over a background first"
                )
            pixels = np.asarray(profiles.load_imagecodecs().png_decode(self._data))
            return split(pixels, "RGB, 16 bits" if pixels.shape[2] > 2 else "grey, 16 bits")
        if name == "PPM":
            return self._deep_ppm(image)
        if name == "BMP" and image.tile and str(image.tile[0].args[0]) in ("BGR;15", "BGR;16"):
            raise FrameError(f"{self._name} has 5 or 6 bits a channel: convert it to 8-bit RGB first")
        if name == "JPEG2000" and image.mode in ("RGB", "RGBA", "LA") and _jpeg2000_depth(self._data) != 8:
            raise FrameError(f"{self._name} has other than 8 bits a channel: write it as a 16-bit PNG or TIFF first")
        return None

    def _deep_ppm(self, image: Any) -> Decoded | None:
        codec, _, offset, arguments = image.tile[0]
        told = codec.startswith("ppm") and isinstance(arguments, tuple)
        top = 65535 if arguments == "I;16B" else arguments[-1] if told else 255
        if top not in (255, 65535) and image.mode in ("RGB", "L", "I"):
            raise FrameError(f"{self._name} counts to {top}: 8 or 16 full bits a channel are taken: convert it first")
        if top != 65535:
            return None
        channels = 3 if image.mode == "RGB" else 1
        count = image.width * image.height * channels
        if self._data[:2] not in (b"P5", b"P6"):
            raise FrameError(f"{self._name} has 16 bits a sample written as text: convert it to a binary PPM")
        if len(self._data) < offset + 2 * count:
            raise damaged(self._name, "it ends inside its pixels")
        pixels = np.frombuffer(self._data, ">u2", count, offset).astype(np.uint16)
        shape = (image.height, image.width, 3) if channels == 3 else (image.height, image.width)
        return split(pixels.reshape(shape), f"{'RGB' if channels == 3 else 'grey'}, 16 bits")

    def _colours(self, image: Any) -> Colours:
        """What the file declares. Raises ConversionError for high dynamic range."""
        profile, name = image.info.get("icc_profile") or None, self._format.name
        if name == "PNG":
            for kind, content, _ in png_chunks(self._name, self._data):
                if kind == b"cICP" and len(content) == 4:
                    return self._code_points(content[0], content[1], "cICP")
            if profile is None and "srgb" not in image.info and image.info.get("gamma"):
                return self._png_gamma(image.info["gamma"], image.info.get("chromaticity"))
        if name in ("AVIF", "HEIF"):
            found = [
                self._code_points(primaries, transfer, "nclx") for primaries, transfer, _ in isobmff.nclx(self._data)
            ]
            if profile is None and found:
                return found[0]
        if name == "JPEG2000":
            profile = profile or _jpeg2000_profile(self._data)
        return Colours(profile)

    def _code_points(self, primaries: int, transfer: int, where: str) -> Colours:
        if transfer in HDR:
            raise hdr_error(self._name, HDR[transfer], "the")
        said = f"{where} primaries {primaries}, transfer {transfer}"
        if transfer not in _SRGB_TRANSFERS and transfer not in (4, 5):
            raise hdr_free_error(self._name, said)
        gamma = {4: 2.2, 5: 2.8}.get(transfer)
        if primaries in _SRGB_PRIMARIES and gamma is None:
            return Colours(None, f"{said}: taken as sRGB")
        if primaries not in _PRIMARIES and primaries not in _SRGB_PRIMARIES:
            raise hdr_free_error(self._name, said)
        made = profiles.rgb_profile(_PRIMARIES.get(primaries, _PRIMARIES[1]), gamma)
        return Colours(made, f"{said} to sRGB: {profiles.HOW}")

    def _png_gamma(self, gamma: float, corners: tuple[float, ...] | None) -> Colours:
        near = corners is None or max(abs(a - b) for a, b in zip(corners, _PRIMARIES[1], strict=True)) < 0.01
        if near and abs(gamma - _GAMMA) < 0.01:
            return Colours(None, f"gAMA {gamma:g}: taken as sRGB")
        if not 0.1 <= gamma <= 2:
            raise hdr_free_error(self._name, f"gAMA {gamma:g}")
        made = profiles.rgb_profile(tuple(corners) if corners else _PRIMARIES[1], 1 / gamma)
        return Colours(made, f"gAMA {gamma:g}{' and cHRM' if corners else ''} to sRGB: {profiles.HOW}")


def hdr_free_error(name: str, said: str) -> FrameError:
    """The refusal of colours that no rule of ours converts."""
    return FrameError(f"{name}: its colours ({said}) are not converted here: convert it to sRGB first")


def open_picture(path: Path, format: str, background: str | None = None) -> Picture:
    """The picture in a file. Raises what :class:`Picture` raises."""
    return Picture(str(path), path.read_bytes(), format, background)


def read_picture(name: str, data: bytes, background: str | None = None) -> Picture:
    """The picture in memory, of standard input. Raises VideoError where it is none."""
    kind = picture_format(data)
    if kind is None:
        raise VideoError(
            f"{name} is not a picture, or is damaged: a video is read from a file, or through bindings.ffmpeg"
        )
    return Picture(name, data, kind, background)


def _row(name: str, format: str) -> Format:
    row = FORMATS.get(format)
    if row is None:
        raise FrameError(f"{name} is a {format} picture, which is not taken: convert it to PNG first")
    return row


def _decoder(row: Format) -> str:
    from importlib.metadata import PackageNotFoundError, version

    names = {"TIFF": ("tifffile", "imagecodecs"), "HEIF": ("pillow-heif",), "JXL": ("pillow-jxl-plugin",)}
    found = []
    for package in (*names.get(row.name, ()), "pillow"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(package)
    return ", ".join(found)


def _jpeg2000_depth(data: bytes) -> int:
    """Bits of the first component, from the SIZ segment."""
    at = data.find(b"\xff\x51")
    return (data[at + 40] & 0x7F) + 1 if 0 <= at < len(data) - 40 else 0


def _jpeg2000_profile(data: bytes) -> bytes | None:
    """Of a ``colr`` box that holds a profile (method 2)."""
    at = data.find(b"colr")
    if at < 4 or data[at + 4 : at + 5] != b"\2":
        return None
    return data[at + 7 : at - 4 + int.from_bytes(data[at - 4 : at])]
