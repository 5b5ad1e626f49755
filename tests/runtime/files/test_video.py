"""Every frame of a video, with its colour, or an error that says what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from runtime.errors import BiqaError, ConversionError, VideoError
from runtime.files import video
from runtime.files.video import open_video
from runtime.frames.pixel_formats import LAYOUTS, Layout, planes_of
from tests.support.clips import photograph, write_clip, write_sound

CLIPS = Path(__file__).parents[4] / "shared" / "data" / "clips"


def read(path: Path, **options: str) -> list[np.ndarray]:
    with open_video(path, **options) as reader:
        frames = list(reader)
        assert [f.index for f in frames] == list(range(reader.frame_count))
        return [f.rgb() for f in frames]


def test_frames_and_planes(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    with av.open(path) as container:
        decoded = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    with open_video(path) as reader:
        assert (reader.width, reader.height, reader.frame_count, reader.fps) == (96, 64, 12, 25)
        for ours, theirs in zip(reader, decoded, strict=True):
            y, u, v = ours.planes
            assert np.array_equal(y, theirs[:64])
            assert np.array_equal(np.concatenate([u.ravel(), v.ravel()]), theirs[64:].ravel())


def test_untagged_is_assumed_and_said(tmp_path: Path) -> None:
    with open_video(write_clip(tmp_path / "clip.mp4")) as reader:
        assert reader.conversion.to_dict() == {
            "matrix": "bt601",
            "range": "limited",
            "bit_depth": 8,
            "subsampling": "4:2:0",
            "chroma_location": "left",
            "assumed": ["matrix", "range"],  # H.264 prescribes the siting
        }


def test_tags_are_used(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", tags={"colorspace": 1, "color_range": 2, "color_trc": 1})
    with open_video(path) as reader:
        assert (reader.conversion.matrix, reader.conversion.range) == ("bt709", "full")
        assert reader.conversion.assumed == ()
    with open_video(path, matrix="bt601", range="limited") as reader:
        assert (reader.conversion.matrix, reader.conversion.range) == ("bt601", "limited")
    assert not np.array_equal(read(path)[0], read(path, matrix="bt601")[0])


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "depth", "subsampling"),
    [
        ("libx264", "yuv420p10le", 10, "4:2:0"),
        ("libx264", "yuv444p", 8, "4:4:4"),
        ("ffv1", "yuv422p12le", 12, "4:2:2"),
        ("ffv1", "yuv444p16le", 16, "4:4:4"),
        ("rawvideo", "nv12", 8, "4:2:0"),
        ("rawvideo", "rgb24", 8, "4:4:4"),
        ("rawvideo", "bgr24", 8, "4:4:4"),
        ("mjpeg", "yuvj420p", 8, "4:2:0"),
    ],
)
def test_pixel_formats(tmp_path: Path, codec: str, pix_fmt: str, depth: int, subsampling: str) -> None:
    suffix = ".nut" if codec == "rawvideo" else ".mkv"
    path = write_clip(tmp_path / f"clip{suffix}", codec=codec, pix_fmt=pix_fmt, frames=3)
    with open_video(path) as reader:
        assert (reader.conversion.bit_depth, reader.conversion.subsampling) == (depth, subsampling)
    first = read(path)[0]
    assert first.dtype == (np.uint8 if depth == 8 else np.uint16)
    source = photograph()[:64, :96].astype(float) / 255
    assert np.abs(first / (2**depth - 1) - source).mean() < 0.04


def test_semi_planar_equals_planar() -> None:
    """A picture in nv12, and in p010, gives the planes of the same picture in yuv420p, and in yuv420p10."""
    for semi, planar in (("nv12", "yuv420p"), ("p010le", "yuv420p10le"), ("p210le", "yuv422p10le")):
        source = av.VideoFrame.from_ndarray(photograph()[:50, :70].copy(), format="rgb24").reformat(format=planar)
        expected = planes_of(source, LAYOUTS[planar])
        for ours, theirs in zip(planes_of(source.reformat(format=semi), LAYOUTS[semi]), expected, strict=True):
            assert np.array_equal(ours, theirs)


def test_uncompressed_avi_is_exact(tmp_path: Path) -> None:
    """BGR, stored bottom-up."""
    made = read(write_clip(tmp_path / "clip.avi", codec="rawvideo", pix_fmt="bgr24", frames=2))
    assert np.array_equal(made[1], photograph()[4:68, 4:100])


@pytest.mark.parametrize(
    ("name", "codec", "siting", "location", "assumed"),
    [
        ("clip.mp4", "libx264", "topleft", "topleft", False),
        ("clip.mkv", "libx264", "center", "center", False),
        ("clip.mkv", "ffv1", "topleft", "topleft", False),
        ("clip.mkv", "ffv1", None, "left", True),
        ("clip.webm", "libvpx-vp9", None, "left", True),
        ("clip.y4m", "rawvideo", "left", "left", False),
        ("clip.y4m", "rawvideo", "center", "center", False),
        ("clip.avi", "mjpeg", None, "center", False),
    ],
)
def test_chroma_siting(tmp_path: Path, name: str, codec: str, siting: str | None, location: str, assumed: bool) -> None:
    path = write_clip(
        tmp_path / name,
        codec=codec,
        pix_fmt="yuvj420p" if codec == "mjpeg" else "yuv420p",
        frames=2,
        options={"chroma_sample_location": siting} if siting else {},
    )
    with open_video(path) as reader:
        assert reader.conversion.chroma_location == location
        assert ("chroma_location" in reader.conversion.assumed) == assumed


def test_chroma_siting_that_is_not_taken(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", codec="ffv1", options={"chroma_sample_location": "top"})
    with pytest.raises(ConversionError, match="siting 'top'"):
        open_video(path)


def joined(path: Path, *tags: dict[str, int]) -> Path:
    """One raw H.264 stream of six frames for each set of tags."""
    parts = [write_clip(path.with_name(f"{n}.h264"), frames=6, tags=t).read_bytes() for n, t in enumerate(tags)]
    path.write_bytes(b"".join(parts))
    return path


def test_tags_that_change_are_errors(tmp_path: Path) -> None:
    bt709, bt601, hdr = {"colorspace": 1, "color_trc": 1}, {"colorspace": 6}, {"colorspace": 1, "color_trc": 16}
    for tags, message in (
        ((bt709, bt601), "frame 6 says that its matrix is bt601, and bt709 is in use, as the stream says"),
        ((bt709, hdr), "from frame 6 on, the transfer is PQ"),
        (({}, bt709), r"frame \d says that its matrix is bt709, and bt601 is in use, which was assumed"),
        (({}, {"color_range": 2}), r"frame \d says that its range is full, and limited is in use"),
    ):
        with pytest.raises(BiqaError, match=message):
            read(joined(tmp_path / "clip.h264", *tags))
    assert len(read(joined(tmp_path / "clip.h264", {}, bt601))) == 12  # what was assumed anyway
    assert len(read(joined(tmp_path / "clip.h264", bt709, bt601), matrix="bt709")) == 12


def test_first_frame_speaks_where_the_stream_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_clip(tmp_path / "clip.mp4", tags={"colorspace": 9, "color_range": 1})
    asked = []

    def silent_stream(said: Any, layout: Layout) -> Any:
        asked.append(said)
        return video.Tags() if len(asked) == 1 else tags_of(said, layout)

    tags_of = video._tags
    monkeypatch.setattr(video, "_tags", silent_stream)
    with open_video(path) as reader:
        assert (reader.conversion.matrix, reader.conversion.assumed) == ("bt2020nc", ())


def test_matrix_that_does_not_fit_the_pixels(tmp_path: Path) -> None:
    rgb = write_clip(tmp_path / "clip.nut", codec="rawvideo", pix_fmt="rgb24", frames=2)
    for path, matrix in ((rgb, "bt709"), (write_clip(tmp_path / "clip.mp4"), "rgb")):
        with pytest.raises(ConversionError, match=f"matrix '{matrix}' is not for pixel format"):
            open_video(path, matrix=matrix)


def test_frames_come_once(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4")
    with open_video(path) as reader:
        next(iter(reader))
        with pytest.raises(VideoError, match="can be read once"):
            next(iter(reader))
    with open_video(path) as reader:
        pass
    with pytest.raises(VideoError, match="can be read once"):
        next(iter(reader))


def test_metadata_that_is_not_text(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", metadata={"title": "marker"})
    data = path.read_bytes()
    assert data.count(b"marker") == 1
    path.write_bytes(data.replace(b"marker", b"m\xff\xfe\xc3er"))
    assert len(read(path)) == 12


def test_path_is_a_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that FFmpeg would take for a protocol or a numbered sequence, and bytes that are no text."""
    monkeypatch.chdir(tmp_path)
    data = write_clip(tmp_path / "clip.mp4").read_bytes()
    for name in ("concat:clip.mp4|clip.mp4", "pipe:0", "data:x", "clip%03d.mp4", "a?b=c#d.mp4", "-i.mp4", "\udcff.mp4"):
        Path(name).write_bytes(data)
        assert len(read(Path(name))) == 12
    for name in ("concat:clip.mp4|no.mp4", "http://127.0.0.1:9/clip.mp4", "subfile,,start,0,end,0,,:clip.mp4"):
        with pytest.raises(VideoError, match="no such file"):
            open_video(Path(name))


