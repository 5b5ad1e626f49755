"""The element biqa in real pipelines: what it posts, what it refuses, and that frames pass unchanged."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime.frames.planes import Conversion, rgb_from_planes
from runtime.noise.keys import frame_sha256
from tests.support.clips import write_clip
from tests.support.hosts import gst_environment, launch, messages, no_gstreamer, run_page
from tests.support.leaks import peak_memory, running
from tests.support.tiny import tiny_bundle

NO_GSTREAMER = no_gstreamer()
pytestmark = pytest.mark.skipif(NO_GSTREAMER is not None, reason=str(NO_GSTREAMER))
BARS = ["videotestsrc", "num-buffers=3", "!", "video/x-raw,format=I420,width=64,height=48", "!"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model and a secret."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model", samples=61)
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    return tmp_path


def element(*properties: str, name: str = "biqa0") -> list[str]:
    return ["biqa", f"name={name}", "model=model", "secret-file=secret", *properties]


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the element itself complained of."""
    return re.findall(r"^ERROR: from element \S*biqa0: (.*)$", done.stderr, re.MULTILINE)


def test_messages(folder: Path) -> None:
    write_clip(Path("clip.mp4"), frames=5, pts=[0, 1, 5, 6, 9])
    file = ["filesrc", "location=clip.mp4", "!", "decodebin", "!"]
    done = launch(*file, *element("probe=clip.mp4", "subsample=2"), "!", "fakesink")
    assert done.returncode == 0
    *frames, summary = messages(done.stdout)
    assert [(one["type"], int(one["frame"])) for one in frames] == [("frame", 0), ("frame", 2), ("frame", 4)]
    assert [int(one["time"]) for one in frames] == [0, 200_000_000, 360_000_000]
    for one in frames:
        record = json.loads(one["record"])
        assert [float(one[key]) for key in ("score", "lower", "upper")] == [
            record[k] for k in ("score", "lower", "upper")
        ]
        assert record["alpha"] == pytest.approx(0.001 / 3)
        assert "every frame" in record["claim"]
    assert (summary["type"], summary["frames"], summary["certified"], summary["complete"]) == (
        "summary",
        "5",
        "3",
        "true",
    )
    assert float(summary["joint-alpha"]) == 0.001
    assert float(summary["score"]) == pytest.approx(np.mean([float(one["score"]) for one in frames]))
    assert float(summary["lower"]) == pytest.approx(np.mean([float(one["lower"]) for one in frames]))


def test_alone_at_alpha_where_the_number_is_unknown() -> None:
    done = launch(*BARS, *element("epsilon=0.05", "alpha=0.01", "samples=41", "scope=reported"), "!", "fakesink")
    *frames, summary = messages(done.stdout)
    for one in frames:
        record = json.loads(one["record"])
        assert [record[key] for key in ("alpha", "epsilon", "samples", "scope")] == [0.01, 0.05, 41, "reported"]
        assert "whole" in record["conversion"]["assumed"]
    assert float(summary["joint-alpha"]) == pytest.approx(0.03)
    assert summary["complete"] == "false"
    assert "at most 0.03" in summary["claim"]


def test_public_seed_is_marked() -> None:
    done = launch(*BARS, "biqa", "model=model", "public-seed=7", "!", "fakesink")
    record = json.loads(messages(done.stdout)[0]["record"])
    assert (record["noise"], record["public_seed"]) == ("public seed", 7)


def test_frames_pass_unchanged() -> None:
    for middle in (["identity"], element()):
        done = launch(*BARS, *middle, "!", "filesink", f"location={middle[0]}.yuv")
        assert done.returncode == 0
    assert Path("biqa.yuv").read_bytes() == Path("identity.yuv").read_bytes()
    assert Path("biqa.yuv").stat().st_size == 3 * 64 * 48 * 3 // 2


