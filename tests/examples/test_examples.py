"""What the examples answer on clips whose order is known; the metric of one's own builds and scores as it says."""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "examples"))

import leaderboard  # noqa: E402
import target_quality  # noqa: E402

from tests.support.clips import write_clip  # noqa: E402
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


def test_folders_must_hold_the_same_clips(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, name in (("a", "one.png"), ("b", "two.png")):
        (tmp_path / folder).mkdir()
        grey(tmp_path / folder / name, 100)
    assert run(leaderboard.main, monkeypatch, tmp_path / "a", tmp_path / "b", "--model", model) == 2
    assert "different names" in capsys.readouterr().err
    assert run(leaderboard.main, monkeypatch, tmp_path / "a", "--model", model) == 2


def test_the_metric_of_ones_own_builds_and_ranks_sharpness(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnxscript")
    from export.__main__ import main as export
    from runtime import Certifier
    from tests.support.clips import photograph

    bundle = tmp_path / "sharpness-bundle"
    words = ["--metric", str(ROOT / "examples" / "own_metric.py") + ":make", "--denoiser", "none", "--quiet"]
    assert export(["build", *words, "--name", "sharpness", "--score-range", "0", "100", "--out", str(bundle)]) == 0
    sharp = photograph()[:128, 128:256]
    rows = np.arange(128) // 8 * 8
    with Certifier(bundle) as certifier:
        comparison = certifier.compare(sharp, sharp[rows][:, rows] // 2)
        assert certifier.certify(sharp).provenance.model == "sharpness"
        flat = certifier.certify(np.full_like(sharp, 128)).score
    assert comparison.decision == "a"
    assert 0 <= flat < comparison.b.score < comparison.a.score <= 100
