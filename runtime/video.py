"""A video file → planes and the conversion its tags ask for, every frame or an error.

The number of frames is known before the first is decoded, because α is split over it: the packets are counted
without decoding and compared with the number the container declares. Decoding is strict (``err_detect=explode``,
no frame threads, which lose damaged frames in silence), and a file that decodes to another number of frames
than it holds packets is damaged.

PyAV tells matrix, range and transfer of a stream; it does not tell the chroma siting, which is therefore always
among the assumptions of a subsampled stream: "left", as H.264, HEVC, VP9 and AV1 default to, "center" for Motion JPEG.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import ConversionError, DependencyError, VideoError
from .planes import Conversion, default_matrix, rgb_from_planes

LEAST_PYAV = 17  # earlier ones ignore the colour matrix

# FFmpeg's numbers (ITU-T H.273): AVColorSpace, AVColorRange, AVColorTransferCharacteristic.
_MATRIX = {0: "rgb", 1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020nc"}
_RANGE = {1: "limited", 2: "full"}
_UNTAGGED = (2, None)
_HDR = {16: "PQ (SMPTE ST 2084)", 18: "HLG (ARIB STD-B67)"}


@dataclass(frozen=True)
class Layout:
    """``kind``: planar (Y, U, V or G, B, R), semi (Y, UV) or packed (RGB). ``shift``: unused low bits."""

    kind: str
    subsampling: str
    bit_depth: int
    shift: int = 0
    rgb: bool = False
    full: bool = False


def _layouts() -> dict[str, Layout]:
    made = {"rgb24": Layout("packed", "4:4:4", 8, rgb=True), "gbrp": Layout("planar", "4:4:4", 8, rgb=True)}
    for digits, subsampling in (("420", "4:2:0"), ("422", "4:2:2"), ("444", "4:4:4")):
        made[f"yuv{digits}p"] = Layout("planar", subsampling, 8)
        made[f"yuvj{digits}p"] = Layout("planar", subsampling, 8, full=True)
        for depth in (9, 10, 12, 14, 16):
            made[f"yuv{digits}p{depth}le"] = Layout("planar", subsampling, depth)
    for depth in (9, 10, 12, 14, 16):
        made[f"gbrp{depth}le"] = Layout("planar", "4:4:4", depth, rgb=True)
    for name, subsampling in (("nv12", "4:2:0"), ("nv16", "4:2:2"), ("nv24", "4:4:4")):
        made[name] = Layout("semi", subsampling, 8)
    for digit, subsampling in (("0", "4:2:0"), ("2", "4:2:2"), ("4", "4:4:4")):
        for depth in (10, 12, 16):
            made[f"p{digit}{depth}le"] = Layout("semi", subsampling, depth, shift=16 - depth)
    return made


LAYOUTS = _layouts()


@dataclass(frozen=True, eq=False)
class DecodedFrame:
    """``index``: number in the file, from 0. ``planes``: copies, independent of the decoder."""

    index: int
    planes: tuple[NDArray[Any], ...]
    conversion: Conversion

    def rgb(self) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The frame as H×W×3."""
        return rgb_from_planes(self.planes, self.conversion)


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise DependencyError("PyAV is not installed: pip install 'stochastic-biqa[video]'") from None
    if int(av.__version__.split(".")[0]) < LEAST_PYAV:
        raise DependencyError(f"PyAV {av.__version__} ignores the colour matrix: pip install 'av>={LEAST_PYAV}'")
    return av


