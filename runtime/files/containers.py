"""Whether a container file is whole, by the lengths it states itself.

A demuxer that meets the end of a file inside a frame drops the frame without a word, and many containers state no
number of frames to compare with. But most state lengths in bytes:

    Matroska, WebM   of the Segment; if that was written live and is unknown, of its clusters or their blocks
    MP4, MOV         of every top-level box; a ``moof`` is followed by its data; a ``sidx`` covers all fragments
    AVI              of every RIFF chunk
    Y4M              all frames are alike, so the last one ends with the file
    MPEG-TS          packets of 188, 192 or 204 bytes
    FLV              of every tag

Cuts that nobody can see: between two clusters or blocks of a Matroska file of unknown length, between two fragments of
an MP4 without ``sidx``, between two packets of MPEG-TS, two tags of FLV, and anywhere in MPEG-PS, NUT and raw H.264,
HEVC, VVC, AV1 or MPEG-2 streams, unless the decoder stumbles.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from ..errors import VideoError

_SEGMENT = 0x18538067
_SYNC = 0x47
_UNWRITTEN = (0, 0xFFFFFFFF)


def check_whole(path: Path, container: str, frames_end: int) -> None:
    """Raise VideoError if the file ends before what it holds does.

    ``container``: FFmpeg's name of the format. ``frames_end``: byte after the last video packet.
    """
    size = path.stat().st_size
    name = container.split(",")[0]
    with path.open("rb") as file:
        if name == "yuv4mpegpipe":
            missing = None if frames_end == size else "its last frame is incomplete"
        elif name in _CHECKS:
            missing = _CHECKS[name](file, size)
        else:
            missing = None
    if missing is not None:
        raise VideoError(f"{path} is cut or damaged: {missing}, the file at byte {size}")


def read_element(file: BinaryIO, at: int) -> tuple[int, int, int | None] | None:
    """The EBML element (RFC 8794) at byte ``at``: its ID, the first byte of its content, the length of that in bytes.

    The length is None where the file says "unknown"; the result is None where no whole element header stands.
    """
    file.seek(at)
    head = file.read(12)
    id_length = 9 - head[0].bit_length() if head else 9
    if id_length > 4 or len(head) <= id_length:
        return None
    content = id_length + 9 - head[id_length].bit_length()
    if content > id_length + 8 or content > len(head):
        return None
    unknown = (1 << 7 * (content - id_length)) - 1
    length = int.from_bytes(head[id_length:content]) & unknown
    return int.from_bytes(head[:id_length]), at + content, None if length == unknown else length


def _matroska(file: BinaryIO, size: int) -> str | None:
    at = 0
    while at < size:
        element = read_element(file, at)
        if element is None:
            return f"the element at byte {at} is incomplete"
        identifier, content, length = element
        at = content if length is None else content + length
        if at > size:
            return f"the element {identifier:X} ends at byte {at}"
        if identifier == _SEGMENT and length is not None:
            return None  # what follows is not the video's
    return None


def _boxes(file: BinaryIO, size: int) -> str | None:
    at, kind = 0, b""
    while at < size:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return f"the box at byte {at} is incomplete"
        length, kind = struct.unpack(">I4s", head[:8])
        if length == 0:  # to the end of the file
            return None
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
        if length < 8:
            return f"the box at byte {at} is incomplete"
        at += length
        if at > size:
            return f"the box {kind.decode('latin-1')} ends at byte {at}"
        if kind == b"sidx" and (end := _fragments_end(file, at - length + 8, at)) > size:
            return f"its fragments end at byte {end}"
    return "the data of its last fragment is missing" if kind == b"moof" else None


def _fragments_end(file: BinaryIO, content: int, end: int) -> int:
    """Where the fragments of a segment index (ISO/IEC 14496-12, 8.16.3) end, counted from the end of its box."""
    file.seek(content)
    box = file.read(end - content)
    wide = len(box) > 0 and box[0] > 0
    first = 28 if wide else 20
    if len(box) < first + 4:
        return end
    (offset,) = struct.unpack_from(">Q" if wide else ">I", box, 20 if wide else 16)
    (count,) = struct.unpack_from(">H", box, first + 2)
    sizes = [int.from_bytes(box[at : at + 4]) & 0x7FFFFFFF for at in range(first + 4, first + 4 + 12 * count, 12)]
    return end + int(offset) + sum(sizes)


def _riff(file: BinaryIO, size: int) -> str | None:
    at = 0
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or head[:4] != b"RIFF":
            return None
        (length,) = struct.unpack("<I", head[4:])
        if length in _UNWRITTEN:
            return "its length was never written, so the recording was broken off or piped; where it ends nobody knows"
        at += 8 + length
        if at > size:
            return f"its RIFF chunk ends at byte {at}"
        at += length % 2


def _transport(file: BinaryIO, size: int) -> str | None:
    head = file.read(3 * 204)
    for length, sync in ((188, 0), (192, 4), (204, 0)):
        if len(head) > sync + 2 * length and all(head[sync + k * length] == _SYNC for k in range(3)):
            return f"its last packet of {length} bytes is incomplete" if size % length else None
    return None


def _flash(file: BinaryIO, size: int) -> str | None:
    file.seek(5)
    at = int.from_bytes(file.read(4)) + 4  # the header, then four bytes after every tag
    while at < size:
        file.seek(at)
        at += 11 + int.from_bytes(file.read(4)[1:]) + 4
    return None if at in (size, size + 4) else f"its last tag ends at byte {at}"


_CHECKS = {"matroska": _matroska, "mov": _boxes, "avi": _riff, "mpegts": _transport, "flv": _flash}
