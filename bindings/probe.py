"""A video file → what ffprobe says of it after decoding it once, strictly: number, times and colours of its frames.

A pipe, a pipeline or a script does not say whether the file behind it was cut or damaged, and few say its colours.
Decoding costs little beside certifying, which runs the network some hundred times a frame.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from runtime import ConversionError, DependencyError, VideoError
from runtime.files import CONTAINERS, Track, alpha_error, check_whole, refuse_track, tracks
from runtime.frames import Tags, foreign_colours, foreign_error, hdr_error

_MATRIX = {"bt709": "bt709", "bt470bg": "bt601", "smpte170m": "bt601", "bt2020nc": "bt2020nc"}
_UNTAGGED = (None, "unknown", "unspecified", "gbr", "reserved")  # of R, G, B the pixel format tells
_RANGE = {"tv": "limited", "pc": "full"}
_HDR = {"smpte2084": "PQ (SMPTE ST 2084)", "arib-std-b67": "HLG (ARIB STD-B67)"}
_PRIMARIES = {
    "bt470m": 4, "film": 8, "bt2020": 9, "smpte428": 10, "smpte428_1": 10, "smpte431": 11, "smpte432": 12,
    "ebu3213": 22, "jedec-p22": 22,
}  # fmt: skip
_TRANSFER = {"linear": 8, "log100": 9, "log": 9, "log316": 10, "log_sqrt": 10, "smpte428": 17, "smpte428_1": 17}
"""ffprobe's names → numbers of ITU-T H.273, of those that are refused."""
_DEFAULT_BONUS = 5_000_000
"""Pixels that a default stream counts more, as ffmpeg chooses."""
_ENTRIES = (
    "packet=pos,size,flags:frame=best_effort_timestamp_time,interlaced_frame,color_space,color_range,color_transfer,"
    "color_primaries,chroma_location:stream=index,pix_fmt,nb_frames,r_frame_rate,color_space,color_range,"
    "color_transfer,color_primaries,chroma_location:stream_tags:stream_side_data=rotation:format=format_name"
)


@dataclass(frozen=True)
class Probe:
    """``times``: of the frames in seconds, in order, None where one has none. ``fps``: nominal rate or None.

    ``interlaced``: how many of the frames are.
    """

    path: Path
    tags: Tags
    times: tuple[Fraction | None, ...]
    fps: Fraction | None
    interlaced: int = 0

    @property
    def count(self) -> int:
        """The number of frames."""
        return len(self.times)


def probe(path: Path) -> Probe:
    """Ask ffprobe. What a reader of the file refuses is refused, so that a record replays from the file.

    Raises VideoError (missing, damaged, cut, cropped, encrypted, no video), ConversionError (HDR, wide gamut, alpha,
    tags that change) or DependencyError (no ffprobe).
    """
    if not path.is_file():
        raise VideoError(f"{path} is not a file" if path.exists() else f"no such file: {path}")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty")
    found = _ffprobe(path)
    packets = [one for one in found["packets_and_frames"] if one["type"] == "packet"]
    frames = [one for one in found["packets_and_frames"] if one["type"] == "frame"]
    shown = sum("D" not in one["flags"] for one in packets)
    stream = found["streams"][0]
    _refuse_stream(path, stream, found["format"]["format_name"])
    declared = int(stream.get("nb_frames", 0))
    if len(packets) < declared:
        raise VideoError(f"{path} is cut or damaged: it declares {declared} frames and holds {len(packets)}")
    check_whole(path, found["format"]["format_name"], max(int(one.get("pos", 0)) + int(one["size"]) for one in packets))
    if len(frames) != shown:
        raise VideoError(f"{path} is damaged: it holds {shown} frames and {len(frames)} decode")
    times = tuple(_time(frame) for frame in frames)
    rate = Fraction(stream["r_frame_rate"]) if not stream.get("r_frame_rate", "0/0").endswith("/0") else None
    interlaced = sum(int(frame.get("interlaced_frame", 0)) for frame in frames)
    return Probe(path, _agreed(path, _tags(stream), frames), times, rate or None, interlaced)