def test_lists_of_files_are_refused(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.ts")
    for name, text in (
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nclip.ts\n#EXT-X-ENDLIST\n"),
        ("list.ffconcat", "ffconcat version 1.0\nfile clip.ts\n"),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n"),
        ("list.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"></MPD>'),
    ):
        (tmp_path / name).write_text(text)
        with pytest.raises(VideoError, match="not a picture or a video"):
            open_video(tmp_path / name)


def test_odd_sizes_and_strides(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", codec="ffv1", width=51, height=37)
    assert {f.shape for f in read(path)} == {(37, 51, 3)}


def test_variable_frame_rate(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", frames=5, pts=[0, 1, 5, 6, 20])
    assert len(read(path)) == 5


@pytest.mark.parametrize(("trc", "name"), [(16, "PQ"), (18, "HLG")])
def test_hdr_is_refused(tmp_path: Path, trc: int, name: str) -> None:
    path = write_clip(
        tmp_path / "clip.mp4", pix_fmt="yuv420p10le", tags={"color_trc": trc, "colorspace": 9, "color_primaries": 9}
    )
    with pytest.raises(ConversionError, match=f"{name}.*tone-map"):
        open_video(path)


@pytest.mark.parametrize(
    ("pix_fmt", "codec"),
    [("gray", "ffv1"), ("yuva420p", "ffv1"), ("bgra", "ffv1"), ("bgr0", "ffv1"), ("0rgb", "rawvideo")],
)
def test_other_formats_are_refused(tmp_path: Path, pix_fmt: str, codec: str) -> None:
    path = write_clip(tmp_path / f"clip.{'nut' if codec == 'rawvideo' else 'mkv'}", codec=codec, pix_fmt=pix_fmt)
    with pytest.raises(ConversionError, match=f"{pix_fmt} is not taken.*convert it first|has alpha"):
        open_video(path)


def test_unknown_matrix_is_refused_until_told(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", tags={"colorspace": 4})
    with pytest.raises(ConversionError, match="not known"):
        open_video(path)
    assert len(read(path, matrix="bt601")) == 12


def test_cut_files_are_errors(tmp_path: Path) -> None:
    """Cut anywhere, with the index in front (so that the file still opens) or behind: never fewer frames."""
    for flags in ("faststart", "0"):
        whole = write_clip(tmp_path / "whole.mp4", frames=24, container_options={"movflags": flags})
        data = whole.read_bytes()
        assert (data.find(b"moov") < data.find(b"mdat")) == (flags == "faststart")
        for share in (0.02, 0.2, 0.5, 0.8, 0.95):
            cut = tmp_path / "cut.mp4"
            cut.write_bytes(data[: int(len(data) * share)])
            with pytest.raises(VideoError):
                read(cut)


def test_flipped_bits_never_give_fewer_frames(tmp_path: Path) -> None:
    data = bytearray(write_clip(tmp_path / "whole.mp4", frames=24).read_bytes())
    start = data.find(b"mdat") + 8
    rng = np.random.default_rng(2)
    errors = 0
    for _ in range(12):
        damaged = bytearray(data)
        for place in rng.integers(start + 800, len(data) - 2500, 8):
            damaged[place] ^= 0x55
        path = tmp_path / "damaged.mp4"
        path.write_bytes(damaged)
        try:
            assert len(read(path)) == 24
        except BiqaError:
            errors += 1
    assert errors > 0


def test_not_a_video(tmp_path: Path) -> None:
    garbage, empty = tmp_path / "garbage.mp4", tmp_path / "empty.mp4"
    garbage.write_bytes(np.random.default_rng(0).bytes(5000))
    empty.touch()
    for path, message in (
        (garbage, "not a picture or a video"),
        (empty, "empty"),
        (tmp_path / "nothing.mp4", "no such file"),
        (tmp_path, "not a file"),
        (write_sound(tmp_path / "sound.m4a"), "no video"),
    ):
        with pytest.raises(VideoError, match=message):
            open_video(path)


@pytest.mark.skipif(not CLIPS.is_dir(), reason="the shared clips are not here")
@pytest.mark.parametrize(
    ("name", "frames"), [("car-detection", 377), ("bigbuckbunny", 132), ("nasa_13013", 390), ("bt709_full_range", 30)]
)
def test_real_clips_read_whole(name: str, frames: int) -> None:
    with open_video(CLIPS / f"{name}.mp4") as reader:
        assert reader.frame_count == frames == sum(1 for _ in reader)
