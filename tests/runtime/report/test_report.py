"""What a page holds: outward numbers, certified frames, escaped names, and no more bytes than it may."""

from __future__ import annotations

import copy
import hashlib
import json
import random
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime.__main__ import main
from runtime.errors import RecordError
from runtime.files.file_frames import FileFrames
from runtime.report import content, page, plot, take_thumbnails, thumbnail_share, worst
from runtime.report.numbers import down, nearest, unit_digits, up
from runtime.report.thumbnails import ROOM
from tests.support.clips import photograph, write_clip
from tests.support.reports import content_of
from tests.support.tiny import tiny_bundle

ROOT = Path(__file__).parents[3]
UPLOT = "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f"
"""SHA-256 of dist/uPlot.iife.min.js in the npm package uplot 1.6.32."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip, its log, and the model."""
    made = tmp_path_factory.mktemp("report")
    tiny_bundle(made / "model")
    write_clip(made / "clip.mp4", frames=8)
    words = ["certify", str(made / "clip.mp4"), "--model", str(made / "model"), "--public-seed", "3", "--quiet"]
    assert main([*words, "--json", str(made / "log.json"), "--report", str(made / "clip.html")]) == 0
    return made


@pytest.fixture
def log(folder: Path) -> dict[str, Any]:
    made: dict[str, Any] = json.loads((folder / "log.json").read_text())
    return made


def test_the_library_is_the_published_one() -> None:
    held = (ROOT / "runtime" / "report" / "uPlot.iife.min.js").read_bytes()
    assert hashlib.sha256(held).hexdigest() == UPLOT


def test_numbers_are_rounded_outwards() -> None:
    rng = random.Random(5)
    for _ in range(2000):
        value, digits = rng.choice((1, 1e-3, 1e4)) * rng.uniform(-100, 100), rng.randint(2, 8)
        exact = Fraction(value) * 10**digits
        low, high, middle = down(value, digits), up(value, digits), nearest(value, digits)
        assert low is not None
        assert high is not None
        assert middle is not None
        assert low <= exact <= high
        assert high - low <= 1
        assert abs(middle - exact) <= Fraction(1, 2)
    assert [down(None, 4), up(float("inf"), 4), nearest(float("nan"), 4)] == [None, None, None]
    assert [unit_digits([99.0]), unit_digits([0.7, None]), unit_digits([])] == [4, 6, 5]


def test_a_page_says_what_the_log_says(folder: Path, log: dict[str, Any]) -> None:
    shown = content_of(folder / "clip.html")
    (one,) = shown["inputs"]
    unit = 10 ** shown["digits"]
    for index, frame in enumerate(log["frames"]):
        score, lower, upper = frame["metrics"].values()
        assert one["lower"][index] / unit <= lower <= score <= upper <= one["upper"][index] / unit
        assert abs(one["score"][index] / unit - score) <= 1 / unit
    assert one["pools"]["mean"][3] == "collective"
    assert shown["joint_alpha"] == log["joint_alpha"]
    lowest = sorted(range(8), key=lambda index: log["frames"][index]["metrics"]["tiny"])
    assert [thumbnail["frame"] for thumbnail in one["thumbnails"]] == lowest
    low, high = re.findall(r"out of (\d+\.\d+) to (\d+\.\d+)", one["promise"])[0]
    pooled = log["inputs"][0]["pooled_metrics"]
    assert float(low) <= pooled["tiny_cert_lo"]["mean"] <= pooled["tiny_cert_hi"]["mean"] <= float(high)
    assert shown["public_seed"]


def test_a_log_alone_makes_the_same_page(folder: Path, tmp_path: Path) -> None:
    words = ["report", str(folder / "log.json"), "--input", str(folder / "clip.mp4")]
    out = tmp_path / "again.html"
    assert main([*words, "--model", str(folder / "model"), "--out", str(out)]) == 0
    assert content_of(out)["inputs"] == content_of(folder / "clip.html")["inputs"]
    assert main(["report", str(folder / "log.json"), "--out", str(out)]) == 0  # the default model is another one
    assert content_of(out)["model"] == {"facts": [], "card": None}
    assert not content_of(out)["direction_known"]


