"""GStreamer's buffers and caps → planes and what the caps say of their colours."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bindings.gstreamer.api import GstVideo
from runtime import VideoError
from runtime.frames import LAYOUTS, Layout, Tags, stored_shapes, tagged, unpacked


def _formats() -> dict[str, Layout]:
    named = {"I420": "yuv420p", "Y42B": "yuv422p", "Y444": "yuv444p", "GBR": "gbrp", "RGB": "rgb24", "BGR": "bgr24"}
    for depth in (10, 12):
        for ours, theirs in (("420", "I420"), ("422", "I422"), ("444", "Y444")):
            named[f"{theirs}_{depth}LE"] = f"yuv{ours}p{depth}le"
    for depth in (10, 12, 16):
        named[f"GBR_{depth}LE"] = f"gbrp{depth}le"
    named |= {"Y444_16LE": "yuv444p16le", "NV12": "nv12", "NV16": "nv16", "NV24": "nv24"}
    named |= {"P010_10LE": "p010le", "P012_LE": "p012le", "P016_LE": "p016le"}
    return {name: LAYOUTS[layout] for name, layout in named.items()}


FORMATS = _formats()
CAPS = f"video/x-raw, format=(string){{ {', '.join(FORMATS)} }}, width=[1, max], height=[1, max]"

_RANGE = {1: "full", 2: "limited"}  # GstVideoColorRange, whose names in Python begin with digits
_SITING = {"mpeg2": "left", "jpeg": "center", "none": "center", "dv": "topleft", "cosited": "topleft"}


class Format:
    """What caps say. ``layout``, ``width``, ``height``, ``interlaced``, and ``tags``: of their colours.

    Raises VideoError for caps that are no video, or whose buffers hold fields.
    """

    def __init__(self, caps: Any) -> None:
        self._info = GstVideo.VideoInfo.new_from_caps(caps)
        if self._info is None:
            raise VideoError(f"caps that are no video: {caps.to_string()}")
        said = caps.get_structure(0)
        self.layout = FORMATS[said.get_string("format")]
        self.width, self.height = int(self._info.width), int(self._info.height)
        mode = said.get_string("interlace-mode") or "progressive"
        if mode in ("fields", "alternate"):
            raise VideoError(
                f"buffers hold fields (interlace-mode {mode}), not frames: put deinterlace before the element"
            )
        self.interlaced = mode != "progressive"
        self.tags = _tags(self.layout, said.get_string("colorimetry"), said.get_string("chroma-site"))

    def planes(self, buffer: Any) -> tuple[NDArray[Any], ...]:
        """Copies of a buffer's planes. Raises VideoError for one that is too short."""
        meta = GstVideo.buffer_get_video_meta(buffer)
        offsets, strides = (meta.offset, meta.stride) if meta else (self._info.offset, self._info.stride)
        data = buffer.extract_dup(0, buffer.get_size())
        kind = np.dtype(np.uint8 if self.layout.bit_depth == 8 else "<u2")
        stored = []
        for (rows, samples), offset, stride in zip(
            stored_shapes(self.layout, self.width, self.height), offsets, strides, strict=False
        ):
            end = offset + (rows - 1) * stride + samples * kind.itemsize
            if stride < samples * kind.itemsize or end > len(data):
                raise VideoError(f"a buffer of {len(data)} bytes is too short for its plane, which ends at byte {end}")
            plane = np.ndarray((rows, samples), kind, data, offset, (stride, kind.itemsize))
            stored.append(plane.astype(kind.newbyteorder("=")))
        return unpacked(stored, self.layout)


def _tags(layout: Layout, colorimetry: str | None, siting: str | None) -> Tags:
    """``colorimetry``, ``siting``: as in caps; None where they say nothing."""
    colour = GstVideo.VideoColorimetry()
    if colorimetry and not colour.from_string(colorimetry):
        raise VideoError(f"colorimetry {colorimetry!r} is not known")
    return tagged(
        layout,
        matrix=GstVideo.VideoColorMatrix.to_iso(colour.matrix) if colorimetry else None,
        transfer=GstVideo.VideoTransferFunction.to_iso(colour.transfer) if colorimetry else None,
        primaries=GstVideo.VideoColorPrimaries.to_iso(colour.primaries) if colorimetry else None,
        range=_RANGE.get(int(colour.range)) if colorimetry else None,
        chroma_location=_SITING.get(siting, siting) if siting else None,
    )
