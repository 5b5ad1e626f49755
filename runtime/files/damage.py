"""Is a picture file whole? What its decoder forgives is looked for here. A check returns notes, or raises VideoError.

Pillow decodes what it can and keeps quiet about the rest, so each format is looked at a second time:

    PNG     the CRC of every chunk, and the compressed pixels: their length and their checksum (ISO/IEC 15948)
    JPEG    a second decoder, libjpeg-turbo through simplejpeg, whose every warning is an error, and a third, FFmpeg's
            in its strict mode, which also counts coefficients; and holes of zero bytes, as sectors that were never
            written leave them (a JPEG has no checksum)
    TIFF    a second decoder, tifffile, whose every log line is an error; deflated strips have a checksum
    GIF     the chain of blocks up to the trailer
    WebP    the lengths of the RIFF chunks
    AVIF    the lengths of the boxes, as of MP4; so HEIF

What follows the end of a picture is not read: motion photos keep a video there. The record says how much it is.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DependencyError, VideoError
from ..install import pip_install

_PNG = b"\x89PNG\r\n\x1a\n"
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # a pixel, by PNG's colour type
_PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: first column and row, steps."""
_HOLE = bytes(12)
"""96 bits: over 30 coefficients of −1 in a row, which no picture has."""
_ALONE = {0x01, 0xD8, *range(0xD0, 0xD8)}  # JPEG markers without a length


def damaged(name: str, why: str) -> VideoError:
    """The error of a picture that is not whole."""
    return VideoError(f"{name} is cut or damaged: {why}")


def after_end(data: bytes, end: int) -> list[str]:
    """A note where bytes follow the end of a picture."""
    return [f"{len(data) - end} bytes after its end are not read"] if len(data) > end else []


def png_chunks(name: str, data: bytes) -> Iterator[tuple[bytes, bytes, int]]:
    """Kind, content and end of every chunk up to IEND."""
    at, kind = len(_PNG), b""
    if not data.startswith(_PNG):
        raise damaged(name, "it does not begin as a PNG does")
    while kind != b"IEND":
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        end = at + 12 + length
        if len(kind) < 4 or end > len(data):
            raise damaged(name, f"the chunk at byte {at} is incomplete")
        if zlib.crc32(data[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end]):
            raise damaged(name, f"the checksum of its chunk {kind.decode('latin-1')} at byte {at} is wrong")
        yield kind, data[at + 8 : end - 4], end
        at = end


def check_png(name: str, data: bytes) -> list[str]:
    inflate, header, end, size, tail = zlib.decompressobj(), b"", 0, 0, b""
    for kind, content, end in png_chunks(name, data):  # noqa: B007  (the last end is wanted)
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            try:
                size += len(inflate.decompress(content))
            except zlib.error as error:
                raise damaged(name, f"its pixels do not decompress ({error})") from None
            tail += inflate.unused_data
    if len(header) != 13:
        raise damaged(name, "it has no header")
    if not inflate.eof:
        raise damaged(name, "its compressed pixels have no end")
    if size != _png_size(header):
        raise damaged(name, f"it holds {size} bytes of pixels and should hold {_png_size(header)}")
    return after_end(data, end)


