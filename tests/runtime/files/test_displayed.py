"""Clips as they are displayed: turned, cropped, one of several, with what is dropped or hidden; or refused."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av import VideoFrame

from runtime import ConversionError, FileFrames, VideoError
from runtime.files.orientation import TURNS, matrix_orientation, turned
from runtime.files.tracks import tracks
from runtime.files.video import is_hidden, open_video
from tests.support.clips import write_clip

MATRICES = {
    1: (1, 0, 0, 1), 2: (-1, 0, 0, 1), 3: (-1, 0, 0, -1), 4: (1, 0, 0, -1),
    5: (0, 1, 1, 0), 6: (0, 1, -1, 0), 7: (0, -1, -1, 0), 8: (0, -1, 1, 0),
}  # fmt: skip


def with_matrix(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """The display matrix of the first track of an MP4 replaced."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    assert struct.unpack_from(">9i", data, at) == (1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def rgb(path: Path) -> list[np.ndarray]:
    with open_video(path) as reader:
        assert (reader.width, reader.height) == next(iter(reader)).rgb().shape[1::-1]
    with open_video(path) as reader:
        return [frame.rgb() for frame in reader]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_display_matrix(tmp_path: Path, orientation: int) -> None:
    """4:4:4, whose planes turned are the picture turned."""
    path = write_clip(tmp_path / "clip.mp4", frames=2, pix_fmt="yuv444p")
    stored = rgb(path)
    shown = rgb(with_matrix(path, *MATRICES[orientation]))
    for one, other in zip(stored, shown, strict=True):
        assert np.array_equal(turned(one, orientation), other)
    assert FileFrames(path).reading["orientation"].startswith(TURNS[orientation])


def test_turning_clockwise() -> None:
    """A pixel at the top left of what is stored comes to the top right."""
    assert turned(np.array([[1, 2], [3, 4]]), 6).tolist() == [[3, 1], [4, 2]]
    assert matrix_orientation("", struct.pack("<9i", 0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30)) == 6


def test_other_angles_and_turned_422_are_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="no multiple of 90°"):
        matrix_orientation("", struct.pack("<9i", 50000, 40000, 0, -40000, 50000, 0, 0, 0, 1 << 30))
    path = with_matrix(write_clip(tmp_path / "clip.mp4", frames=2, pix_fmt="yuv422p"), *MATRICES[6])
    with pytest.raises(VideoError, match="let ffmpeg turn it"):
        open_video(path)


def test_pixels_that_are_not_square_are_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=2, tags={"sample_aspect_ratio": Fraction(16, 11)})  # type: ignore[dict-item]
    clip = FileFrames(path)
    assert clip.reading["pixels"] == "16:11, as stored"
    assert "pixels 16:11, as stored" in clip.notes


def test_interlaced_frames_are_told(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", frames=4, options={"flags": "+ildct+ilme", "x264-params": "interlaced=1:tff=1"}
    )
    assert FileFrames(path).reading["interlaced"] == "4 of 4 frames, not deinterlaced"
    assert "interlaced" not in FileFrames(write_clip(tmp_path / "other.mp4", frames=4)).reading


