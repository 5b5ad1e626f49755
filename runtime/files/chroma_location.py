"""Where the chroma samples of a stream sit.

FFmpeg knows it from H.264 and HEVC headers, from what MPEG-2, MPEG-4 and JPEG prescribe, and from Matroska and Y4M
files, but PyAV up to 18 shows it neither on the codec nor on the frame. FFmpeg's Matroska writer puts it into the
track's header, though: that header is written to memory for the stream and read back.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from .containers import read_element

# Segment, Tracks, TrackEntry, Video, Colour (RFC 9559, section 5.1.4)
_COLOUR = (0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0x55B0)
_HORIZONTAL, _VERTICAL = 0x55B7, 0x55B8
_LOCATIONS = {(1, 1): "topleft", (1, 2): "left", (2, 1): "top", (2, 2): "center"}


def chroma_location(av: Any, stream: Any) -> str | None:
    """topleft, left, top or center; None if nothing says. ``av``: the module; ``stream``: one of an open container."""
    file = BytesIO()
    try:
        with av.open(file, "w", format="matroska", container_options={"allow_raw_vfw": "1"}) as header:
            header.add_stream_from_template(stream, opaque=True)
            header.start_encoding()
    except (av.FFmpegError, ValueError):  # a codec that Matroska cannot hold
        return None
    start, end = 0, len(file.getvalue())
    for wanted in _COLOUR:
        found = _children(file, start, end)
        if wanted not in found:
            return None
        start, end = found[wanted]
    values = {}
    for name, (first, last) in _children(file, start, end).items():
        file.seek(first)
        values[name] = int.from_bytes(file.read(last - first))
    return _LOCATIONS.get((values.get(_HORIZONTAL, 0), values.get(_VERTICAL, 0)))


def _children(file: BytesIO, start: int, end: int) -> dict[int, tuple[int, int]]:
    """First and last byte of the content of every element between two bytes, by its ID."""
    found: dict[int, tuple[int, int]] = {}
    while start < end and (element := read_element(file, start)) is not None:
        identifier, content, length = element
        start = end if length is None else content + length
        found[identifier] = (content, start)
    return found
