"""The frei0r filter in a real ffmpeg: what is certified, what its log says, and what it cannot do."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import runtime
from runtime.files.video import open_video
from tests.support.clips import write_clip
from tests.support.hosts import SECRET, blocks, make, newcomer
from tests.support.tiny import tiny_bundle

HEADERS = ("/usr/include/frei0r.h", "/usr/local/include/frei0r.h")


@pytest.fixture(scope="module")
def ffmpeg() -> str:
    path = shutil.which("ffmpeg")
    if path is None:
        pytest.skip("ffmpeg is not installed")
    filters = subprocess.run([path, "-hide_banner", "-filters"], capture_output=True, text=True, check=True).stdout
    if " frei0r " not in filters:
        pytest.skip("this ffmpeg is built without frei0r")
    return path


@pytest.fixture(scope="module")
def plugin(libbiqa: Path, ffmpeg: str) -> Path:
    """The folder that FREI0R_PATH names."""
    if not any(Path(header).exists() for header in HEADERS):
        pytest.skip("frei0r.h is not installed (Debian: frei0r-plugins-dev)")
    build = f"BUILD={libbiqa / 'build-frei0r'}"
    done = make("bindings/ffmpeg/frei0r", f"PREFIX={libbiqa}", build, "install")
    assert done.returncode == 0, done.stderr
    return libbiqa / "lib" / "frei0r-1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model, a secret and a clip of six frames with no loss."""
    tiny_bundle(tmp_path / "model")
    (tmp_path / "secret").write_bytes(SECRET)
    write_clip(tmp_path / "clip.mkv", frames=6, codec="ffv1")
    return tmp_path


@pytest.fixture
def env(plugin: Path, host_env: dict[str, str]) -> dict[str, str]:
    return {**host_env, "FREI0R_PATH": str(plugin)}