def _refuse_stream(path: Path, stream: dict[str, Any], container: str) -> None:
    """What ffmpeg would decode without a word, and no reader of the file takes."""
    known = tracks(path, container)
    refuse_track(str(path), known[stream["index"]] if stream["index"] < len(known) else Track())
    if ("alpha_mode", "1") in {(key.lower(), value) for key, value in stream.get("tags", {}).items()}:
        raise alpha_error(str(path))
    for side in stream.get("side_data_list", ()):
        angle = side.get("rotation", 0)
        if angle % 90:
            raise VideoError(f"{path} is displayed turned by {angle}°, no multiple of 90°: let ffmpeg turn it first")
        if angle % 180 and "422" in stream.get("pix_fmt", ""):
            raise VideoError(
                f"{path} is displayed turned by 90°, and its chroma is 4:2:2: let ffmpeg turn it first, ffmpeg -i IN "
                "-pix_fmt yuv444p -c:v ffv1 OUT.mkv"
            )


def _ffprobe(path: Path) -> dict[str, Any]:
    command = [
        *("ffprobe", "-v", "error", "-err_detect", "explode", "-threads", "1", "-select_streams", _stream(path)),
        *("-format_whitelist", ",".join(CONTAINERS), "-protocol_whitelist", "file", "-of", "json"),
        *("-show_packets", "-show_frames", "-show_entries", _ENTRIES, f"file:{os.path.abspath(path)}"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise DependencyError("ffprobe is not installed, and it reads the file: install ffmpeg") from None
    said = [
        re.sub(r"^\[(\w+) @ 0x[0-9a-f]+\] ", "", line) for line in done.stderr.decode(errors="replace").splitlines()
    ]
    if done.returncode != 0 or said:
        why = said[-1] if done.returncode else said[0]
        raise VideoError(f"{path} is damaged or not a video: {why.replace(f'file:{os.path.abspath(path)}: ', '')}")
    found: dict[str, Any] = json.loads(done.stdout)
    if not found["streams"] or not found.get("packets_and_frames"):
        raise VideoError(f"{path} has no video in it (audio only?)")
    return found


def _stream(path: Path) -> str:
    """The one that ``ffmpeg -i`` takes: the largest, with a bonus for the default one; else the first."""
    command = [
        *("ffprobe", "-v", "quiet", "-select_streams", "V", "-of", "json"),
        *("-show_entries", "stream=index,width,height:stream_disposition=default", f"file:{os.path.abspath(path)}"),
    ]
    try:
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        raise DependencyError("ffprobe is not installed, and it reads the file: install ffmpeg") from None
    streams = json.loads(done.stdout or "{}").get("streams") or [{"index": "V:0"}]
    chosen = max(streams, key=_preference)
    return str(chosen["index"])


def _preference(stream: dict[str, Any]) -> int:
    default = stream.get("disposition", {}).get("default", 0)
    return int(stream.get("width", 0)) * int(stream.get("height", 0)) + _DEFAULT_BONUS * int(default)


def _time(frame: dict[str, Any]) -> Fraction | None:
    said = frame.get("best_effort_timestamp_time")
    return None if said is None else Fraction(said)


def _tags(said: dict[str, Any]) -> Tags:
    matrix, siting = said.get("color_space"), said.get("chroma_location")
    return Tags(
        matrix=None if matrix in _UNTAGGED else _MATRIX.get(matrix, matrix),
        range=_RANGE.get(said.get("color_range", "")),
        hdr=_HDR.get(said.get("color_transfer", "")),
        chroma_location=None if siting in _UNTAGGED else siting,
        foreign=foreign_colours(
            _PRIMARIES.get(said.get("color_primaries", "")), _TRANSFER.get(said.get("color_transfer", ""))
        ),
    )


def _agreed(path: Path, stream: Tags, frames: list[dict[str, Any]]) -> Tags:
    """What the stream says or, where it is silent, its first frame; no later frame may say something else."""
    first = _tags(frames[0])
    tags = Tags(
        stream.matrix or first.matrix,
        stream.range or first.range,
        stream.hdr or first.hdr,
        stream.chroma_location or first.chroma_location,
        stream.foreign or first.foreign,
    )
    if tags.hdr is not None:
        raise hdr_error(str(path), tags.hdr, "the")
    if tags.foreign is not None:
        raise foreign_error(str(path), tags.foreign, "the")
    for index, frame in enumerate(frames):
        for name, said in vars(_tags(frame)).items():
            if said not in (None, getattr(tags, name)):
                raise ConversionError(f"{path}: from frame {index} on its {name} is {said}: split the file there")
    return tags
