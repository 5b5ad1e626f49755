"""A video file → planes and the conversion its tags ask for, every frame or an error.

The number of frames is known before the first is decoded, because α is split over it: the packets are counted
without decoding, compared with the number the container declares, and the file's structure is checked for a missing
end (``containers.py``, which also says what cannot be seen). Decoding is strict (``err_detect=explode``, no
frame threads, which lose damaged frames in silence), and a file that decodes to another number of frames than it
holds packets is damaged.

Matrix, range and chroma siting are those the stream says, or its first frame where the stream says nothing; what
neither says is assumed, and named so. A later frame that says something else is an error, not converted wrongly.

A path is opened as a file, never as a URL, and never as a list of other files (HLS, DASH, concat, image sequences).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ConversionError, DependencyError, VideoError
from ..frames.colour_tags import Tags, conversion_for, hdr_error, tagged
from ..frames.pixel_formats import LAYOUTS, Layout, planes_of
from ..frames.planes import Conversion, rgb_from_planes
from ..install import pip_install
from .chroma_location import chroma_location
from .containers import check_whole

LEAST_PYAV = 17  # earlier ones ignore the colour matrix
CONTAINERS = (
    *("mov", "matroska", "avi", "yuv4mpegpipe", "ivf", "mxf", "mpegts", "mpeg", "flv", "nut"),
    *("h264", "hevc", "vvc", "obu", "av1", "mpegvideo", "m4v"),
)

_RANGE = {1: "limited", 2: "full"}  # AVColorRange


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """``index``: number in the file, from 0. ``planes``: copies, independent of the decoder."""

    index: int
    planes: tuple[NDArray[Any], ...]
    conversion: Conversion

    def rgb(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The frame as H×W×3."""
        return rgb_from_planes(self.planes, self.conversion)


def _tags(said: Any, layout: Layout) -> Tags:
    """``said``: a PyAV codec context or frame."""
    return tagged(layout, matrix=said.colorspace, transfer=said.color_trc, range=_RANGE.get(said.color_range))


def load_av() -> Any:
    """PyAV. Raises DependencyError if it is missing or too old."""
    try:
        import av
    except ImportError:
        raise DependencyError(f"PyAV is not installed: {pip_install('video')}") from None
    if _major(av) < LEAST_PYAV:
        raise DependencyError(f"PyAV {av.__version__} ignores the colour matrix: pip install 'av>={LEAST_PYAV}'")
    return av


def _major(av: Any) -> int:
    return int(av.__version__.split(".")[0])