def run(ffmpeg: str, env: dict[str, str], folder: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = [ffmpeg, "-v", "warning", "-nostdin", *arguments]
    return subprocess.run(command, capture_output=True, cwd=folder, env=env, check=False)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rgb_of_ffmpeg(
    ffmpeg: str, env: dict[str, str], folder: Path, *arguments: str, width: int = 96, height: int = 64
) -> NDArray[np.uint8]:
    """N×H×W×3: what ffmpeg itself makes of a clip as RGBA."""
    done = run(ffmpeg, env, folder, *arguments, "-pix_fmt", "rgba", "-f", "rawvideo", "-")
    return np.frombuffer(done.stdout, np.uint8).reshape(-1, height, width, 4)[:, :, :, :3]


def test_every_frame_is_certified_and_passes_unchanged(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    """The certificates are the runtime's own of the RGB that ffmpeg hands over."""
    graph = ("-vf", "frei0r=biqa:log.ndjson|model|0.2||51||secret|1")
    done = run(ffmpeg, env, folder, "-i", "clip.mkv", *graph, "-pix_fmt", "rgba", "-f", "rawvideo", "out.rgba")
    assert (done.returncode, done.stderr) == (0, b"")
    frames = rgb_of_ffmpeg(ffmpeg, env, folder, "-i", "clip.mkv")
    passed = np.fromfile(folder / "out.rgba", np.uint8).reshape(-1, 64, 96, 4)
    assert np.array_equal(passed[:, :, :, :3], frames)
    begin, *certified, end = lines(folder / "log.ndjson")
    assert begin["type"] == "begin"
    assert (begin["version"], begin["width"], begin["height"]) == (runtime.__version__, 96, 64)
    assert end == {"type": "end", "frames": 6, "certified": 6, "complete": True}
    assert [line["frameNum"] for line in certified] == list(range(6))
    assert {line["received"] for line in certified} == {"rgba8"}
    with runtime.Certifier(folder / "model", epsilon=0.2, samples=51, secret=SECRET) as certifier:
        expected = [certifier.certify(np.ascontiguousarray(frame)).to_dict() for frame in frames]
    assert [line["certificate"] for line in certified] == expected


def test_the_hosts_rgb_is_not_that_of_the_planes(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    """What docs/frei0r.md says of 4:2:0: another RGB, hence another lattice, noise and score than the planes'."""
    run(ffmpeg, env, folder, "-i", "clip.mkv", "-vf", "frei0r=biqa:log.ndjson|model|||||secret", "-f", "null", "-")
    theirs = rgb_of_ffmpeg(ffmpeg, env, folder, "-i", "clip.mkv").astype(int)
    planes, digests = certified_planes(folder / "model", folder / "clip.mkv")
    difference = np.abs(planes - theirs)
    assert 4 <= difference.max() <= 40
    assert 0.2 < (difference > 0).mean() < 0.95
    logged = [line["certificate"]["frame_sha256"] for line in lines(folder / "log.ndjson")[1:-1]]
    assert len(logged) == len(digests) == 6
    assert not set(logged) & set(digests)


def test_rgb_of_a_file_of_rgb_is_the_same(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    """What docs/frei0r.md says of RGB sources: nothing is converted, and nothing differs."""
    clip = write_clip(folder / "rgb.mov", frames=3, codec="png", pix_fmt="rgb24")
    run(ffmpeg, env, folder, "-i", "rgb.mov", "-vf", "frei0r=biqa:log.ndjson|model|||||secret", "-f", "null", "-")
    logged = [line["certificate"]["frame_sha256"] for line in lines(folder / "log.ndjson")[1:-1]]
    assert logged == certified_planes(folder / "model", clip)[1]


def certified_planes(model: Path, clip: Path) -> tuple[NDArray[np.int64], list[str]]:
    """The RGB of a clip by the runtime's conversion, N×H×W×3, and the digests in the certificates of its planes."""
    with runtime.Certifier(model, samples=21) as certifier, open_video(clip) as video:
        frames = list(video)
        certificates = [certifier.certify_planes(frame.planes, frame.conversion) for frame in frames]
    rgb = np.stack([frame.rgb() for frame in frames]).astype(np.int64)
    return rgb, [certificate.provenance.frame_sha256 for certificate in certificates]


def test_only_every_nth_frame(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    run(ffmpeg, env, folder, "-i", "clip.mkv", "-vf", "frei0r=biqa:log.ndjson|model|||21||||5", "-f", "null", "-")
    _, *certified, end = lines(folder / "log.ndjson")
    assert [line["frameNum"] for line in certified] == [0, 5]
    assert (end["frames"], end["certified"]) == (6, 2)


def test_too_few_samples_are_marked(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    run(ffmpeg, env, folder, "-i", "clip.mkv", "-vf", "frei0r=biqa:log.ndjson|model|||5", "-f", "null", "-")
    certificate = lines(folder / "log.ndjson")[1]["certificate"]
    assert (certificate["abstained"], certificate["lower"], certificate["upper"]) == (True, None, None)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ("log.ndjson|missing", "no bundle at missing"),
        ("log.ndjson|model|x", 'epsilon is a number above 0, not "x"'),
        ("log.ndjson|model|0,5", 'epsilon is a number above 0, not "0,5"'),
        ("log.ndjson|model||7", "alpha"),
        ("log.ndjson|model|||2.5", 'samples is a whole number above 0, not "2.5"'),
        ("log.ndjson|model||||all", "scope is 'smoothed' or 'reported'"),
        ("log.ndjson|model|||||missing", "secret file missing cannot be read"),
        ("log.ndjson|model|||||||-1", 'subsample is a whole number above 0, not "-1"'),
    ],
)
def test_an_error_is_marked_and_nothing_more_is_certified(
    ffmpeg: str, env: dict[str, str], folder: Path, parameters: str, words: str
) -> None:
    done = run(ffmpeg, env, folder, "-i", "clip.mkv", "-vf", f"frei0r='biqa:{parameters}'", "-f", "framecrc", "-")
    assert done.returncode == 0
    assert done.stdout.count(b"\n0,") == 6  # they all pass
    assert words in done.stderr.decode()
    assert len(done.stderr.splitlines()) == 1
    _, error, end = lines(folder / "log.ndjson")
    assert (error["type"], error["frameNum"]) == ("error", 0)
    assert words in error["message"]
    assert end == {"type": "end", "frames": 6, "certified": 0, "complete": False}


@pytest.mark.parametrize(("parameters", "words"), [("", "log, is not set"), ("missing/log", "cannot be opened")])
def test_without_a_log_standard_error_says_so(
    ffmpeg: str, env: dict[str, str], folder: Path, parameters: str, words: str
) -> None:
    done = run(ffmpeg, env, folder, "-i", "clip.mkv", "-vf", f"frei0r=biqa:{parameters}", "-f", "null", "-")
    assert done.returncode == 0
    assert words in done.stderr.decode()
    assert b"no more frames are certified" in done.stderr


def test_a_log_on_a_full_disk(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    done = run(ffmpeg, env, folder, "-i", "clip.mkv", "-vf", "frei0r=biqa:/dev/full|model", "-f", "null", "-")
    assert b"No space left on device; no more frames are certified" in done.stderr


def test_transparency_is_an_error(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    graph = "format=rgba,colorchannelmixer=aa=0.5,frei0r=biqa:log.ndjson|model"
    run(ffmpeg, env, folder, "-i", "clip.mkv", "-vf", graph, "-f", "null", "-")
    assert "transparency" in lines(folder / "log.ndjson")[1]["message"]


@pytest.mark.parametrize("width", [66, 68, 72])
def test_a_width_whose_rows_would_be_padded_is_refused(
    ffmpeg: str, env: dict[str, str], folder: Path, width: int
) -> None:
    done = run(
        *(ffmpeg, env, folder, "-f", "lavfi", "-i", f"testsrc=s={width}x64:d=0.1"),
        *("-vf", "frei0r=biqa:log.ndjson|model", "-f", "null", "-"),
    )
    assert done.returncode != 0
    assert b"not a multiple of 16" in done.stderr
    assert not (folder / "log.ndjson").exists()


@pytest.mark.parametrize(("width", "height"), [(16, 17), (80, 47), (112, 64), (336, 33)])
def test_other_widths_are_read_straight(
    ffmpeg: str, env: dict[str, str], folder: Path, width: int, height: int
) -> None:
    source = ("-f", "lavfi", "-i", "testsrc=s=400x100:d=0.04", "-vf")
    graph = f"crop={width}:{height}:3:5:exact=1"
    run(ffmpeg, env, folder, *source, f"{graph},frei0r=biqa:log.ndjson|model|||21||secret", "-f", "null", "-")
    (frame,) = rgb_of_ffmpeg(ffmpeg, env, folder, *source, graph, width=width, height=height)
    with runtime.Certifier(folder / "model", samples=21, secret=SECRET) as certifier:
        expected = certifier.certify(np.ascontiguousarray(frame)).to_dict()
    assert lines(folder / "log.ndjson")[1]["certificate"] == expected


def test_a_change_of_size_begins_another_segment(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    write_clip(folder / "a.h264", frames=3)
    write_clip(folder / "b.h264", frames=2, width=64)
    (folder / "ab.h264").write_bytes((folder / "a.h264").read_bytes() + (folder / "b.h264").read_bytes())
    run(ffmpeg, env, folder, "-i", "ab.h264", "-vf", "frei0r=biqa:log.ndjson|model", "-f", "null", "-")
    log = lines(folder / "log.ndjson")
    assert [line["type"] for line in log] == ["begin", *["frame"] * 3, "end", "begin", *["frame"] * 2, "end"]
    assert [line["width"] for line in log if line["type"] == "begin"] == [96, 64]
    assert [line["complete"] for line in log if line["type"] == "end"] == [True, True]


@pytest.mark.parametrize("how", ["frames", "interrupt", "kill"])
def test_a_host_that_stops_early(ffmpeg: str, env: dict[str, str], folder: Path, how: str) -> None:
    """The log is whole up to there, and ended unless the host was killed; nothing else is left behind."""
    log = folder / "log.ndjson"
    source = ["-re", "-f", "lavfi", "-i", "testsrc=s=64x64:r=50:d=60", "-vf", "frei0r=biqa:log.ndjson|model|||21"]
    limit = ["-frames:v", "4"] if how == "frames" else []
    before = set(folder.iterdir())
    process = subprocess.Popen(
        [ffmpeg, "-v", "warning", "-nostdin", *source, *limit, "-f", "null", "-"],
        cwd=folder, env=env, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    with process:
        deadline = time.monotonic() + 60
        while how != "frames" and time.monotonic() < deadline and not (log.exists() and len(log.read_bytes()) > 3000):
            time.sleep(0.02)
        if how != "frames":
            process.send_signal(signal.SIGINT if how == "interrupt" else signal.SIGKILL)
        process.communicate(timeout=60)
    written = lines(log)  # every line is whole
    certified = [line for line in written if line["type"] == "frame"]
    assert [line["frameNum"] for line in certified] == list(range(len(certified)))
    assert len(certified) >= 1
    if how == "kill":
        assert written[-1]["type"] == "frame"
    else:
        assert written[-1]["complete"] is True
        assert written[-1]["certified"] == len(certified)
    assert set(folder.iterdir()) - before == {log}
    assert processes_of_session(process.pid) == []


def processes_of_session(session: int) -> list[str]:
    """The processes that a program begun in a session of its own has left running."""
    left = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # ended since it was listed
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == session:
                left.append(entry.parent.name)
    return left


def test_memory_is_flat_over_2000_frames(ffmpeg: str, env: dict[str, str], folder: Path) -> None:
    """Of the process's own memory: pages of its libraries come and go with what else runs on the machine."""
    log = folder / "log.ndjson"
    source = ("-f", "lavfi", "-i", "testsrc=s=64x64:r=50:d=40", "-vf", "frei0r=biqa:log.ndjson|model|0.01|0.5|13|||1")
    process = subprocess.Popen([ffmpeg, "-v", "warning", "-nostdin", *source, "-f", "null", "-"], cwd=folder, env=env)
    resident: list[tuple[int, int]] = []
    with process:
        while process.poll() is None:
            size = log.stat().st_size if log.exists() else 0
            pages = Path(f"/proc/{process.pid}/statm").read_text().split()
            if size and int(pages[1]):
                resident.append((size, (int(pages[1]) - int(pages[2])) * 4096))
            time.sleep(0.02)
    assert lines(log)[-1] == {"type": "end", "frames": 2000, "certified": 2000, "complete": True}
    whole = log.stat().st_size
    warm = next(memory for size, memory in resident if size > whole / 5)
    assert resident[-1][0] > 0.9 * whole
    growth = resident[-1][1] - warm
    assert growth < 2**20, f"{growth / 2**20:.2f} MiB more"


def test_the_page_takes_a_newcomer_to_a_certificate(
    ffmpeg: str, plugin: Path, host_env: dict[str, str], tmp_path: Path
) -> None:
    """docs/frei0r.md, every command, in the order of the page, in one shell."""
    newcomer(tmp_path)
    write_clip(tmp_path / "clip.mkv", frames=2, codec="ffv1")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks("frei0r.md", "sh"))],
        capture_output=True, text=True, cwd=tmp_path, env=host_env, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {"type": "end", "frames": 2, "certified": 2, "complete": True}
    certificate = lines(tmp_path / "clip.ndjson")[1]["certificate"]
    assert (certificate["epsilon"], certificate["samples"], certificate["abstained"]) == (0.1, 101, False)