def test_other_frames_are_refused(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = write_clip(tmp_path / "other.mp4", frames=8, options={"crf": "45"})
    words = ["report", str(folder / "log.json"), "--input", str(other), "--out", str(tmp_path / "page.html")]
    assert main([*words, "--model", str(folder / "model")]) == 2
    assert "is not the frame that was certified" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_what_is_no_log_is_one_line(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = json.loads((folder / "log.json").read_text())
    del log["inputs"][0]["pooled_metrics"]
    (tmp_path / "cut.json").write_text(json.dumps(log))
    assert main(["report", str(tmp_path / "cut.json"), "--out", str(tmp_path / "page.html")]) == 2
    assert "lacks what a page shows" in capsys.readouterr().err
    assert main(["report", str(folder / "log.json")]) == 2
    assert main(["report", str(folder / "log.json"), "--plot", "figure.bmp"]) == 2


def test_hostile_names_stay_data(log: dict[str, Any]) -> None:
    name = "</script><script>alert(1)</script><!--{{script}}\u2028\udcff"
    log["inputs"][0]["path"] = name
    made = page(content(log))
    assert made.count("<script") == 3
    assert made.count("</script>") == 3
    assert "alert(1)" not in re.sub(r'id="content">.*?</script>', "", re.sub(r"<title>.*?</title>", "", made))
    found = re.search(r'id="content">(.*?)</script>', made, re.DOTALL)
    assert found is not None
    assert json.loads(found[1])["inputs"][0]["path"] == name
    assert "'unsafe" not in made
    script = (ROOT / "runtime" / "report" / "page.js").read_text()
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "fetch(",
        "Request",
        "https:",
    ):
        assert way not in script


def _long(log: dict[str, Any], frames: int) -> dict[str, Any]:
    long = copy.deepcopy(log)
    rng = random.Random(1)
    long["frames"] = []
    for number in range(frames):
        entry = copy.deepcopy(log["frames"][number % len(log["frames"])])
        middle = rng.uniform(20, 80)
        entry["frame"] = entry["frameNum"] = number
        entry["metrics"] = {
            "tiny": middle,
            "tiny_cert_lo": middle - rng.random(),
            "tiny_cert_hi": middle + rng.random(),
        }
        long["frames"].append(entry)
    return long


def test_a_thousand_frames_are_less_than_300_kilobytes(log: dict[str, Any]) -> None:
    assert len(page(content(_long(log, 1000))).encode()) < 300_000


def test_thumbnails_fit_their_room(tmp_path: Path) -> None:
    for files in (1, 2, 7, 100, 1000):
        each, room = thumbnail_share(files)
        assert files * each * room <= ROOM < 1_700_000
    noise = np.random.default_rng(1).integers(0, 65536, (150, 200, 3), np.uint16)
    Image.fromarray((noise >> 8).astype(np.uint8)).save(tmp_path / "noise.png")
    from runtime.noise.keys import frame_sha256

    frames = FileFrames(tmp_path / "noise.png")
    sha256 = frame_sha256(next(iter(frames)))  # type: ignore[arg-type]
    for room in (60_000, 5_000, 1_300):
        (made,) = take_thumbnails(frames, {0: sha256}, room)
        assert len(made.uri) <= room
    assert take_thumbnails(frames, {0: sha256}, 100) == []
    with pytest.raises(RecordError, match="not the frame that was certified"):
        take_thumbnails(frames, {0: "0" * 64}, 60_000)


def test_the_worst_come_first() -> None:
    scores = [(0, 5.0, "a"), (1, 3.0, "b"), (2, 3.0, "c"), (3, 9.0, "d")]
    assert list(worst(scores, 2, higher_is_better=True)) == [1, 2]
    assert list(worst(scores, 2, higher_is_better=False)) == [3, 0]


def test_plots_are_the_same_every_time(log: dict[str, Any]) -> None:
    pytest.importorskip("matplotlib")
    log["inputs"][0]["path"] = "_$x^{$.mp4"
    made = plot(log, "svg")
    assert made == plot(log, "svg")
    assert b"tiny score, certified" in made
    assert plot(log, "png").startswith(b"\x89PNG")
    assert plot(log, "pdf").startswith(b"%PDF")


def test_a_still_has_a_page_and_a_gate_too(tmp_path: Path) -> None:
    tiny_bundle(tmp_path / "model")
    Image.fromarray(photograph()[:64, :96]).save(tmp_path / "still.png")
    words = [str(tmp_path / "still.png"), "--model", str(tmp_path / "model"), "--quiet"]
    out = tmp_path / "gate.html"
    main(["gate", *words, "--at-least", "1", "--report", str(out)])
    assert content_of(out)["inputs"][0]["decision"]["decision"] == "pass"
    assert main(["certify", *words, "--report", str(out), "--no-thumbnails"]) == 0
    assert content_of(out)["inputs"][0]["thumbnails"] == []