def test_certificate_is_of_the_planes_that_pass() -> None:
    """Against the runtime, with the planes as filesink writes them."""
    caps = "video/x-raw,format=I420,width=64,height=48,colorimetry=bt709,chroma-site=mpeg2"
    done = launch(
        "videotestsrc", "num-buffers=1", "!", caps, "!", *element("frames=1"), "!", "filesink", "location=a.yuv"
    )  # fmt: skip
    data = np.fromfile("a.yuv", np.uint8)
    planes = data[:3072].reshape(48, 64), data[3072:3840].reshape(24, 32), data[3840:].reshape(24, 32)
    with runtime.Certifier("model", secret=bytes(range(32))) as certifier:
        expected = certifier.certify_planes(planes, Conversion("bt709", "limited", 8, "4:2:0", "left"))
    assert json.loads(messages(done.stdout)[0]["record"]) == json.loads(json.dumps(expected.to_dict()))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("I420", "NV12"),
        ("Y42B", "NV16"),
        ("Y444", "NV24"),
        ("GBR", "RGB"),
        ("RGB", "BGR"),
    ],
)
def test_formats_that_hold_the_same_picture(first: str, second: str) -> None:
    """50 columns: rows are padded in memory. One pipeline, GStreamer converting between two elements."""
    caps = [f"video/x-raw,format={name},width=50,height=38" for name in (first, second)]
    middle = ["!", "videoconvert", "!", caps[1], "!", *element(name="b")]
    source = ["videotestsrc", "num-buffers=1", "pattern=gamut", "!", caps[0], "!"]
    done = launch(*source, *element(name="a"), *middle, "!", "fakesink")
    assert done.returncode == 0, done.stderr
    hashes = [json.loads(one["record"])["frame_sha256"] for one in messages(done.stdout) if one["type"] == "frame"]
    assert len(hashes) == 2
    assert hashes[0] == hashes[1]


@pytest.mark.parametrize(
    ("name", "bits", "interleaved"),
    [
        ("i420-10le", 10, False),
        ("i420-12le", 12, False),
        ("p010-10le", 10, True),
        ("p012-le", 12, True),
        ("p016-le", 16, True),
    ],
)
def test_deep_formats(name: str, bits: int, interleaved: bool) -> None:
    """Against the conversion of the runtime; the interleaved ones keep their values in the high bits."""
    rng = np.random.default_rng(bits)
    planes = [rng.integers(0, 2**bits, shape, np.uint16) for shape in ((38, 52), (19, 26), (19, 26))]
    chroma = [np.stack(planes[1:], 2)] if interleaved else planes[1:]
    stored = [plane << (16 - bits if interleaved else 0) for plane in (planes[0], *chroma)]
    Path("a.raw").write_bytes(b"".join(plane.astype("<u2").tobytes() for plane in stored))
    parse = ["rawvideoparse", f"format={name}", "width=52", "height=38"]
    done = launch("filesrc", "location=a.raw", "!", *parse, "!", *element("frames=1"), "!", "fakesink")
    assert done.returncode == 0, done.stderr
    record = json.loads(messages(done.stdout)[0]["record"])
    rgb = rgb_from_planes(planes, Conversion.from_dict(record["conversion"]))
    assert (record["bit_depth"], record["frame_sha256"]) == (bits, frame_sha256(rgb))


@pytest.mark.parametrize(
    ("caps", "matrix", "range_", "siting", "assumed"),
    [
        ("colorimetry=bt709,chroma-site=jpeg", "bt709", "limited", "center", ["whole"]),
        ("colorimetry=bt601,chroma-site=mpeg2", "bt601", "limited", "left", ["whole"]),
        ("colorimetry=(string)2:6:5:1,chroma-site=cosited", "bt2020nc", "limited", "topleft", ["whole"]),
        ("colorimetry=(string)1:4:0:0,chroma-site=mpeg2", "bt601", "full", "left", ["whole"]),
    ],
)
def test_colours_of_the_caps(caps: str, matrix: str, range_: str, siting: str, assumed: list[str]) -> None:
    source = ["videotestsrc", "num-buffers=1", "!", f"video/x-raw,format=I420,width=64,height=48,{caps}", "!"]
    done = launch(*source, *element(), "!", "fakesink")
    conversion = json.loads(messages(done.stdout)[0]["record"])["conversion"]
    assert (conversion["matrix"], conversion["range"], conversion["chroma_location"]) == (matrix, range_, siting)
    assert conversion["assumed"] == assumed


def test_wide_gamut_is_refused() -> None:
    caps = "video/x-raw,format=I420,width=64,height=48,colorimetry=bt2020"
    done = launch("videotestsrc", "num-buffers=1", "!", caps, "!", *element(), "!", "fakesink")
    assert messages(done.stdout) == []
    assert "BT.2020" in done.stderr + done.stdout


