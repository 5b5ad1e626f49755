"""What the examples answer on inputs whose order is known.

That the metric of one's own builds is in tests/examples/test_readme.py.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

import leaderboard  # noqa: E402
import target_quality  # noqa: E402

from tests.support.clips import write_clip  # noqa: E402
from tests.support.hosts import gst_environment, no_gstreamer  # noqa: E402
from tests.support.tiny import tiny_bundle  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A bundle whose score is the mean brightness, 0 to 100."""
    return str(tiny_bundle(tmp_path_factory.mktemp("model") / "tiny").path)


def grey(path: Path, level: int) -> Path:
    Image.fromarray(np.full((64, 64, 3), level, np.uint8)).save(path)
    return path


def grey_clip(source: Path, target: Path, crf: int) -> float:
    """In place of an encode: a clip that is the darker, the larger the CRF; brightness about 100 − CRF."""
    with av.open(target, "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "1"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        picture = np.full((64, 64, 3), round(2.55 * (100 - crf)), np.uint8)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return 1.0


def run(main: object, monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["example", *map(str, words)])
    return main()  # type: ignore[operator, no-any-return]


def test_the_largest_crf_that_passes_is_found(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Brightness of CRF c is 100 − c up to a point; the target of 65 is reached up to 34 or so, whatever the noise."""
    monkeypatch.setattr(target_quality, "encode", grey_clip)
    out = tmp_path / "out.mp4"
    assert run(target_quality.main, monkeypatch, out, "--target", 65, "--out", out, "--model", model) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:-1]]
    assert len(lines) <= target_quality.JUDGED
    verdicts = {int(line[0]): line[2] for line in lines}
    chosen = max(crf for crf, verdict in verdicts.items() if verdict == "pass")
    assert 30 <= chosen <= 36
    assert all((verdict == "pass") == (crf <= chosen) for crf, verdict in verdicts.items())
    assert verdicts[chosen + 1] != "pass"
    assert out.read_bytes()


def test_encodes_keep_frames_and_tags(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=5, tags={"colorspace": 1, "color_range": 1})
    rates = [target_quality.encode(source, tmp_path / f"{crf}.mp4", crf) for crf in (15, 45)]
    assert rates[0] > rates[1] > 0
    with av.open(tmp_path / "45.mp4") as container:
        video = container.streams.video[0]
        assert len(list(container.decode(video))) == 5
        assert (video.codec_context.colorspace, video.codec_context.color_range) == (1, 1)


def test_a_target_out_of_reach_leaves_no_file(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(target_quality, "encode", grey_clip)
    out = tmp_path / "out.mp4"
    assert run(target_quality.main, monkeypatch, out, "--target", 99, "--out", out, "--model", model) == 1
    assert "certainly reaches 99" in capsys.readouterr().err
    monkeypatch.undo()
    assert run(target_quality.main, monkeypatch, tmp_path / "no.mp4", "--target", 9, "--out", out) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_places_are_certain_or_ties(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, levels in {"dark": (60, 70), "light": (190, 180), "twin": (190, 180), "middle": (120, 130)}.items():
        (tmp_path / name).mkdir()
        for number, level in enumerate(levels):
            grey(tmp_path / name / f"{number}.png", level)
    entries = [tmp_path / name for name in ("dark", "light", "middle", "twin")]
    assert run(leaderboard.main, monkeypatch, *entries, "--model", model) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[0] for row in rows] == ["1–2", "1–2", "3", "4"]
    assert {Path(row[2]).name for row in rows[:2]} == {"light", "twin"}
    assert [Path(row[2]).name for row in rows[2:]] == ["middle", "dark"]


def test_encoders_of_a_made_clip_are_ranked(model: str, capfd: pytest.CaptureFixture[str]) -> None:
    """By brightness, which coarse quantisation hardly moves: a place each, and the bytes of every encode."""
    words = ["--model", model, "--encoders", "libx264", "mpeg2video", "no-such-encoder", "--subsample", "6"]
    done = notebook("rank_encoders.py", *words)
    assert done.returncode == 0, done.stderr
    first, count, _, *rows = done.stdout.splitlines()
    assert first == "no-such-encoder: this FFmpeg does not have it"
    assert count == "12 frames, 120 kbit/s asked for"
    assert {row.split()[3] for row in rows} == {"libx264", "mpeg2video"}
    assert all(int(row.split()[2]) > 1000 for row in rows)


def notebook(name: str, *words: str) -> subprocess.CompletedProcess[str]:
    """An example that runs from its first cell to its last, in a process of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "examples" / name), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture
def web(model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the server that gates uploads at a brightness of 50."""
    pytest.importorskip("fastapi", reason="the extra examples is not installed")
    pytest.importorskip("httpx2", reason="the extra examples is not installed")
    from fastapi.testclient import TestClient

    monkeypatch.setenv("BIQA_MODEL", model)
    monkeypatch.setenv("BIQA_AT_LEAST", "50")
    sys.modules.pop("gate_uploads", None)
    with TestClient(importlib.import_module("gate_uploads").app) as client:
        yield client


def test_uploads_are_gated(web: Any, tmp_path: Path) -> None:
    def sent(data: bytes, name: str = "../../a.png") -> Any:
        return web.post("/uploads", files={"file": (name, data)})

    light, dark = (grey(tmp_path / f"{level}.png", level).read_bytes() for level in (200, 60))
    passed = sent(light)
    assert passed.status_code == 200
    assert passed.json()["decision"] == "pass"
    assert passed.json()["alpha"] == 1e-6
    assert passed.json()["lower"] >= 50
    failed = sent(dark)
    assert (failed.status_code, failed.json()["detail"]["decision"]) == (422, "fail")
    assert sent(write_clip(tmp_path / "clip.mp4", frames=2).read_bytes()).status_code in (200, 422)
    damaged = sent(light[:100])
    assert damaged.status_code == 422
    assert damaged.json()["detail"].startswith("../../a.png")
    assert "/tmp" not in damaged.json()["detail"]
    web.app.state.certifier.certify(np.zeros((64, 64, 3), np.uint8))  # the engine is there for the next one


def test_uploads_that_are_too_large_are_turned_away(web: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = sys.modules["gate_uploads"]
    monkeypatch.setattr(server, "MOST_FRAMES", 1)
    clip = write_clip(tmp_path / "clip.mp4", frames=2).read_bytes()
    assert web.post("/uploads", files={"file": ("a.mp4", clip)}).status_code == 413
    monkeypatch.setattr(server, "MOST_BYTES", 10)
    assert web.post("/uploads", files={"file": ("a.mp4", clip)}).status_code == 413


def test_a_stream_is_watched(model: str) -> None:
    """A light stream is quiet; one that turns dark raises one alarm, and the exit status says so."""
    if (why := no_gstreamer()) is not None:
        pytest.skip(why)

    def watched(*patterns: str) -> subprocess.CompletedProcess[str]:
        caps = "video/x-raw,format=I420,width=64,height=48,framerate=25/1"
        parts = " ".join(f"videotestsrc num-buffers=10 pattern={pattern} ! {caps} ! joined." for pattern in patterns)
        command = ["/usr/bin/python3", str(ROOT / "examples" / "watch_stream.py"), f"{parts} concat name=joined"]
        command += ["--model", model, "--subsample", "3", "--at-least", "50"]
        return subprocess.run(command, capture_output=True, text=True, env=gst_environment(), timeout=120)

    quiet, alarmed = watched("white"), watched("white", "black")
    assert (quiet.returncode, quiet.stdout.splitlines()[-1]) == (0, "0 alarms"), quiet.stderr
    assert alarmed.returncode == 1, alarmed.stderr
    assert alarmed.stdout.count("ALARM: certainly below 50") == 1
    assert alarmed.stdout.splitlines()[-1] == "1 alarms"


def test_folders_must_hold_the_same_clips(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, name in (("a", "one.png"), ("b", "two.png")):
        (tmp_path / folder).mkdir()
        grey(tmp_path / folder / name, 100)
    assert run(leaderboard.main, monkeypatch, tmp_path / "a", tmp_path / "b", "--model", model) == 2
    assert "different names" in capsys.readouterr().err
    assert run(leaderboard.main, monkeypatch, tmp_path / "a", "--model", model) == 2


def test_the_metric_of_ones_own_is_certified_as_it_stands() -> None:
    pytest.importorskip("torch")
    done = notebook("own_metric.py")
    assert done.returncode == 0, done.stderr
    *_, answer = done.stdout.splitlines()
    assert answer == "certainly sharper as it is"


def test_the_score_is_fitted_to_opinions(model: str, tmp_path: Path) -> None:
    """The made-up ones: the record of the calibrated bundle has both scales."""
    done = notebook("own_opinions.py", "--model", model, "--samples", "24", "--out", str(tmp_path / "mine"))
    assert done.returncode == 0, done.stderr
    *_, fit, certified = done.stdout.splitlines()
    assert fit.startswith("logistic of 24 scores, ")
    assert certified.endswith("of your scale")
