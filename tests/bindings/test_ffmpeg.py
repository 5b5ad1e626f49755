"""Frames through a pipe: the log of ``certify``, or one line that says what is wrong and no file."""

from __future__ import annotations

import io
import json
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bindings.ffmpeg.__main__ import main
from bindings.ffmpeg.pipe import Pipe
from bindings.ffmpeg.sidecar import frame_times
from bindings.probe import probe
from runtime.__main__ import main as runtime_main
from runtime.errors import BiqaError, ConversionError, ParameterError, VideoError
from runtime.files.file_frames import FileFrames
from tests.runtime.files.test_displayed import MATRICES, alpha_webm, box_in_entry, with_matrix
from tests.support.clips import write_clip
from tests.support.hosts import DECODE, PIPE, environment, no_ffmpeg, run_page
from tests.support.leaks import peak_memory, running
from tests.support.tiny import tile_bundle, tiny_bundle

NO_FFMPEG = no_ffmpeg()
needs_ffmpeg = pytest.mark.skipif(NO_FFMPEG is not None, reason=str(NO_FFMPEG))
TAGGED = {"colorspace": 1, "color_range": 1, "color_trc": 1}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and a secret."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model", samples=61)
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    return tmp_path


@pytest.fixture
def piped(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Call the command in this process with bytes on its standard input."""

    def call(data: bytes, *options: str) -> int:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
        return main(["--model", "model", "--secret-file", "secret", *options])

    return call


def y4m(frames: int = 3, width: int = 48, height: int = 32, colour: str = " C420mpeg2", more: str = "") -> bytes:
    """A stream of 4:2:0 frames of 8 bits, each of one grey."""
    head = f"YUV4MPEG2 W{width} H{height} F25:1 Ip A1:1{colour}{more}\n".encode()
    size = width * height + 2 * ((width + 1) // 2) * ((height + 1) // 2)
    return head + b"".join(b"FRAME\n" + bytes([40 + index % 99]) * size for index in range(frames))


def log(name: str = "log.json") -> dict[str, Any]:
    made: dict[str, Any] = json.loads(Path(name).read_text())
    return made


def decoded(path: str, *output: str) -> bytes:
    return subprocess.run([*DECODE, "-i", path, *(output or PIPE)], capture_output=True, check=True).stdout


@needs_ffmpeg
@pytest.mark.parametrize("more", [(), ("--subsample", "2"), ("--scope", "reported"), ("--tolerance", "1")])
def test_log_replays_from_the_file(piped: Callable[..., int], more: tuple[str, ...]) -> None:
    write_clip(Path("clip.mp4"), frames=4, pts=[0, 1, 5, 6])
    assert piped(decoded("clip.mp4"), "--probe", "clip.mp4", "--json", "log.json", *more) == 0
    assert runtime_main(["replay", "log.json", "clip.mp4", "--model", "model", "--secret-file", "secret"]) == 0
    assert (
        runtime_main(["certify", "clip.mp4", "--model", "model", "--secret-file", "secret", "--json", "b", *more]) == 0
    )
    assert log()["frames"] == log("b")["frames"]


def test_counted_at_the_end_as_if_known_before(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert piped(y4m(), "--json", "counted.json", "--csv", "log.csv") == 0
    out, err = capsys.readouterr()
    assert out.startswith("-: ")
    assert "mean of 3 frames, ε=0.1, α=0.001, n=61" in out
    assert err.splitlines()[0] == "assumed, as nothing says it: matrix, range, whole, transfer"
    assert err.splitlines()[-1].startswith("tiny score: ")
    assert piped(y4m(), "--json", "known.json", "--frames", "3") == 0
    assert log("counted.json")["frames"] == log("known.json")["frames"]
    shared = log("counted.json")["inputs"][0]
    assert shared["certificate"]["alpha"] == pytest.approx(0.001 / 3)
    assert (shared["alpha"], shared["joint_alpha"]) == (0.001, 0.002)
    assert log("known.json")["inputs"][0]["certificate"]["conversion"]["assumed"] == ["matrix", "range", "transfer"]


def test_ndjson(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert piped(y4m(), "--ndjson", "--frames", "3") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == ["frame", "frame", "frame", "input"]


@pytest.mark.parametrize(
    ("colour", "bits", "subsampling", "siting"),
    [
        ("", 8, "4:2:0", "center"),
        (" C420jpeg", 8, "4:2:0", "center"),
        (" C420paldv", 8, "4:2:0", "topleft"),
        (" C420", 8, "4:2:0", None),
        (" C420p10", 10, "4:2:0", None),
        (" C422p12", 12, "4:2:2", None),
        (" C444", 8, "4:4:4", None),
        (" C444p16 XYSCSS=444P16", 16, "4:4:4", None),
    ],
)
def test_headers(colour: str, bits: int, subsampling: str, siting: str | None) -> None:
    shape = Pipe(io.BytesIO(f"YUV4MPEG2 W51 H37 F30000:1001{colour} XCOLORRANGE=FULL\n".encode())).shape
    assert (shape.layout.bit_depth, shape.layout.subsampling, shape.chroma_location) == (bits, subsampling, siting)
    assert (shape.width, shape.height, shape.fps, shape.range) == (51, 37, Fraction(30000, 1001), "full")


def test_planes_are_those_of_the_stream() -> None:
    rng = np.random.default_rng(1)
    planes = [rng.integers(0, 1024, shape, np.uint16) for shape in ((5, 7), (3, 4), (3, 4))]
    body = b"".join(plane.astype("<u2").tobytes() for plane in planes)
    (got,) = Pipe(io.BytesIO(b"YUV4MPEG2 W7 H5 F25:1 C420p10\nFRAME Ip\n" + body))
    assert all(np.array_equal(ours, theirs) for ours, theirs in zip(got, planes, strict=True))


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"", [], "nothing came through standard input"),
        (b"garbage" * 300, [], "is not YUV4MPEG2"),
        (b"YUV4MPEG2 W48 H32 F25:1", [], "its header has no end"),
        (b"YUV4MPEG2 Wx H32 F25:1\n", [], "damaged header"),
        (b"YUV4MPEG2 W48 F25:1\n", [], "damaged header"),
        (b"YUV4MPEG2 W48 H32 F25:x\n", [], "damaged header"),
        (b"YUV4MPEG2 W999999999 H999999999 F25:1\n", [], "a frame of 999999999×999999999 is none"),
        (b"YUV4MPEG2 W0 H32 F25:1\n", [], "a frame of 0×32 is none"),
        (y4m(0), [], "not one frame came"),
        (y4m()[:-1], [], "frame 2 has 2303 of its 2304 bytes"),
        (y4m()[: -2304 - 3], [], "its line before frame 2 has no end"),
        (y4m() + b"FRAMES\n", [], "frame 3 does not begin with FRAME"),
        (y4m() + y4m(width=64), [], "a new stream begins at frame 3"),
        (y4m(colour=" Cmono"), [], "Cmono is not taken"),
        (y4m(colour=" C444alpha"), [], "C444alpha is not taken"),
        (y4m(colour=" C411"), [], "C411 is not taken"),
        (y4m(width=8, height=8), [], "at least 16×16"),
        (y4m(), ["--frames", "4"], "3 frames came, it should have 4"),
        (y4m(), ["--frames", "2"], "more than the 2 frames"),
        (y4m(), ["--ndjson"], "give --frames M or --probe FILE"),
        (y4m(), ["--tolerance", "2"], "give --frames M or --probe FILE"),
        (y4m(), ["--subsample", "0"], "subsample"),
        (y4m(), ["--matrix", "rgb"], "is not for planes Y, U, V"),
        (y4m(), ["--samples", "12", "--epsilon", "0.1"], "cannot bound"),
        (y4m(), ["--size", "48x32"], "--format rawvideo needs"),
        (y4m(), ["--format", "rawvideo"], "--format rawvideo needs"),
        (b"", ["--format", "rawvideo", "--size", "48x32", "--pix-fmt", "nv12"], "not one frame came"),
        (bytes(2305), ["--format", "rawvideo", "--size", "48x32", "--pix-fmt", "nv12"], "frame 1 has 1 of its 2304"),
        (b"", ["--format", "rawvideo", "--size", "48", "--pix-fmt", "nv12"], "WIDTHxHEIGHT"),
        (b"", ["--format", "rawvideo", "--size", "48x32", "--pix-fmt", "gray"], "'gray' is not taken"),
        (y4m(), ["--metadata", "log.json"], "same place"),
        (y4m(), ["--metadata", "no/where"], "folder does not exist"),
        (y4m(), ["--probe", "nothing.mp4"], "no such file"),
    ],
)
def test_bad_input(
    folder: Path, piped: Callable[..., int], data: bytes, options: list[str], message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    Path("log.json").write_text("an older log")
    before = sorted(path.name for path in folder.iterdir())
    assert piped(data, "--json", "log.json", *options) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert Path("log.json").read_text() == "an older log"
    assert sorted(path.name for path in folder.iterdir()) == before


def test_values_beyond_the_depth(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    body = np.full(48 * 32 * 3 // 2, 1024, "<u2").tobytes()
    assert piped(b"YUV4MPEG2 W48 H32 F25:1 C420p10\nFRAME\n" + body) == 2
    assert "holds 1024, more than 10 bits can" in capsys.readouterr().err


def test_too_many_frames_for_the_samples(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    """Told at the first frame that is too many, not after the last."""
    assert piped(y4m(60), "--samples", "21", "--epsilon", "0.1", "--json", "log.json") == 2
    assert "shared by" in capsys.readouterr().err
    assert not Path("log.json").exists()


@needs_ffmpeg
@pytest.mark.parametrize(
    ("pix_fmt", "stored", "codec"),
    [
        ("yuv420p", "yuv420p", "ffv1"),
        ("nv12", "yuv420p", "ffv1"),
        ("yuv420p10le", "yuv420p10le", "ffv1"),
        ("p010le", "yuv420p10le", "ffv1"),
        ("gbrp10le", "gbrp10le", "ffv1"),
        ("rgb24", "rgb24", "rawvideo"),
        ("bgr24", "rgb24", "rawvideo"),
    ],
)
def test_raw_video(piped: Callable[..., int], pix_fmt: str, stored: str, codec: str) -> None:
    """Each format carries the pixels that the file holds in another one."""
    clip = f"clip.{'nut' if codec == 'rawvideo' else 'mkv'}"
    write_clip(Path(clip), codec=codec, pix_fmt=stored, frames=2, width=52, height=38)
    raw = decoded(clip, "-f", "rawvideo", "-pix_fmt", pix_fmt, "-")
    options = ("--format", "rawvideo", "--size", "52x38", "--pix-fmt", pix_fmt, "--probe", clip)
    assert piped(raw, *options, "--json", "log.json") == 0
    assert runtime_main(["replay", "log.json", clip, "--model", "model", "--secret-file", "secret"]) == 0


@needs_ffmpeg
def test_repeated_frames_are_refused(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(Path("clip.mp4"), frames=4, pts=[0, 1, 5, 6])
    repeated = decoded("clip.mp4", "-fps_mode", "cfr", "-f", "yuv4mpegpipe", "-")
    assert piped(repeated, "--probe", "clip.mp4") == 2
    assert "more than the 4 frames it should have: were frames repeated" in capsys.readouterr().err
    assert piped(repeated, "--probe", "clip.mp4", "--frames", "any", "--json", "log.json") == 0
    assert "whole" in log()["inputs"][0]["certificate"]["conversion"]["assumed"]


@needs_ffmpeg
def test_file_and_pipe_that_differ(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    write_clip(Path("clip.mp4"), frames=3, tags=TAGGED)
    full = y4m(width=96, height=64, more=" XCOLORRANGE=FULL")
    assert piped(full, "--probe", "clip.mp4") == 2
    assert "its range is full, clip.mp4 that it is limited" in capsys.readouterr().err
    assert piped(full, "--probe", "clip.mp4", "--range", "full") == 0
    assert piped(y4m(colour=" C420paldv"), "--probe", "clip.mp4") == 2
    assert "its chroma_location is topleft, clip.mp4 that it is left" in capsys.readouterr().err
    assert piped(y4m(colour=" C420jpeg"), "--probe", "clip.mp4", "--json", "log.json") == 0  # which says nothing
    assert log()["inputs"][0]["certificate"]["conversion"]["chroma_location"] == "left"


def test_siting_that_may_be_unknown_is_marked(piped: Callable[..., int]) -> None:
    for options, assumed in (([], True), (["--chroma-location", "center"], False)):
        assert piped(y4m(colour=" C420jpeg"), "--json", "log.json", *options) == 0
        conversion = log()["inputs"][0]["certificate"]["conversion"]
        assert conversion["chroma_location"] == "center"
        assert ("chroma_location" in conversion["assumed"]) == assumed


@needs_ffmpeg
def test_metadata_is_read_back(piped: Callable[..., int]) -> None:
    """By ffprobe from the file itself, and from a Matroska file that ffmpeg put it into."""
    write_clip(Path("clip.mkv"), frames=4, pts=[0, 1, 5, 6])
    options = ("--json", "log.json", "--metadata", "clip.ffmeta", "--subsample", "2")
    assert piped(decoded("clip.mkv"), "--probe", "clip.mkv", *options) == 0
    mux = [*DECODE, "-i", "clip.mkv", "-i", "clip.ffmeta", "-map", "0", "-map_metadata", "1", "-map_chapters", "1"]
    subprocess.run([*mux, "-c", "copy", "certified.mkv"], check=True)
    for name in ("clip.ffmeta", "certified.mkv"):
        show = ["ffprobe", "-v", "error", "-of", "json", "-show_chapters", "-show_format", name]
        made = json.loads(subprocess.run(show, capture_output=True, check=True).stdout)
        assert [(float(c["start_time"]), float(c["end_time"])) for c in made["chapters"]] == [(0, 0.04), (0.2, 0.24)]
        for chapter, frame in zip(made["chapters"], log()["frames"], strict=True):
            tags = {key.lower(): value for key, value in chapter["tags"].items()}
            record = frame["certificate"]
            got = [float(tags[f"lavfi.biqa.{key}"]) for key in ("score", "lo", "hi")]
            assert got == [record["score"], record["lower"], record["upper"]]
        whole = {key.lower(): value for key, value in made["format"]["tags"].items()}
        assert (whole["lavfi.biqa.model"], whole["lavfi.biqa.assumed"]) == ("tiny", "matrix range")


def test_metadata_needs_times(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    raw = ("--format", "rawvideo", "--size", "48x32", "--pix-fmt", "yuv420p", "--metadata", "a.ffmeta", "--json", "b")
    assert piped(bytes(2304), *raw) == 2
    assert "give --fps" in capsys.readouterr().err
    assert not Path("b").exists()
    assert piped(bytes(2304), *raw, "--fps", "30000/1001") == 0
    assert "TIMEBASE=1/30000\nSTART=0\nEND=1001\n" in Path("a.ffmeta").read_text()


def test_frame_times() -> None:
    assert frame_times(2, None, Fraction(25)) == [0, Fraction(1, 25), Fraction(2, 25)]
    assert frame_times(2, [Fraction(1), Fraction(3)], None) == [1, 3, 5]
    assert frame_times(1, [Fraction(1)], Fraction(2)) == [1, Fraction(3, 2)]
    assert frame_times(2, [Fraction(1), None], Fraction(2)) == [0, Fraction(1, 2), 1]
    with pytest.raises(ParameterError, match="--fps"):
        frame_times(2, [Fraction(1), None], None)


@needs_ffmpeg
def test_probe_says_what_the_reader_says() -> None:
    write_clip(Path("clip.mp4"), frames=4, tags=TAGGED, pts=[0, 1, 5, 6])
    found = probe(Path("clip.mp4"))
    assert (found.count, found.tags.matrix, found.tags.range, found.tags.chroma_location) == (
        4,
        "bt709",
        "limited",
        "left",
    )
    assert [time - found.times[0] for time in found.times] == pytest.approx([0, 0.04, 0.2, 0.24])  # type: ignore[operator]


@needs_ffmpeg
def test_probe_refuses(folder: Path) -> None:
    bt709, bt601, hdr = {"colorspace": 1, "color_trc": 1}, {"colorspace": 6}, {"colorspace": 1, "color_trc": 16}
    raw = {n: write_clip(Path(f"{n}.h264"), tags=t).read_bytes() for n, t in enumerate((bt709, bt601, hdr))}
    Path("changes.h264").write_bytes(raw[0] + raw[1])
    Path("late.h264").write_bytes(raw[0] + raw[2])
    Path("list.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n0.h264\n#EXT-X-ENDLIST\n")
    Path("empty.mp4").touch()
    whole = write_clip(Path("whole.mp4"), frames=24, container_options={"movflags": "faststart"}).read_bytes()
    Path("cut.mp4").write_bytes(whole[:-1000])
    cases: tuple[tuple[str, type[BiqaError], str], ...] = (
        ("changes.h264", ConversionError, "from frame 12 on its matrix is bt601"),
        ("late.h264", ConversionError, "PQ"),
        ("list.m3u8", VideoError, "damaged or not a video"),
        ("cut.mp4", VideoError, "cut|damaged"),
        ("empty.mp4", VideoError, "is empty"),
        (".", VideoError, "is not a file"),
    )
    for name, kind, message in cases:
        with pytest.raises(kind, match=message):
            probe(Path(name))


@needs_ffmpeg
def test_probe_refuses_what_the_reader_refuses(folder: Path) -> None:
    """Files that ffmpeg decodes without a word: both name the same fault."""
    path = Path("clip.mp4")
    crop = struct.pack(">I4s8I", 40, b"clap", 80, 1, 64, 1, 0, 1, 0, 1)
    dolby = struct.pack(">I4sBBHB19x", 32, b"dvcC", 1, 0, 5 << 9 | 13, 0)
    turned = with_matrix(write_clip(Path("turned.mp4"), frames=2, pix_fmt="yuv422p"), *MATRICES[6])
    encrypted = write_clip(Path("encrypted.mp4"), frames=2)
    encrypted.write_bytes(encrypted.read_bytes().replace(b"avc1\0\0\0\0\0\0", b"encv\0\0\0\0\0\0"))
    cases = [
        (box_in_entry(write_clip(path, frames=2), b"avc1", crop).rename("crop.mp4"), "clean aperture is 80×64"),
        (box_in_entry(write_clip(path, frames=2), b"avc1", dolby).rename("dolby.mp4"), "Dolby Vision profile 5"),
        (write_clip(Path("wide.mp4"), frames=2, tags={"color_primaries": 9}), "primaries are BT.2020"),
        (write_clip(Path("p3.mp4"), frames=2, tags={"color_primaries": 12}), "primaries are Display P3"),
        (write_clip(Path("linear.mp4"), frames=2, tags={"color_trc": 8}), "transfer is linear"),
        (write_clip(Path("hlg.mp4"), frames=2, tags={"color_trc": 18}), "HLG"),
        (alpha_webm(folder), "has alpha"),
        (turned, "chroma is 4:2:2"),
        (encrypted, "encrypt|damaged"),
    ]
    for name, message in cases:
        for reader in (probe, FileFrames):
            with pytest.raises(BiqaError, match=message):
                reader(name)


@needs_ffmpeg
@pytest.mark.parametrize("orientation", [2, 3, 6])
def test_turned_clips_replay_from_the_file(piped: Callable[..., int], orientation: int) -> None:
    """ffmpeg turns what it pipes, and the reader turns what it reads, plane by plane both."""
    with_matrix(write_clip(Path("clip.mp4"), frames=2, tags=TAGGED), *MATRICES[orientation])
    data = decoded("clip.mp4")
    assert piped(data, "--probe", "clip.mp4", "--json", "log.json") == 0
    assert runtime_main(["replay", "log.json", "clip.mp4", "--model", "model", "--secret-file", "secret"]) == 0


@needs_ffmpeg
def test_interlaced_frames_are_marked(piped: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    options = {"flags": "+ildct+ilme", "x264-params": "interlaced=1:tff=1"}
    write_clip(Path("clip.mp4"), frames=2, tags=TAGGED, options=options)
    assert probe(Path("clip.mp4")).interlaced == 2
    data = decoded("clip.mp4")
    for stream, more in ((data, ("--probe", "clip.mp4")), (y4m().replace(b" Ip ", b" It ", 1), ())):
        assert piped(stream, *more, "--json", "log.json") == 0
        assert "interlaced: certified as stored, not deinterlaced" in capsys.readouterr().err
        log = json.loads(Path("log.json").read_text())
        assert "progressive" in log["inputs"][0]["certificate"]["conversion"]["assumed"]


@needs_ffmpeg
def test_stopped_early_leaves_nothing(folder: Path) -> None:
    """Interrupted in mid-stream: no file, and ffmpeg ends by itself."""
    before = sorted(path.name for path in folder.iterdir())
    endless = [
        "ffmpeg",
        "-v",
        "quiet",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=64x48:rate=25",
        "-f",
        "yuv4mpegpipe",
        "-",
    ]
    host = [sys.executable, "-m", "bindings.ffmpeg", "--model", "model", "--frames", "9999", "--epsilon", "0.01"]
    with subprocess.Popen(endless, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as decoder:
        assert decoder.stdout is not None
        with subprocess.Popen(
            [*host, "--ndjson", "--json", "log.json"],
            stdin=decoder.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), text=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which a job in the background ignores
        ) as certifying:  # fmt: skip
            decoder.stdout.close()
            assert certifying.stdout is not None
            assert json.loads(certifying.stdout.readline())["type"] == "frame"
            certifying.send_signal(signal.SIGINT)
            _, said = certifying.communicate(timeout=20)
        assert decoder.wait(20) != 0
    assert certifying.returncode == 130
    assert said == "interrupted: no half-written file is left\n"
    assert sorted(path.name for path in folder.iterdir()) == before
    assert not running(decoder.pid)


@needs_ffmpeg
@pytest.mark.long
def test_no_leak_over_2000_frames() -> None:
    def peak(frames: int) -> int:
        source = f"testsrc2=size=192x128:rate=25,trim=end_frame={frames}"
        pipe = subprocess.Popen(
            ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *PIPE],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        host = [sys.executable, "-m", "bindings.ffmpeg", "--model", "model"]
        with pipe:
            most = peak_memory([*host, "--samples", "41", "--epsilon", "0.01", "--json", "log.json"], stdin=pipe.stdout)
        assert len(log()["frames"]) == frames
        return most

    assert peak(2000) - peak(200) < 24_000  # KiB: half of one 192×128 frame's planes and lattice a frame


@needs_ffmpeg
@pytest.mark.skipif(sys.platform != "linux", reason="written for a Unix shell")
def test_page(folder: Path) -> None:
    """docs/ffmpeg.md, command by command."""
    printed = run_page("ffmpeg.md", folder, sys.executable)
    assert "biqa_cert_lo" in Path("clip.json").read_text()
    assert printed[-1].lower().count("lavfi.biqa.score=") == 4  # two from the file, two from Matroska
    assert os.path.getsize("certified.mkv") > 0


def test_tiles_through_the_pipe(piped: Callable[..., int], folder: Path) -> None:
    """The words of tiles are those of certify, whether the number of frames is known or shows at the end."""
    tile_bundle(folder / "tiles", tile=8, samples=61)
    words = ("--model", "tiles", "--levels", "0.25", "--metadata", "side.txt")
    assert piped(y4m(), "--json", "counted.json", *words) == 0
    assert piped(y4m(), "--json", "known.json", "--frames", "3", *words) == 0
    counted, known = log("counted.json"), log("known.json")
    assert counted["frames"] == known["frames"]
    assert counted["inputs"][0]["pooled_bounds"] == known["inputs"][0]["pooled_bounds"]
    assert counted["inputs"][0]["certificate"]["tampering"] == {"levels": 0.25}
    said = Path("side.txt").read_text()
    assert "lavfi.biqa.tampering=0.25 grey levels" in said
    assert "epsilon" not in said