def _png_size(header: bytes) -> int:
    """Bytes of all rows, each with its filter."""
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:8])
    bits = header[8] * _SAMPLES.get(header[9], 0)
    passes = _PASSES if header[12] else ((0, 0, 1, 1),)
    total = 0
    for left, top, right, down in passes:
        columns, rows = -(-max(width - left, 0) // right), -(-max(height - top, 0) // down)
        total += rows * (1 + (columns * bits + 7) // 8) if columns else 0
    return total


@dataclass(frozen=True)
class Jpeg:
    """``end``: byte after the end-of-image marker. ``scans``: first byte, last, whether zeros may be flat pixels."""

    end: int
    components: int
    scans: tuple[tuple[int, int, bool], ...]


def walk_jpeg(name: str, data: bytes) -> Jpeg:
    """The chain of markers (ISO/IEC 10918-1, annex B). Raises VideoError where it breaks, or has no end.

    A code of zeros alone is the first of its Huffman table. Where every table of a sequential scan gives it to "end of
    block", long runs of zero bytes are a flat picture; else they would be dozens of equal coefficients in a row.
    """
    at, components, sequential = 2, 0, False
    first_code: dict[int, int] = {}
    scans: list[tuple[int, int, bool]] = []
    if not data.startswith(b"\xff\xd8"):
        raise damaged(name, "it does not begin as a JPEG does")
    while True:
        if at + 2 > len(data) or data[at] != 0xFF:
            raise damaged(name, f"no marker where one should be, at byte {at}")
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker == 0xD9:
            return Jpeg(at + 2, components, tuple(scans))
        if marker in _ALONE:
            at += 2
            continue
        length = int.from_bytes(data[at + 2 : at + 4])
        content = data[at + 4 : at + 2 + length]
        if length < 2 or at + 2 + length > len(data):
            raise damaged(name, f"the segment at byte {at} is incomplete")
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            components, sequential = content[5] if len(content) > 5 else 0, marker in (0xC0, 0xC1)
        elif marker == 0xC4:
            place = 0
            while place + 17 < len(content):
                first_code[content[place]] = content[place + 17]
                place += 17 + sum(content[place + 1 : place + 17])
        at += 2 + length
        if marker == 0xDA:  # coded pixels follow, up to a marker that is neither a stuffed zero nor a restart
            start = at
            while True:
                at = data.find(b"\xff", at)
                if at < 0 or at + 1 >= len(data):
                    raise damaged(name, "it ends inside its pixels")
                if data[at + 1] and not 0xD0 <= data[at + 1] <= 0xD7:
                    break
                at += 2
            used = [0x10 | tables & 15 for tables in content[2 : 1 + 2 * content[0] : 2]] if content else []
            flat = not sequential or all(first_code.get(table, 0) == 0 for table in used)
            scans.append((start, at, flat))


def check_jpeg(name: str, data: bytes) -> list[str]:
    found = walk_jpeg(name, data)
    for first, last, flat in found.scans:
        hole = -1 if flat else data.find(_HOLE, first, last)
        if hole >= 0:
            raise damaged(name, f"a hole of zero bytes in its pixels, at byte {hole}")
    try:
        import simplejpeg
    except ImportError:
        raise DependencyError(f"simplejpeg is not installed, and it checks JPEGs: {pip_install('video')}") from None
    try:
        simplejpeg.decode_jpeg(data, {1: "GRAY", 4: "CMYK"}.get(found.components, "RGB"), strict=True)
    except ValueError as error:
        raise damaged(name, " ".join(str(error).split())) from None
    if found.components != 4:
        _check_with_ffmpeg(name, data[: found.end])
    return after_end(data, found.end)


def _check_with_ffmpeg(name: str, data: bytes) -> None:
    """What FFmpeg's decoder cannot take for another reason than damage is passed over: libjpeg took it."""
    from .video import load_av

    av = load_av()
    try:
        with av.open(BytesIO(data), format="jpeg_pipe", metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "explode"}
            stream.codec_context.thread_type = "NONE"
            corrupt = any(frame.is_corrupt for frame in container.decode(stream))
    except av.InvalidDataError:
        corrupt = True
    except (av.FFmpegError, IndexError):
        return
    if corrupt:
        raise damaged(name, "FFmpeg's strict JPEG decoder finds invalid data")


def seen_by_ffmpeg(name: str, data: bytes) -> NDArray[np.uint8]:
    """A BMP as FFmpeg decodes it, H×W×3. Raises VideoError where it cannot: one decoder's word is too little here."""
    from .video import load_av

    av = load_av()
    try:
        with av.open(BytesIO(data), format="bmp_pipe", metadata_errors="ignore") as container:
            return np.asarray(next(iter(container.decode(video=0))).to_ndarray(format="rgb24"))
    except (av.FFmpegError, StopIteration, IndexError):
        raise VideoError(
            f"{name} is a BMP that FFmpeg cannot read, and decoders of BMPs differ: write it as PNG"
        ) from None


def check_gif(name: str, data: bytes) -> list[str]:
    at = 13 + (3 << (data[10] & 7) + 1 if len(data) > 10 and data[10] & 0x80 else 0)
    try:
        while data[at] != 0x3B:
            if data[at] == 0x21:
                at += 2
            elif data[at] == 0x2C:
                at += 10 + (3 << (data[at + 9] & 7) + 1 if data[at + 9] & 0x80 else 0) + 1
            else:
                raise damaged(name, f"no block begins at byte {at}")
            while data[at]:
                at += data[at] + 1
            at += 1
    except IndexError:
        raise damaged(name, "it ends before its trailer") from None
    return after_end(data, at + 1)


def check_webp(name: str, data: bytes) -> list[str]:
    end, at = 8 + int.from_bytes(data[4:8], "little"), 12
    if end > len(data):
        raise damaged(name, f"its RIFF chunk ends at byte {end}, the file at byte {len(data)}")
    while at < end:
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    if at not in (end, end + 1):
        raise damaged(name, f"its last chunk ends at byte {at}, its RIFF chunk at byte {end}")
    return after_end(data, at)


def check_boxes(name: str, data: bytes) -> list[str]:
    at = 0
    while at < len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        if length == 1:
            length = int.from_bytes(data[at + 8 : at + 16])
        if length == 0:
            return []
        if length < 8 or len(kind) < 4 or at + length > len(data):
            raise damaged(name, f"the box {kind.decode('latin-1')!r} at byte {at} is incomplete")
        at += length
    return []


def check_nothing(name: str, data: bytes) -> list[str]:
    """The decoder itself fails where the file is shorter than its pixels."""
    return []


class Complaints(logging.Handler):
    """What a library logs while it decodes, as an error at the end: ``with Complaints(name, "tifffile"): …``."""

    def __init__(self, name: str, logger: str) -> None:
        super().__init__(logging.WARNING)
        self._name = name
        self._logger = logging.getLogger(logger)
        self._said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())

    def __enter__(self) -> Complaints:
        self._logger.addHandler(self)
        self._propagate, self._logger.propagate = self._logger.propagate, False
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        self._logger.removeHandler(self)
        self._logger.propagate = self._propagate
        if error is None and self._said:
            raise damaged(self._name, " ".join(self._said[0].split())[:200])


def agree(name: str, one: NDArray[Any], other: NDArray[Any]) -> None:
    """Raise VideoError where two decoders of a lossless file see different pixels."""
    if one.shape != other.shape or not np.array_equal(one, other):
        raise damaged(name, "its two decoders disagree")
