"""A path → its frames, picture or video alike, with the count known before the first is scored."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import ParameterError, VideoError
from ..frames.input import Frame
from .alpha import background_colour
from .images import Picture, open_picture, picture_format, read_picture
from .orientation import AS_STORED
from .video import Scan, open_video

STANDARD_INPUT = Path("-")


class FileFrames:
    """Every ``subsample``-th frame of a file as it is displayed, anew in every pass: what ``Certifier`` takes.

    A still has one frame; a video or an animation has those that are shown. ``matrix``, ``range``: override what a
    video's tags say. ``background``: white, black, grey or #rrggbb, what lies under a transparent picture. ``stream``:
    which of several videos, from 0; None: the one that ffmpeg takes. The path ``-`` is a picture from standard input.

    ``numbers``: the frames' numbers in the file. ``reading``: what was done between bytes and frames, for the record.
    ``notes``: what of it is worth telling. The file is decoded once when it is opened. Raises VideoError for a file
    that is missing, damaged, cut or neither picture nor video, FrameError or ConversionError for one that is not taken,
    ParameterError, DependencyError; frames are never fewer than its length without an error.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        *,
        subsample: int = 1,
        matrix: str | None = None,
        range: str | None = None,
        background: str | None = None,
        stream: int | None = None,
    ) -> None:
        if subsample < 1:
            raise ParameterError(f"subsample is 1 or more, not {subsample}")
        self._path = path = Path(path)
        self._subsample = subsample
        self._matrix, self._range = matrix, range
        self._picture = _picture(path, background_colour(background))
        self._scan: Scan | None = None
        if self._picture is None:
            with open_video(path, matrix=matrix, range=range, stream=stream) as reader:
                self._scan = reader.scan
            total = self._scan.count
        else:
            total = self._picture.count
        self._count = -(-total // subsample)

    @cached_property
    def reading(self) -> Mapping[str, Any]:
        """Every step between the bytes of the file and its frames."""
        if self._picture is not None:
            return self._picture.reading
        assert self._scan is not None
        return self._scan.reading

    @property
    def notes(self) -> list[str]:
        """The steps that change what is seen, or that leave something to know."""
        said = self.reading
        notes = [] if said["orientation"] == AS_STORED else [said["orientation"]]
        notes += [] if said["alpha"] == "none" else [f"alpha {said['alpha']}"]
        notes += [said["colours"]] if " to sRGB" in said["colours"] else []
        notes += [f"pixels {said['pixels']}"] if said.get("pixels", "square") != "square" else []
        notes += [f"{key}: {said[key]}" for key in ("interlaced", "hidden", "dropped", "picture") if key in said]
        notes += [f"stream {said['stream']}"] if not said.get("stream", "0 of 1").endswith("of 1") else []
        notes += [said["samples"]] if "decoded from" in said.get("samples", "") else []
        return [*notes, *said.get("notes", ())]

    @property
    def numbers(self) -> list[int]:
        """Of the frames, in the file."""
        return [index * self._subsample for index in range(self._count)]

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Frame]:
        if self._picture is not None:
            for index, frame in enumerate(self._picture):
                if index % self._subsample == 0:
                    yield frame
            return
        if not self._path.is_file():
            raise VideoError(f"no such file any more: {self._path}")
        with open_video(self._path, matrix=self._matrix, range=self._range, scan=self._scan) as reader:
            for decoded in reader:
                if decoded.index % self._subsample == 0:
                    yield decoded.planes, decoded.conversion


def _picture(path: Path, background: str | None) -> Picture | None:
    """The picture in a file, None for what may be a video."""
    if path == STANDARD_INPUT and not path.exists():
        return read_picture("standard input", sys.stdin.buffer.read(), background)
    kind = picture_format(path)
    return None if kind is None else open_picture(path, kind, background)
