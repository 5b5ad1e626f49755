"""Decoded frames from a pipe: YUV4MPEG2 as ``ffmpeg -f yuv4mpegpipe`` writes it, or bare ``-f rawvideo``.

A YUV4MPEG2 stream is a line ``YUV4MPEG2 W96 H64 F25:1 C420mpeg2 XCOLORRANGE=LIMITED`` and, for each frame, a line
``FRAME`` and the planes without padding. It says nothing of matrix and transfer. ``C420jpeg`` is what ffmpeg writes for
chroma in the centre *and* for chroma of which it knows nothing, so that siting is taken but named as assumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from runtime import ConversionError, ParameterError, VideoError
from runtime.frames import LAYOUTS, Layout, stored_shapes, unpacked

NAME = "standard input"
_LINE = 1024  # bytes of a header at most
_SIDE = 2**16
_TAGS = {"420": "yuv420p", "422": "yuv422p", "444": "yuv444p"}
_SITING = {"420jpeg": "center", "420mpeg2": "left", "420paldv": "topleft"}
_RANGE = {"FULL": "full", "LIMITED": "limited"}


@dataclass(frozen=True)
class Shape:
    """What a stream of planes is made of, and what it says of itself; None: nothing.

    ``siting_unsure``: ``chroma_location`` is also what is written where it is not known. ``interlaced``: some frames
    are, or may be.
    """

    layout: Layout
    width: int
    height: int
    fps: Fraction | None = None
    range: str | None = None
    chroma_location: str | None = None
    siting_unsure: bool = False
    interlaced: bool = False


class Pipe:
    """The frames of a stream, in order, once, each as three planes.

    ``shape``: of all of them. Raises VideoError for a stream that is empty, cut, or something else, ConversionError for
    pixels that are not taken.
    """

    def __init__(self, file: BinaryIO, shape: Shape | None = None) -> None:
        """``shape``: of raw video; None: the stream is YUV4MPEG2, and its header says it."""
        self._file = file
        self._framed = shape is None
        self.shape = shape or _header(_line(file, "header"))

    def __iter__(self) -> Iterator[tuple[NDArray[Any], ...]]:
        layout = self.shape.layout
        shapes = stored_shapes(layout, self.shape.width, self.shape.height)
        kind = np.dtype(np.uint8 if layout.bit_depth == 8 else "<u2")
        index = 0
        while True:
            if self._framed and not self._begins(index):
                return
            data = bytearray(sum(rows * samples for rows, samples in shapes) * kind.itemsize)
            got = _fill(self._file, data)
            if got == 0 and not self._framed:
                return
            if got < len(data):
                raise VideoError(f"{NAME} is cut: frame {index} has {got} of its {len(data)} bytes")
            stored, at = [], 0
            for rows, samples in shapes:
                plane = np.frombuffer(data, kind, rows * samples, at).reshape(rows, samples)
                stored.append(plane.astype(kind.newbyteorder("="), copy=False))
                at += plane.nbytes
            yield unpacked(stored, layout)
            index += 1

    def _begins(self, index: int) -> bool:
        """Read the line before a frame; False at the end of the stream."""
        line = _line(self._file, f"line before frame {index}", end=True)
        if line is None:
            return False
        if line.startswith(b"YUV4MPEG2"):
            raise VideoError(f"{NAME}: a new stream begins at frame {index}: certify one stream at a time")
        if line != b"FRAME" and not line.startswith(b"FRAME "):
            raise VideoError(f"{NAME} is damaged: frame {index} does not begin with FRAME")
        return True


def raw_shape(size: str, pix_fmt: str, fps: Fraction | None) -> Shape:
    """The shape of ``-f rawvideo``. ``size``: as in 1920x1080; ``pix_fmt``: FFmpeg's name."""
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", size)
    if not found:
        raise ParameterError(f"size is WIDTHxHEIGHT, as in 1920x1080, not {size!r}")
    if pix_fmt not in LAYOUTS:
        raise ConversionError(f"pixel format {pix_fmt!r} is not taken: use one of {', '.join(LAYOUTS)}")
    return _checked(Shape(LAYOUTS[pix_fmt], int(found[1]), int(found[2]), fps))


def _header(line: bytes | None) -> Shape:
    if line is None:
        raise VideoError(f"nothing came through {NAME}: did the program before the pipe fail?")
    words = line.decode("ascii", "replace").split(" ")
    if words[0] != "YUV4MPEG2":
        raise VideoError(
            f"{NAME} is not YUV4MPEG2: ffmpeg writes it with -f yuv4mpegpipe (raw video: --format rawvideo)"
        )
    said = {word[0]: word[1:] for word in words[1:] if word and word[0] != "X"}
    colour = said.get("C", "420jpeg")
    found = re.fullmatch(r"(420|422|444)(?:p(9|10|12|14|16)|jpeg|mpeg2|paldv)?", colour)
    name = f"{_TAGS[found[1]]}{found[2] + 'le' if found[2] else ''}" if found else ""
    if name not in LAYOUTS or (colour not in _SITING and not re.fullmatch(r"\d{3}(p\d+)?", colour)):
        raise ConversionError(f"{NAME}: colour space C{colour} is not taken: give ffmpeg e.g. -pix_fmt yuv420p")
    try:
        width, height = int(said["W"]), int(said["H"])
        fps = Fraction(said["F"].replace(":", "/")) if said.get("F", "0:0") != "0:0" else None
    except (KeyError, ValueError, ZeroDivisionError):
        raise VideoError(f"{NAME} has a damaged header: {line[:80]!r}") from None
    ranges = [_RANGE.get(word.removeprefix("XCOLORRANGE=")) for word in words if word.startswith("XCOLORRANGE=")]
    return _checked(
        Shape(
            *(LAYOUTS[name], width, height, fps),
            range=ranges[0] if ranges else None,
            chroma_location=_SITING.get(colour),
            siting_unsure=colour == "420jpeg",
            interlaced=said.get("I", "p") in ("t", "b", "m"),
        )
    )


def _checked(shape: Shape) -> Shape:
    if not (0 < shape.width <= _SIDE and 0 < shape.height <= _SIDE):
        raise VideoError(f"{NAME}: a frame of {shape.width}×{shape.height} is none: sides are 1 … {_SIDE}")
    return shape


def _line(file: BinaryIO, what: str, *, end: bool = False) -> bytes | None:
    """A line without its end; None where nothing comes. ``end``: the stream may end here."""
    line = file.readline(_LINE)
    if not line:
        return None
    if not line.endswith(b"\n"):
        if end or line.startswith(b"YUV4MPEG2"):
            raise VideoError(f"{NAME} is cut or damaged: its {what} has no end")
        return line
    return line[:-1]


def _fill(file: BinaryIO, data: bytearray) -> int:
    """Read until ``data`` is full or the stream ends; the number of bytes read."""
    view, got = memoryview(data), 0
    while got < len(data):
        count = file.readinto(view[got:])  # type: ignore[attr-defined]
        if not count:
            break
        got += count
    return got
