"""A file that ends early is an error in every container that lets one see it."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from runtime.errors import VideoError
from runtime.files.containers import check_whole
from runtime.files.file_frames import FileFrames
from runtime.files.video import open_video
from tests.support.clips import write_clip

FRAMES = 24
FRAGMENTS: dict[str, Any] = {"options": {"g": "6"}}
SMALL: dict[str, Any] = {"width": 32, "height": 16}
WHOLE: dict[str, dict[str, Any]] = {
    "known.mkv": {},
    "live.mkv": {"container_options": {"live": "1"}},
    "live.webm": {"codec": "libvpx-vp9", "container_options": {"live": "1", "cluster_size_limit": "600"}},
    "raw.y4m": {"codec": "rawvideo", **SMALL},
    "first_in_moov.mp4": {**FRAGMENTS, "container_options": {"movflags": "frag_keyframe"}},
    "fragments.mp4": {**FRAGMENTS, "container_options": {"movflags": "frag_keyframe+empty_moov"}},
    "indexed.mp4": {**FRAGMENTS, "container_options": {"movflags": "dash+global_sidx"}},
    "plain.avi": {"codec": "mpeg4"},
    "stream.ts": {},
    "stream.m2ts": {},
    "flash.flv": {},
    "vp9.ivf": {"codec": "libvpx-vp9"},
}


def count(path: Path) -> int:
    with open_video(path) as reader:
        frames = sum(1 for _ in reader)
        assert frames == reader.frame_count
        return frames


def boxes(data: bytes) -> list[tuple[bytes, int, int]]:
    """Kind, first byte and end of every top-level box."""
    found, at = [], 0
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found.append((kind, at, at + length))
        at += length
    return found


def unseen(name: str, data: bytes) -> set[int]:
    """Lengths to which a file can be cut and look like a shorter one, as the module says."""
    if name.startswith("live"):
        return {at for at in range(len(data)) if data.startswith(b"\x1f\x43\xb6\x75", at)}  # clusters
    if name in ("first_in_moov.mp4", "fragments.mp4"):
        return {end for _, _, end in boxes(data)}
    if name == "flash.flv":
        ends = [13]
        while ends[-1] < len(data):
            ends.append(ends[-1] + 15 + int.from_bytes(data[ends[-1] + 1 : ends[-1] + 4]))
        return {*ends, *(end - 4 for end in ends)}
    return set(range(0, len(data), {"stream.ts": 188, "stream.m2ts": 192}.get(name, len(data))))


@pytest.mark.parametrize("name", WHOLE)
def test_whole_files_are_read_and_cut_ones_are_errors(tmp_path: Path, name: str) -> None:
    """Twenty cuts at random, and one byte before the end."""
    path = write_clip(tmp_path / name, frames=FRAMES, **WHOLE[name])
    assert count(path) == FRAMES
    data = path.read_bytes()
    cuts = {*np.random.default_rng(0).integers(1, len(data), 20).tolist(), len(data) - 1}
    for length in cuts - unseen(name, data):
        path.write_bytes(data[:length])
        with pytest.raises(VideoError):
            count(path)


def test_mxf_is_held_to_its_duration(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mxf", frames=FRAMES, codec="mpeg2video")
    assert count(path) == FRAMES
    data = path.read_bytes()
    for share in (0.3, 0.5, 0.7):
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(VideoError):
            count(path)


def test_matroska_clusters_of_unknown_length(tmp_path: Path) -> None:
    """As browsers record: neither the Segment nor its clusters say how long they are."""
    path = write_clip(tmp_path / "live.mkv", frames=FRAMES, container_options={"live": "1"})
    data = bytearray(path.read_bytes())
    at = data.find(b"\x1f\x43\xb6\x75") + 4
    assert data[at] >> 6 == 1  # two bytes of length
    data[at : at + 2] = b"\x7f\xff"
    path.write_bytes(data)
    assert count(path) == FRAMES
    for length in range(len(data) - 40, len(data) - 1, 7):
        path.write_bytes(data[:length])
        with pytest.raises(VideoError, match="cut"):
            count(path)


def test_bytes_after_the_end_do_no_harm(tmp_path: Path) -> None:
    for name, options in (("clip.mkv", {}), ("clip.avi", {"codec": "mpeg4"})):
        path = write_clip(tmp_path / name, frames=FRAMES, **options)
        path.write_bytes(path.read_bytes() + b"\0" * 100)
        assert count(path) == FRAMES


def test_fragments_cut_between_boxes(tmp_path: Path) -> None:
    """A fragment's index without its data is seen, and with a ``sidx`` a whole missing fragment too."""
    path = write_clip(tmp_path / "clip.mp4", frames=FRAMES, **WHOLE["fragments.mp4"])
    data = path.read_bytes()
    path.write_bytes(data[: [end for kind, _, end in boxes(data) if kind == b"moof"][-1]])
    with pytest.raises(VideoError, match="data of its last fragment"):
        count(path)
    path = write_clip(tmp_path / "clip.mp4", frames=FRAMES, **WHOLE["indexed.mp4"])
    data = path.read_bytes()
    path.write_bytes(data[: [at for kind, at, _ in boxes(data) if kind == b"moof"][-1]])
    with pytest.raises(VideoError, match="fragments end at byte"):
        count(path)