class VideoReader:
    """Frames of a video file, in order, once. A context manager; see :func:`open_video`.

    ``path``, ``width``, ``height``; ``frame_count``: frames that will come; ``fps``: average rate or None;
    ``conversion``: how they become RGB.
    """

    def __init__(self, path: Path, *, matrix: str | None = None, range: str | None = None) -> None:
        self._av = _av()
        self.path = path
        self.frame_count = self._count()
        self._container = self._open()
        try:
            self._stream = self._video_stream(self._container)
            context = self._stream.codec_context
            context.options = {"err_detect": "explode"}
            context.thread_type = "SLICE"
            self.width: int = context.width
            self.height: int = context.height
            self.fps: Fraction | None = self._stream.average_rate
            self._format: str = context.pix_fmt or "unknown"
            if context.color_trc in _HDR:
                raise ConversionError(
                    f"{path}: the transfer is {_HDR[context.color_trc]}, high dynamic range, which the model has never "
                    "seen: tone-map it to SDR first (ffmpeg's zscale and tonemap filters)"
                )
            self.conversion = self._conversion(context, matrix, range)
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
        try:
            container = self._av.open(str(self.path))
        except self._av.FFmpegError as error:
            raise VideoError(f"{self.path} is not a picture or a video, or is damaged: {_said(error)}") from None
        # FFmpeg takes a text for terminal art and believes a picture's file name; neither is a video.
        if container.format.name in ("tty", "image2") or container.format.name.endswith("_pipe"):
            container.close()
            raise VideoError(f"{self.path} is not a picture or a video, or is damaged: its content is neither")
        return container

    def _video_stream(self, container: Any) -> Any:
        cover = self._av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            raise VideoError(f"{self.path} has no video in it (audio only?)")
        if streams[0].codec_context is None or not streams[0].codec_context.width:
            raise VideoError(f"{self.path}: its video cannot be decoded: unknown codec or size")
        return streams[0]

    def _count(self) -> int:
        """Packets that will be shown, after checking them against the number the container declares."""
        packets = shown = 0
        container = self._open()
        try:
            stream = self._video_stream(container)
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue
                if packet.is_corrupt:
                    raise VideoError(f"{self.path} is damaged: packet {packets} is marked corrupt")
                packets += 1
                shown += not packet.is_discard
            declared = stream.frames
        except self._av.FFmpegError as error:
            raise VideoError(f"{self.path} is damaged at packet {packets}: {_said(error)}") from None
        finally:
            container.close()
        if declared and declared != packets:
            raise VideoError(f"{self.path} is cut or damaged: it declares {declared} frames and holds {packets}")
        if shown == 0:
            raise VideoError(f"{self.path} has a video stream without frames")
        return shown

    def _conversion(self, context: Any, matrix: str | None, range: str | None) -> Conversion:
        layout = LAYOUTS.get(self._format)
        if layout is None:
            raise ConversionError(
                f"{self.path}: pixel format {self._format} is not taken (grey, alpha or packed): convert it first, "
                "e.g. ffmpeg -i IN -pix_fmt yuv444p -c:v ffv1 OUT.mkv"
            )
        assumed = []
        if layout.rgb:
            tagged_matrix: str | None = "rgb"
            tagged_range = "full" if context.color_range in (0, 2, None) else "limited"
        else:
            if context.colorspace not in _UNTAGGED and context.colorspace not in _MATRIX and matrix is None:
                raise ConversionError(
                    f"{self.path}: colour matrix {context.colorspace} (ITU-T H.273) is not known: say which one to use"
                )
            tagged_matrix = None if context.colorspace == 0 else _MATRIX.get(context.colorspace)
            tagged_range = "full" if layout.full else _RANGE.get(context.color_range, "")
        if not (matrix or tagged_matrix):
            assumed.append("matrix")
        if not (range or tagged_range):
            assumed.append("range")
        if layout.subsampling != "4:4:4":
            assumed.append("chroma_location")
        return Conversion(
            matrix=matrix or tagged_matrix or default_matrix(self.width, self.height),
            range=range or tagged_range or "limited",
            bit_depth=layout.bit_depth,
            subsampling=layout.subsampling,
            chroma_location="center" if context.name == "mjpeg" else "left",
            assumed=tuple(assumed),
        )

    def __iter__(self) -> Iterator[DecodedFrame]:
        index = 0
        try:
            for frame in self._container.decode(self._stream):
                self._check(frame, index)
                yield DecodedFrame(index, planes_of(frame, LAYOUTS[self._format]), self.conversion)
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

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def __enter__(self) -> VideoReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_video(path: Path, *, matrix: str | None = None, range: str | None = None) -> VideoReader:
    """Open a video file. ``matrix`` and ``range`` override what the stream says.

    Raises VideoError (missing, empty, damaged, cut, no video), ConversionError (HDR, unknown pixel format or
    matrix) or DependencyError (no PyAV).
    """
    return VideoReader(Path(path), matrix=matrix, range=range)


def planes_of(frame: Any, layout: Layout) -> tuple[NDArray[Any], ...]:
    """Copies of a frame's planes, without the padding at the end of their rows."""
    kind = np.dtype(np.uint8 if layout.bit_depth == 8 else "<u2")
    arrays: list[NDArray[Any]] = []
    for plane in frame.planes:
        samples = {"packed": 3, "semi": 1 if not arrays else 2, "planar": 1}[layout.kind]
        rows = np.frombuffer(plane, kind).reshape(plane.height, plane.line_size // kind.itemsize)
        arrays.append(rows[:, : plane.width * samples].astype(kind.newbyteorder("=")))
    if layout.kind == "packed":
        packed = arrays[0].reshape(frame.height, frame.width, 3)
        arrays = [packed[:, :, channel] for channel in (1, 2, 0)]
    elif layout.kind == "semi":
        arrays = [arrays[0], arrays[1][:, 0::2], arrays[1][:, 1::2]]
    return tuple(np.right_shift(array, layout.shift) for array in arrays)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