def two_videos(path: Path, sizes: tuple[tuple[int, int], tuple[int, int]]) -> Path:
    """Two and three frames, black and white."""
    with av.open(path, "w") as container:
        streams = []
        for width, height in sizes:
            stream = container.add_stream("libx264", rate=Fraction(25))
            assert isinstance(stream, av.VideoStream)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.disposition = av.stream.Disposition.default.value  # PyAV 17 takes the number
            streams.append(stream)
        for number, stream in enumerate(streams):
            for _ in range(2 + number):
                pixels = np.full((stream.height, stream.width, 3), 255 * number, np.uint8)
                container.mux(stream.encode(VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode())
    return path


def test_the_stream_that_ffmpeg_takes(tmp_path: Path) -> None:
    path = two_videos(tmp_path / "clip.mp4", ((64, 48), (96, 64)))
    assert len(FileFrames(path)) == 3
    assert FileFrames(path).reading["stream"] == "1 of 2"
    assert len(FileFrames(path, stream=0)) == 2
    with pytest.raises(VideoError, match="stream is 0 … 1"):
        FileFrames(path, stream=2)


def box_in_entry(path: Path, codec: bytes, box: bytes) -> Path:
    """A box at the end of the sample entry; the boxes around it grow."""
    data = bytearray(path.read_bytes())
    assert data.index(b"moov") > data.index(b"mdat")  # so that no offset changes
    entry = data.index(codec, data.index(b"stsd")) - 4
    end = entry + int.from_bytes(data[entry : entry + 4])
    for kind in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", codec):
        at = data.index(kind, data.index(b"moov")) - 4
        data[at : at + 4] = (int.from_bytes(data[at : at + 4]) + len(box)).to_bytes(4)
    path.write_bytes(data[:end] + box + data[end:])
    return path


def test_dolby_vision_without_a_plain_layer(tmp_path: Path) -> None:
    def clip(profile: int, compatible: int) -> Path:
        box = struct.pack(">I4sBBHB19x", 32, b"dvcC", 1, 0, profile << 9 | 13, compatible << 4)
        return box_in_entry(write_clip(tmp_path / f"{profile}.mp4", frames=2), b"avc1", box)

    for profile in (5, 10):
        with pytest.raises(ConversionError, match=f"Dolby Vision profile {profile}.*tone-map"):
            open_video(clip(profile, 0))
    assert len(FileFrames(clip(8, 2))) == 2


def test_cropping_by_the_container(tmp_path: Path) -> None:
    def clip(width: int) -> Path:
        box = struct.pack(">I4s8I", 40, b"clap", width, 1, 64, 1, 0, 1, 0, 1)
        return box_in_entry(write_clip(tmp_path / f"{width}.mp4", frames=2), b"avc1", box)

    assert len(FileFrames(clip(96))) == 2
    with pytest.raises(VideoError, match="clean aperture is 80×64 of 96×64"):
        FileFrames(clip(80))


def test_encrypted(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=2)
    path.write_bytes(path.read_bytes().replace(b"avc1\0\0\0\0\0\0", b"encv\0\0\0\0\0\0"))
    with pytest.raises(VideoError, match="encrypted: decrypt it first"):
        open_video(path)


def test_matroska_tracks(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", frames=2)
    assert tracks(path, "matroska,webm")[0].crop is None
    data = path.read_bytes()
    height = data.index(
        b"\xba", data.index(b"\xe0")
    )  # PixelHeight, one byte: PixelCropTop takes its place and an Void's
    assert data[height + 1] == 0x81
    path.write_bytes(data[:height] + b"\x54\xbb\x81\x04" + data[height + 4 :])
    # What stood there is broken now, but the crop is found.
    assert tracks(path, "matroska,webm")[0].crop == "its PixelCrop elements crop it"


def alpha_webm(folder: Path) -> Path:
    """A VP9 that says it has alpha."""
    path, made = folder / "clip.webm", folder / "alpha.webm"
    write_clip(path, frames=2, codec="libvpx-vp9")
    with av.open(path) as plain, av.open(made, "w") as container:
        stream = container.add_stream_from_template(plain.streams.video[0])
        stream.metadata["alpha_mode"] = "1"
        for packet in plain.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    return made


def test_alpha_of_a_webm(tmp_path: Path) -> None:
    with pytest.raises(ConversionError, match="has alpha"):
        open_video(alpha_webm(tmp_path))


def test_wide_primaries_and_linear_light_are_refused(tmp_path: Path) -> None:
    for tags, message in (
        ({"color_primaries": 9}, "BT.2020"),
        ({"color_primaries": 12}, "P3"),
        ({"color_trc": 8}, "linear"),
    ):
        with pytest.raises(ConversionError, match=f"{message}.*zscale"):
            open_video(write_clip(tmp_path / "clip.mp4", frames=2, tags=tags))
    assert (
        "BT.601"
        in FileFrames(write_clip(tmp_path / "clip.mp4", frames=2, tags={"color_primaries": 6})).reading["colours"]
    )


def test_dropped_frames_of_an_avi(tmp_path: Path) -> None:
    """Times with a gap: the muxer fills it with packets of no bytes, which the header counts."""
    path = write_clip(tmp_path / "clip.avi", frames=4, codec="mpeg4", pts=[0, 1, 4, 5])
    clip = FileFrames(path)
    assert len(clip) == len(list(clip)) == 4
    assert clip.reading["dropped"].startswith("2 packets")


def test_hidden_frames() -> None:
    """The bits of the VP8 and VP9 specifications (RFC 6386, 9.1; VP9, 6.2)."""
    assert is_hidden("vp8", memoryview(b"\x00\x00"))
    assert not is_hidden("vp8", memoryview(b"\x10\x00"))
    assert is_hidden("vp9", memoryview(b"\x80\x00"))
    assert not is_hidden("vp9", memoryview(b"\x82\x00"))
    assert not is_hidden("vp9", memoryview(b"\x88\x00"))  # shows an earlier one again
    assert not is_hidden("vp9", memoryview(b"\x80\xc1"))  # a superframe
    assert not is_hidden("h264", memoryview(b"\x00\x00"))


def test_a_file_that_changes_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=2)
    clip = FileFrames(path)
    write_clip(path, frames=3)
    with pytest.raises(VideoError, match="changed while it was read"):
        list(clip)