@pytest.mark.parametrize(
    ("properties", "message"),
    [
        (["model=nowhere"], "no bundle at nowhere"),
        (["secret-file=nothing"], "cannot be read"),
        (["samples=9"], "cannot bound"),
        (["epsilon=0.5"], "cannot bound"),
        (["public-seed=3"], "not both"),
        (["public-seed=x"], "public-seed is a whole number, not 'x'"),
        (["matrix=rgb709"], "matrix is one of"),
        (["matrix=rgb"], "not for planes Y, U, V"),
        (["range=tv"], "range is one of"),
        (["scope=all"], "scope is"),
        (["probe=nothing.mp4"], "no such file"),
        (["frames=2"], "more than the 2 frames"),
        (["frames=4"], "3 frames came, it should have 4"),
        (["model=nan"], "NaN"),
    ],
)
def test_errors_are_told_once_and_stop_the_flow(folder: Path, properties: list[str], message: str) -> None:
    if properties == ["model=nan"]:
        tiny_bundle(folder / "nan", extra="nan", samples=61)
    done = launch(*BARS, *element(*properties), "!", "filesink", "location=passed.yuv")
    assert done.returncode != 0
    (said,) = errors(done)
    assert message in said
    passed = Path("passed.yuv").stat().st_size if Path("passed.yuv").exists() else 0
    certified = sum(one["type"] == "frame" for one in messages(done.stdout))
    assert passed == certified * 64 * 48 * 3 // 2


@pytest.mark.parametrize(
    ("caps", "message"),
    [
        ("format=I420_10LE,colorimetry=bt2100-pq", "PQ"),
        ("format=I420_10LE,colorimetry=bt2100-hlg", "HLG"),
        ("format=I420,chroma-site=v-cosited", "siting 'v-cosited' is not taken"),
        ("format=I420,colorimetry=smpte240m", "matrix 7 .* is not known"),
    ],
)
def test_caps_that_are_refused(caps: str, message: str) -> None:
    source = ["videotestsrc", "num-buffers=2", "!", f"video/x-raw,width=64,height=48,{caps}", "!"]
    done = launch(*source, *element(), "!", "fakesink")
    assert done.returncode != 0
    (said,) = errors(done)
    assert re.search(message, said)
    assert messages(done.stdout) == []


def test_other_formats_do_not_negotiate() -> None:
    done = launch("videotestsrc", "num-buffers=1", "!", "video/x-raw,format=AYUV", "!", *element(), "!", "fakesink")
    assert done.returncode != 0


def test_another_size_in_mid_stream() -> None:
    sizes = [f"video/x-raw,format=I420,width={width},height=48" for width in (64, 96)]
    sources = [part for size in sizes for part in ("videotestsrc", "num-buffers=2", "!", size, "!", "c.")]
    done = launch(*sources, "concat", "name=c", "!", *element(), "!", "fakesink")
    assert done.returncode != 0
    (said,) = errors(done)
    assert "frame 2 is 96×48, the first ones 64×48" in said


def test_corrupted_buffers_are_refused() -> None:
    script = Path(__file__).parents[1] / "support" / "gst_scripts" / "corrupted.py"
    command = ["/usr/bin/python3", str(script), "model"]
    done = subprocess.run(command, capture_output=True, text=True, env=gst_environment(), timeout=60)
    assert done.stdout == "1 biqa0: frame 1 is damaged, says the decoder\n"


def test_stopped_early_leaves_nothing(folder: Path) -> None:
    before = sorted(path.name for path in folder.iterdir())
    endless = ["videotestsrc", "is-live=true", "!", "video/x-raw,format=I420,width=64,height=48", "!"]
    command = ["gst-launch-1.0", "-m", *endless, *element(), "!", "fakesink"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=gst_environment()) as process:
        assert process.stdout is not None
        while "type=(string)frame" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert not running(process.pid)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.long
def test_no_leak_over_2000_frames() -> None:
    def peak(frames: int) -> int:
        source = ["videotestsrc", f"num-buffers={frames}", "!", "video/x-raw,format=I420,width=192,height=128", "!"]
        command = ["gst-launch-1.0", "-q", *source, *element("samples=41", "epsilon=0.01"), "!", "fakesink"]
        return peak_memory(command, **gst_environment())

    assert peak(2000) - peak(200) < 24_000  # KiB: half of one 192×128 frame's planes and lattice a frame


def test_page(folder: Path) -> None:
    """docs/gstreamer.md, command by command."""
    printed = run_page("gstreamer.md", folder, sys.executable, GST_REGISTRY=str(folder / "registry"))
    assert "Certified image quality" in printed[0]
    assert [one["type"] for one in messages(printed[0])] == ["frame", "frame", "summary"]