def test_box_that_lasts_to_the_end(tmp_path: Path) -> None:
    """A length of 0 in the last box: whole, and its cut is seen by the sample index."""
    path = write_clip(tmp_path / "clip.mp4", frames=FRAMES, container_options={"movflags": "faststart"})
    data = bytearray(path.read_bytes())
    kind, at, _ = boxes(bytes(data))[-1]
    assert kind == b"mdat"
    data[at : at + 4] = bytes(4)
    path.write_bytes(data)
    assert count(path) == FRAMES
    path.write_bytes(data[: (at + len(data)) // 2])
    with pytest.raises(VideoError, match="cut or damaged"):
        count(path)


def test_long_box(tmp_path: Path) -> None:
    box = struct.pack(">I4sQ", 1, b"mdat", 16 + 5)
    for data, whole in ((box + bytes(5), True), (box + bytes(4), False)):
        (tmp_path / "clip.mp4").write_bytes(data)
        if whole:
            check_whole(tmp_path / "clip.mp4", "mov,mp4", 0)
        else:
            with pytest.raises(VideoError, match="mdat ends at byte 21, the file at byte 20"):
                check_whole(tmp_path / "clip.mp4", "mov,mp4", 0)


def test_edit_lists_drop_frames_and_are_no_cut(tmp_path: Path) -> None:
    """A clip trimmed without re-encoding holds more samples than it shows."""
    path = write_clip(tmp_path / "clip.mp4", frames=FRAMES, options={"g": "6"})
    data = bytearray(path.read_bytes())
    at = data.find(b"elst") + 12
    data[at : at + 4] = (480).to_bytes(4)  # ms, of 960
    path.write_bytes(data)
    assert count(path) == FRAMES // 2


def test_avi_without_a_length(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.avi", frames=FRAMES, codec="mpeg4")
    data = bytearray(path.read_bytes())
    for length in (b"\0\0\0\0", b"\xff\xff\xff\xff"):
        data[4:8] = length
        path.write_bytes(data)
        with pytest.raises(VideoError, match="never written"):
            count(path)


def test_a_wrong_checksum_that_the_decoder_only_logs(tmp_path: Path) -> None:
    """FFV1: the slice is made up from the frame before, and no error is raised; and the log level is put back."""
    path = write_clip(tmp_path / "a.mkv", codec="ffv1", frames=6, options={"slicecrc": "1", "level": "3"})
    assert len(FileFrames(path)) == 6
    before = av.logging.get_level()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(VideoError, match="CRC mismatch"):
        FileFrames(path)
    assert av.logging.get_level() == before