class VideoReader:
    """Frames of a video file, in order, once. A context manager; see :func:`open_video`.

    ``path``, ``width``, ``height``; ``frame_count``: frames that will come; ``fps``: average rate or None;
    ``conversion``: how they become RGB.
    """

    def __init__(self, path: Path, *, matrix: str | None = None, range: str | None = None) -> None:
        self._av = load_av()
        self.path = path
        self.frame_count = self._count()
        self._container = self._open()
        self._told = {"matrix": matrix, "range": range}
        self._read = False
        try:
            self._stream = self._video_stream(self._container)
            context = self._stream.codec_context
            context.options = {"err_detect": "explode"}
            context.thread_type = "SLICE"
            self.fps: Fraction | None = self._stream.average_rate or None
            self.width: int = context.width
            self.height: int = context.height
            self._format: str = context.pix_fmt or "unknown"
            self._layout = self._known_layout()
            tags = _tags(context, self._layout)
            self._decoded = self._decode()
            self._first = next(self._decoded)
            self.conversion = self._conversion(tags, _tags(self._first, self._layout))
        except BaseException:
            self.close()
            raise

    def _open(self) -> Any:
        if not self.path.exists():
            raise VideoError(f"no such file: {self.path}")
        if not self.path.is_file():
            raise VideoError(f"{self.path} is not a file")
        if self.path.stat().st_size == 0:
            raise VideoError(f"{self.path} is empty")
        # From 19 on, PyAV replaces what is not UTF-8 by itself.
        replace = {"metadata_errors": "replace"} if _major(self._av) < 19 else {}
        only = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}
        try:
            return self._av.open(f"file:{os.path.abspath(self.path)}", container_options=only, **replace)
        except self._av.FFmpegError as error:
            why = _said(error)
            if error.errno == errno.EINVAL:
                why = (
                    f"its container is none of {', '.join(CONTAINERS)} (ffmpeg -i IN -c copy OUT.mkv makes one; of a "
                    "playlist, give the files it lists)"
                )
            raise VideoError(f"{self.path} is not a picture or a video, or is damaged: {why}") from None

    def _video_stream(self, container: Any) -> Any:
        cover = self._av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            raise VideoError(f"{self.path} has no video in it (audio only?)")
        if streams[0].codec_context is None or not streams[0].codec_context.width:
            raise VideoError(f"{self.path}: its video cannot be decoded: unknown codec or size")
        return streams[0]

    def _count(self) -> int:
        """Packets that will be shown, after checking that the file is whole."""
        packets = shown = end = 0
        container = self._open()
        try:
            stream = self._video_stream(container)
            declared = _declared(container.format.name, stream)
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.is_corrupt:
                    raise VideoError(f"{self.path} is cut or damaged: packet {packets} is marked corrupt")
                packets += 1
                shown += not packet.is_discard
                end = (packet.pos or 0) + packet.size
            check_whole(self.path, container.format.name, end)
        except self._av.FFmpegError as error:
            raise VideoError(f"{self.path} is damaged at packet {packets}: {_said(error)}") from None
        finally:
            container.close()
        if packets < declared:
            raise VideoError(f"{self.path} is cut or damaged: it declares {declared} frames and holds {packets}")
        if shown == 0:
            raise VideoError(f"{self.path} has a video stream without frames")
        return shown

    def _known_layout(self) -> Layout:
        layout = LAYOUTS.get(self._format)
        if layout is None:
            rgb = any(order in self._format for order in ("rgb", "bgr", "gbr"))
            raise ConversionError(
                f"{self.path}: pixel format {self._format} is not taken (only planar and semi-planar YUV, planar GBR, "
                f"RGB24 and BGR24, without alpha or padding): convert it first, e.g. ffmpeg -i IN -pix_fmt "
                f"{'gbrp' if rgb else 'yuv444p'} -c:v ffv1 OUT.mkv"
            )
        return layout

    def _conversion(self, stream: Tags, first: Tags) -> Conversion:
        told = self._told["matrix"]
        if told is not None and (told == "rgb") != self._layout.rgb:
            raise ConversionError(f"{self.path}: matrix {told!r} is not for pixel format {self._format}: leave it out")
        tags = Tags(
            matrix=told or stream.matrix or first.matrix,
            range=self._told["range"] or stream.range or first.range,
            hdr=stream.hdr or first.hdr,
            chroma_location=chroma_location(self._av, self._stream) if self._layout.subsampling != "4:4:4" else None,
        )
        return conversion_for(str(self.path), self._layout, self.width, self.height, tags)

    def __iter__(self) -> Iterator[DecodedFrame]:
        if self._read:
            raise VideoError(f"{self.path} can be read once, until it is closed: open it again to read it again")
        self._read = True
        for index, frame in enumerate(chain([self._first], self._decoded)):
            self._check_colours(frame, index)
            yield DecodedFrame(index, planes_of(frame, self._layout), self.conversion)

    def _decode(self) -> Iterator[Any]:
        """The decoder's frames, as many as there should be, all of one size and pixel format."""
        index = 0
        try:
            for frame in self._container.decode(self._stream):
                self._check(frame, index)
                yield frame
                index += 1
        except self._av.FFmpegError as error:
            raise VideoError(f"{self.path} is damaged at frame {index} of {self.frame_count}: {_said(error)}") from None
        if index != self.frame_count:
            raise VideoError(f"{self.path} is damaged: it holds {self.frame_count} frames and only {index} decode")

    def _check(self, frame: Any, index: int) -> None:
        if frame.is_corrupt:
            raise VideoError(f"{self.path} is damaged: frame {index} of {self.frame_count} is corrupt")
        if index >= self.frame_count:
            raise VideoError(f"{self.path} decodes to more than the {self.frame_count} frames it holds packets for")
        if (frame.width, frame.height, frame.format.name) != (self.width, self.height, self._format):
            raise VideoError(
                f"{self.path}: frame {index} is {frame.width}×{frame.height} {frame.format.name}, the first ones "
                f"{self.width}×{self.height} {self._format}: split the file where it changes"
            )

    def _check_colours(self, frame: Any, index: int) -> None:
        tags = _tags(frame, self._layout)
        if tags.hdr is not None:
            raise hdr_error(str(self.path), tags.hdr, f"from frame {index} on, the")
        for name, told in self._told.items():
            said, used = getattr(tags, name), getattr(self.conversion, name)
            if told is None and said not in (None, used):
                whence = "which was assumed" if name in self.conversion.assumed else "as the stream says"
                raise ConversionError(
                    f"{self.path}: frame {index} says that its {name} is {said}, and {used} is in use, {whence}: split "
                    f"the file where it changes, or say which {name} to use"
                )

    def close(self) -> None:
        """Close the file; no frames come after this."""
        self._read = True
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_video(path: Path, *, matrix: str | None = None, range: str | None = None) -> VideoReader:
    """Open a video file. ``matrix`` and ``range`` override what the stream and its frames say.

    Raises VideoError (missing, empty, damaged, cut, no video), ConversionError (HDR, unknown pixel format or
    matrix, a matrix that does not fit the pixels) or DependencyError (no PyAV).
    """
    return VideoReader(Path(path), matrix=matrix, range=range)


def _declared(container: str, stream: Any) -> int:
    """How many packets the container's own index or header promises; 0 if it makes no promise."""
    if container.startswith("mov"):
        return len(stream.index_entries)  # what edit lists leave of the samples; of fragments, what is read so far
    if container == "mxf":
        return stream.duration or 0  # in edit units, which are frames
    return int(stream.frames)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
