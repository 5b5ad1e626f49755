"""A video file → planes and the conversion its tags ask for, every frame or an error.

The number of frames is known before the first is scored, because α is split over it: the file is decoded once for
that, and :class:`Scan` keeps what was found. Its packets are compared with the number the container declares, and its
structure is checked for a missing end (``containers.py``, which also says what cannot be seen). Decoding is strict
(``err_detect=explode``, no frame threads, which lose damaged frames in silence), a decoder that only logs its errors is
listened to (``decoder_log.py``), and a file that decodes to another number of frames than it holds packets to be shown
is damaged. Packets of no bytes (AVI's dropped frames) and hidden
frames of VP8 and VP9 are not to be shown.

Frames come as they are displayed: turned as the display matrix says, plane by plane as FFmpeg does it.

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
from ..frames.colour_tags import HDR, Tags, conversion_for, foreign_colours, foreign_error, hdr_error, tagged
from ..frames.pixel_formats import LAYOUTS, Layout, planes_of
from ..frames.planes import Conversion, rgb_from_planes
from ..install import pip_install
from .chroma_location import chroma_location
from .containers import check_whole
from .decoder_log import ONLY_LOGGED, logged_errors
from .orientation import TURNS, matrix_orientation, swaps_sides, turned_planes
from .tracks import Track, alpha_error, refuse_track, tracks

LEAST_PYAV = 17  # earlier ones ignore the colour matrix
CONTAINERS = (
    *("mov", "matroska", "avi", "yuv4mpegpipe", "ivf", "mxf", "mpegts", "mpeg", "flv", "nut"),
    *("h264", "hevc", "vvc", "obu", "av1", "mpegvideo", "m4v"),
)

_RANGE = {1: "limited", 2: "full"}  # AVColorRange
_PRIMARIES = {0: None, 2: None, 1: "BT.709", 5: "BT.601 (625 lines)", 6: "BT.601 (525 lines)", 7: "SMPTE 240M"}
_DEFAULT_BONUS = 5_000_000
"""Pixels that a default stream counts more, as ffmpeg chooses."""


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


@dataclass(frozen=True)
class Scan:
    """What one pass over a file found: ``count`` of frames shown, ``stream`` (number among the videos of the file),
    ``orientation`` (EXIF's number), ``reading`` (for the record), and the file's size and time, which must not change.
    """

    count: int
    stream: int
    orientation: int
    reading: dict[str, Any]
    stamp: tuple[int, int]


class VideoReader:
    """Frames of a video file, in order, once. A context manager; see :func:`open_video`.

    ``path``, ``width``, ``height`` as displayed; ``frame_count``: frames that will come; ``fps``: average rate or None;
    ``conversion``: how they become RGB; ``scan``: what was found on the way, which spares the next reader the search.
    """

    def __init__(
        self,
        path: Path,
        *,
        matrix: str | None = None,
        range: str | None = None,
        stream: int | None = None,
        scan: Scan | None = None,
    ) -> None:
        self._av = load_av()
        self.path = path
        self._wanted = stream if scan is None else scan.stream
        self._container = self._open()
        self._told = {"matrix": matrix, "range": range}
        self._read = False
        try:
            self._stream = self._video_stream(self._container)
            context = self._stream.codec_context
            self._format: str = context.pix_fmt or "unknown"
            self._refuse_track()
            self._refuse_colours(context, "the")
            if context.pix_fmt:
                self._known_layout()
            self.scan = scan or self._scan()
            self._layout = self._known_layout()
            self._refuse_turned_422()
            if self.scan.stamp != _stamp(path):
                raise VideoError(f"{path} changed while it was read")
            self.frame_count = self.scan.count
            strict(context)
            self.fps: Fraction | None = self._stream.average_rate or None
            self._size = context.width, context.height
            sides = self._size[::-1] if swaps_sides(self.scan.orientation) else self._size
            self.width, self.height = sides
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
                    f"its container is none of {', '.join(CONTAINERS)} (of a video, ffmpeg -i IN OUT.mkv makes one; "
                    "of a playlist, give the files it lists; pictures: docs/formats.md)"
                )
            raise VideoError(f"{self.path} is not a picture or a video, or is damaged: {why}") from None

    def _video_stream(self, container: Any) -> Any:
        """The one asked for, or the one that ffmpeg would take."""
        streams = self._video_streams(container)
        if not streams:
            raise VideoError(f"{self.path} has no video in it (audio only?)")
        if self._wanted is not None:
            if not 0 <= self._wanted < len(streams):
                raise VideoError(f"{self.path} has {len(streams)} video streams: stream is 0 … {len(streams) - 1}")
            chosen = streams[self._wanted]
        else:
            chosen = max(streams, key=self._preference)
        if chosen.codec_context is None or not chosen.codec_context.width:
            raise VideoError(
                f"{self.path}: its video cannot be decoded: unknown codec or size{self._if_encrypted(chosen)}"
            )
        return chosen

    def _video_streams(self, container: Any) -> list[Any]:
        cover = self._av.stream.Disposition.attached_pic
        return [s for s in container.streams.video if not s.disposition & cover]

    def _preference(self, stream: Any) -> int:
        context = stream.codec_context
        default = bool(stream.disposition & self._av.stream.Disposition.default)
        return (context.width * context.height if context else 0) + _DEFAULT_BONUS * default

    def _track(self, stream: Any) -> Track:
        found = tracks(self.path, self._container.format.name)
        return found[stream.index] if stream.index < len(found) else Track()

    def _if_encrypted(self, stream: Any) -> str:
        return ", because it is encrypted: decrypt it first" if self._track(stream).encrypted else ""

    def _refuse_track(self) -> None:
        """What the container says that decoding would pass over."""
        refuse_track(str(self.path), self._track(self._stream))
        if ("alpha_mode", "1") in {(key.lower(), value) for key, value in self._stream.metadata.items()}:
            raise alpha_error(str(self.path))

    def _refuse_colours(self, said: Any, what: str) -> None:
        if said.color_trc in HDR:
            raise hdr_error(str(self.path), HDR[said.color_trc], what)
        if foreign := foreign_colours(said.color_primaries, said.color_trc):
            raise foreign_error(str(self.path), foreign, what)

    def _scan(self) -> Scan:
        """Decode everything once, after which it is known how many frames are shown, and that the file is whole."""
        stamp = _stamp(self.path)
        packets = shown = hidden = end = frames = interlaced = 0
        orientation = 1
        container = self._open()
        try:
            stream = self._video_stream(container)
            strict(stream.codec_context)
            codec, declared = stream.codec_context.name, _declared(container.format.name, stream)
            with logged_errors(self._av, codec) as errors:
                for packet in container.demux(stream):
                    if packet.size:
                        if packet.is_corrupt:
                            raise VideoError(f"{self.path} is cut or damaged: packet {packets} is marked corrupt")
                        packets += 1
                        unseen = is_hidden(codec, memoryview(packet))
                        shown += not packet.is_discard and not unseen
                        hidden += unseen
                        end = (packet.pos or 0) + packet.size
                    elif packet.dts is not None:
                        continue
                    for frame in packet.decode():
                        if frame.is_corrupt:
                            raise VideoError(f"{self.path} is damaged: frame {frames} is corrupt")
                        turn = self._orientation(frame)
                        if frames and turn != orientation:
                            raise VideoError(
                                f"{self.path}: from frame {frames} on it is turned otherwise: split it there"
                            )
                        orientation = turn
                        interlaced += frame.interlaced_frame
                        frames += 1
            if errors:
                raise VideoError(f"{self.path} is damaged: its decoder says {errors[0]!r}")
            check_whole(self.path, container.format.name, end)
            if packets < declared:
                raise VideoError(f"{self.path} is cut or damaged: it declares {declared} frames and holds {packets}")
            if shown == 0:
                raise VideoError(f"{self.path} has a video stream without frames")
            if frames != shown:
                raise VideoError(f"{self.path} is damaged: it holds {shown} frames and {frames} decode")
            reading = self._reading(container, stream, orientation)
        except self._av.FFmpegError as error:
            raise VideoError(f"{self.path} is damaged at frame {frames}: {_said(error)}") from None
        finally:
            container.close()
        if interlaced:
            reading["interlaced"] = f"{interlaced} of {frames} frames, not deinterlaced"
        if hidden:
            reading["hidden"] = f"{hidden} frames that are not shown"
        if container.format.name == "avi" and stream.frames > packets:
            reading["dropped"] = f"{stream.frames - packets} packets without bytes, which show nothing"
        videos = self._video_streams(self._container)
        return Scan(frames, videos.index(self._stream), orientation, reading, stamp)

    def _orientation(self, frame: Any) -> int:
        side = frame.side_data.get("DISPLAYMATRIX")
        return 1 if side is None else matrix_orientation(str(self.path), bytes(side))

    def _refuse_turned_422(self) -> None:
        if swaps_sides(self.scan.orientation) and self._layout.subsampling == "4:2:2":
            raise VideoError(
                f"{self.path} is displayed turned by 90°, and its chroma is 4:2:2: let ffmpeg turn it, ffmpeg -i IN "
                "-pix_fmt yuv444p -c:v ffv1 OUT.mkv"
            )

    def _reading(self, container: Any, stream: Any, orientation: int) -> dict[str, Any]:
        context, videos = stream.codec_context, self._video_streams(container)
        aspect = stream.sample_aspect_ratio
        square = aspect is None or aspect in (0, 1)
        primaries = _PRIMARIES.get(context.color_primaries)
        return {
            "format": container.format.name,
            "decoder": f"av {self._av.__version__}, {context.name}",
            "stream": f"{videos.index(stream)} of {len(videos)}",
            "orientation": TURNS[orientation] + ("" if orientation == 1 else ", plane by plane"),
            "pixels": "square" if square else f"{aspect.numerator}:{aspect.denominator}, as stored",
            "colours": f"primaries {primaries}, taken as sRGB's"
            if primaries
            else "primaries untagged, taken as sRGB's",
            "alpha": "none",
        }

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
            planes = turned_planes(planes_of(frame, self._layout), self.scan.orientation)
            yield DecodedFrame(index, planes, self.conversion)

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
        if (frame.width, frame.height, frame.format.name) != (*self._size, self._format):
            width, height = self._size
            raise VideoError(
                f"{self.path}: frame {index} is {frame.width}×{frame.height} {frame.format.name}, the first ones "
                f"{width}×{height} {self._format}: split the file where it changes"
            )

    def _check_colours(self, frame: Any, index: int) -> None:
        tags = _tags(frame, self._layout)
        self._refuse_colours(frame, f"from frame {index} on, the")
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


def open_video(
    path: Path,
    *,
    matrix: str | None = None,
    range: str | None = None,
    stream: int | None = None,
    scan: Scan | None = None,
) -> VideoReader:
    """Open a video file. ``matrix`` and ``range`` override what the stream and its frames say.

    ``stream``: which of its videos, from 0; None: the one that ffmpeg takes. ``scan``: of an earlier reader of the same
    file. Raises VideoError (missing, empty, damaged, cut, encrypted, cropped, no video), ConversionError (HDR, wide
    gamut, alpha, unknown pixel format or matrix, a matrix that does not fit the pixels) or DependencyError (no PyAV).
    """
    return VideoReader(Path(path), matrix=matrix, range=range, stream=stream, scan=scan)


def strict(context: Any) -> None:
    """Every fault of the stream raises, but those of ONLY_LOGGED."""
    context.options = {"err_detect": "explode"}
    context.thread_type = "NONE" if context.name in ONLY_LOGGED else "SLICE"


def is_hidden(codec: str, packet: memoryview) -> bool:
    """Whether a packet of VP8 or VP9 holds a frame that is not shown, to be referred to by later ones."""
    first = packet[0]
    if codec in ("vp8", "libvpx"):
        return not first & 0x10
    if codec not in ("vp9", "libvpx-vp9") or packet[-1] & 0xE0 == 0xC0:  # a superframe shows its last one
        return False
    profile_3 = first & 0x30 == 0x30
    repeats, shows = (0x04, 0x01) if profile_3 else (0x08, 0x02)
    return not first & repeats and not first & shows


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _declared(container: str, stream: Any) -> int:
    """How many packets the container's own index or header promises; 0 if it makes no promise."""
    if container.startswith("mov") or (container == "avi" and len(stream.index_entries)):
        return len(stream.index_entries)  # what edit lists leave of the samples; of fragments, what is read so far
    if container == "mxf":
        return stream.duration or 0  # in edit units, which are frames
    return int(stream.frames)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
