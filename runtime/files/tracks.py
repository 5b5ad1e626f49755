"""What a container says of a video track beside its codec: encrypted, cropped, Dolby Vision.

PyAV shows none of it. MP4 and MOV keep it in the sample entry (ISO/IEC 14496-12, 8.5.2 and 12.1.3), Matroska in the
track entry (RFC 9559, 5.1.4).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ..errors import ConversionError, VideoError
from ..frames.colour_tags import hdr_error
from .containers import read_element

_PATH = (b"trak", b"mdia", b"minf", b"stbl", b"stsd")
_LARGEST = 2**28
_SEGMENT, _CLUSTER, _TRACKS, _ENTRY, _VIDEO = 0x18538067, 0x1F43B675, 0x1654AE6B, 0xAE, 0xE0
_CROPS = (0x54AA, 0x54BB, 0x54CC, 0x54DD)
_MAPPING, _EXTRA, _ENCODING_ENCRYPTION = 0x41E4, 0x41ED, 0x5035
_ENCODINGS, _ENCODING = 0x6D80, 0x6240
_DOLBY = (b"dvcC", b"dvvC", b"dvwC")


@dataclass(frozen=True)
class Track:
    """``crop``: in words, None where nothing is. ``dolby_vision``: its profile, and what its base layer is."""

    encrypted: bool = False
    crop: str | None = None
    dolby_vision: tuple[int, int] | None = None


def tracks(path: Path, container: str) -> list[Track]:
    """Of all tracks in the order of the file; empty for other containers."""
    name = container.split(",")[0]
    with path.open("rb") as file:
        if name == "mov":
            return [_mp4_track(entry) for entry in _mp4_entries(file, path.stat().st_size)]
        if name == "matroska":
            return list(_matroska_tracks(file, path.stat().st_size))
    return []


def refuse_track(name: str, track: Track) -> None:
    """What decoding would pass over. Raises VideoError (encrypted, cropped) or ConversionError (Dolby Vision)."""
    if track.encrypted:
        raise VideoError(f"{name} is encrypted: decrypt it first")
    if track.crop:
        raise VideoError(f"{name} is cropped by its container ({track.crop}): ffmpeg -i IN -c:v ffv1 OUT.mkv crops it")
    if track.dolby_vision and (track.dolby_vision[0] == 5 or track.dolby_vision[1] == 0):
        raise hdr_error(name, f"Dolby Vision profile {track.dolby_vision[0]}", "the")


def alpha_error(name: str) -> ConversionError:
    """The refusal of a video whose alpha its decoder leaves out."""
    return ConversionError(
        f"{name} has alpha (alpha_mode 1): lay it over a background first, e.g. ffmpeg -c:v libvpx-vp9 -i IN "
        '-filter_complex "color=white[b];[b][0]scale2ref[c][v];[c][v]overlay=shortest=1" -c:v ffv1 OUT.mkv'
    )


def _mp4_entries(file: BinaryIO, size: int) -> Iterator[bytes]:
    """The content of the sample description of every track."""
    at = 0
    while at + 8 <= size:
        file.seek(at)
        head = file.read(16)
        if len(head) < 8:
            return
        length, kind = struct.unpack(">I4s", head[:8])
        first = 8
        if length == 1 and len(head) == 16:
            (length,) = struct.unpack(">Q", head[8:])
            first = 16
        length = length or size - at
        if length < first:
            return
        if kind == b"moov" and length <= _LARGEST:
            file.seek(at + first)
            moov = file.read(length - first)
            for trak in (content for kind, content in _boxes(moov) if kind == b"trak"):
                yield _within(trak, _PATH[1:])
        at += length


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if length < 8:
            return
        yield kind, data[at + 8 : at + length]
        at += length


def _within(data: bytes, path: tuple[bytes, ...]) -> bytes:
    for wanted in path:
        data = next((content for kind, content in _boxes(data) if kind == wanted), b"")
    return data


def _mp4_track(description: bytes) -> Track:
    encrypted, crop, dolby = False, None, None
    for kind, entry in _boxes(description[8:]):
        encrypted |= kind in (b"encv", b"drmi")
        if len(entry) < 78:
            continue
        width, height = struct.unpack_from(">HH", entry, 24)
        for box, content in _boxes(entry[78:]):
            if box == b"clap" and len(content) >= 32:
                wide, wide_by, high, high_by = struct.unpack_from(">4I", content)
                if wide != width * wide_by or high != height * high_by:
                    crop = (
                        f"its clean aperture is {wide / (wide_by or 1):g}×{high / (high_by or 1):g} of {width}×{height}"
                    )
            if box in _DOLBY:
                dolby = _dolby(content)
    return Track(encrypted, crop, dolby)


def _dolby(content: bytes) -> tuple[int, int] | None:
    """Profile and compatibility of a Dolby Vision configuration record."""
    return (content[2] >> 1, content[4] >> 4) if len(content) >= 5 else None


def _children(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Identifier, first and last byte of every element between two bytes, up to the first cluster."""
    while start < end and (element := read_element(file, start)) is not None:
        identifier, content, length = element
        start = end if length is None else content + length
        if identifier == _CLUSTER:
            return
        yield identifier, content, start


def _matroska_tracks(file: BinaryIO, size: int) -> Iterator[Track]:
    for segment, first, last in _children(file, 0, size):
        for tracks_, *inner in _children(file, first, last) if segment == _SEGMENT else ():
            for entry, *place in _children(file, *inner) if tracks_ == _TRACKS else ():
                if entry == _ENTRY:
                    yield _matroska_track(file, *place)


def _matroska_track(file: BinaryIO, first: int, last: int) -> Track:
    cropped, dolby, encrypted = False, None, False
    for identifier, *place in _children(file, first, last):
        if identifier == _VIDEO:
            cropped |= any(kind in _CROPS and any(_bytes(file, *at)) for kind, *at in _children(file, *place))
        elif identifier == _MAPPING:
            for kind, *at in _children(file, *place):
                dolby = _dolby(_bytes(file, *at)) if kind == _EXTRA else dolby
        elif identifier == _ENCODINGS:
            for kind, *at in _children(file, *place):
                encrypted |= kind == _ENCODING and any(k == _ENCODING_ENCRYPTION for k, *_ in _children(file, *at))
    return Track(encrypted, "its PixelCrop elements crop it" if cropped else None, dolby)


def _bytes(file: BinaryIO, first: int, last: int) -> bytes:
    file.seek(first)
    return file.read(last - first)
