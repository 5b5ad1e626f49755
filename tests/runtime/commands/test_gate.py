"""``gate``, ``compare`` and ``certify --tolerance`` as a user meets them: answers, exit statuses, logs, replay."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime.__main__ import main
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tiny_bundle

SEED = ("--public-seed", "7")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, two pictures, the second brighter, and two clips, the second darker."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model", samples=301)
    picture = photograph()[:64, :96]
    Image.fromarray(picture).save("picture.png")
    Image.fromarray(np.minimum(picture, 245) + np.uint8(10)).save("brighter.png")
    write_clip(tmp_path / "clip.mp4", frames=4)
    write_clip(tmp_path / "other.mp4", frames=3)
    return tmp_path


def run(command: str, *arguments: str) -> int:
    return main([command, *arguments, "--model", "model", *SEED])


def replay(*inputs: str) -> int:
    return main(["replay", "log.json", *inputs, "--model", "model"])


def log() -> dict[str, Any]:
    made: dict[str, Any] = json.loads(Path("log.json").read_text())
    return made


def score(name: str) -> float:
    assert main(["certify", name, "--model", "model", *SEED, "--json", "log.json", "--quiet"]) == 0
    mean: float = log()["pooled_metrics"]["tiny"]["mean"]
    return mean


@pytest.mark.parametrize("name", ["picture.png", "clip.mp4"])
def test_gate(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Pass 0, fail 1, undecided 3; a clear case stops early, an undecided one draws all."""
    centre = score(name)
    frames = 4 if name == "clip.mp4" else 1
    for threshold, decision, status in ((centre - 3, "pass", 0), (centre + 3, "fail", 1), (centre, "undecided", 3)):
        capsys.readouterr()
        assert run("gate", name, "--at-least", str(threshold), "--json", "log.json") == status
        out, err = capsys.readouterr()
        assert out.startswith(f"{name}: {decision}  ")
        assert err == f"tiny at least {threshold:g}: 1 {decision}\n"
        made = log()["inputs"][0]["decision"]
        assert made["decision"] == decision
        assert (made["at_least"], made["frames"], made["samples"]) == (threshold, frames, 301 * frames)
        assert made["drawn"] == 301 * frames if decision == "undecided" else made["drawn"] < 60 * frames
        assert {entry["certificate"]["drawn"] for entry in log()["frames"]} == {made["drawn"] // frames}
        assert made["drawn"] == int(re.search(r"(\d+) of \d+ samples", out).group(1))  # type: ignore[union-attr]
        assert made["lower"] <= made["score"] <= made["upper"]
        pooled = log()["inputs"][0]["pooled_metrics"]
        assert made["lower"] == pooled["tiny_cert_lo"]["mean"]


def test_gate_of_several_files(capsys: pytest.CaptureFixture[str]) -> None:
    """One failure is a failure; without one, one undecided is undecided."""
    low, high = score("picture.png"), score("brighter.png")
    between = str((low + high) / 2)
    assert run("gate", "brighter.png", "picture.png", "--at-least", between) == 1
    assert capsys.readouterr().err.endswith(": 1 pass, 1 fail; α=0.002 for all 2 files together\n")
    assert run("gate", "brighter.png", "picture.png", "--at-least", str(low)) == 3
    assert run("gate", "brighter.png", "picture.png", "--at-least", str(low - 3)) == 0


@pytest.mark.parametrize(("threshold", "status"), [(-5.0, 4), (5.0, 1)])
def test_a_file_that_cannot_be_read_is_named(threshold: float, status: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The others are decided; where one fails that is the answer, else the status says that one is missing."""
    centre = score("picture.png")
    Path("cut.png").write_bytes(Path("picture.png").read_bytes()[:-200])
    capsys.readouterr()
    assert run("gate", "cut.png", "picture.png", "--at-least", str(centre + threshold), "--json", "log.json") == status
    printed = capsys.readouterr()
    assert "error: cut.png" in printed.err
    assert "1 cannot be read" in printed.err
    assert [entry["path"] for entry in log()["failed"]] == ["cut.png"]
    assert len(log()["frames"]) == 1
    assert run("gate", "cut.png", "cut.png", "--at-least", "1") == 2


def test_gate_on_the_worst_frame() -> None:
    """Mean and least frame of the clip differ: a threshold between the two."""
    score("clip.mp4")
    pooled = log()["pooled_metrics"]["tiny"]
    assert pooled["mean"] - pooled["min"] > 1
    between = str((pooled["mean"] + pooled["min"]) / 2)
    assert run("gate", "clip.mp4", "--at-least", between, "--samples", "1001") == 0
    assert run("gate", "clip.mp4", "--at-least", between, "--samples", "1001", "--pool", "min") == 1


def test_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("compare", "brighter.png", "picture.png", "--json", "log.json") == 0
    assert "brighter.png scores higher" in capsys.readouterr().err
    made = log()
    assert made["decision"]["decision"] == "a"
    assert made["joint_alpha"] == 0.001
    assert [entry["joint_alpha"] for entry in made["inputs"]] == [0.0005, 0.0005]
    assert made["decision"]["a"]["lower"] > made["decision"]["b"]["upper"]
    assert run("compare", "picture.png", "brighter.png") == 1
    assert run("compare", "picture.png", "picture.png") == 3
    capsys.readouterr()
    assert run("compare", "clip.mp4", "other.mp4", "--subsample", "3", "--samples", "60") in (0, 1, 3)
    assert "mean of 2 frames" in capsys.readouterr().out


def test_tolerance(capsys: pytest.CaptureFixture[str]) -> None:
    """Each frame of a clip stops for itself, at its share of alpha."""
    assert run("certify", "clip.mp4", "--tolerance", "4", "--json", "log.json") == 0
    assert re.search(r"n=\d+(\.\d+)? of 301, smoothed", capsys.readouterr().out)
    shared = log()["inputs"][0]["certificate"]
    assert shared["alpha"] == 0.001 / 4
    assert shared["stopping"]["rule"] == {"kind": "tolerance", "tolerance": 4.0}
    for frame in log()["frames"]:
        certificate = frame["certificate"]
        assert certificate["upper"] - certificate["lower"] <= 4
        assert certificate["drawn"] in shared["stopping"]["looks"]
        assert certificate["drawn"] < 301


@pytest.mark.parametrize(
    ("command", "inputs", "options"),
    [
        ("certify", ["clip.mp4", "picture.png"], ["--tolerance", "3", "--scope", "reported"]),
        ("gate", ["clip.mp4", "picture.png"], ["--at-least", "40", "--pool", "harmonic_mean", "--subsample", "2"]),
        ("compare", ["brighter.png", "clip.mp4"], ["--pool", "min", "--alpha", "0.01"]),
    ],
)
def test_replay(command: str, inputs: list[str], options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """The same bits again, the same stops and decisions; an altered decision or stop is seen."""
    run(command, *inputs, *options, "--json", "log.json", "--quiet")
    assert replay(*inputs) == 0
    made = log()
    count = len(made["frames"])
    assert f"{count} of {count} certificates identical" in capsys.readouterr().err
    made["frames"][0]["certificate"]["drawn"] += 8
    Path("log.json").write_text(json.dumps(made))
    assert replay(*inputs) == 1
    assert "certificate.drawn" in capsys.readouterr().out
    made["frames"][0]["certificate"]["drawn"] -= 8
    if command != "certify":
        decided = made["decision"] if command == "compare" else made["inputs"][0]["decision"]
        decided["decision"] = "undecided"
        Path("log.json").write_text(json.dumps(made))
        assert replay(*inputs) == 1
        assert "decision.decision" in capsys.readouterr().out


def test_replay_refuses_another_frame(capsys: pytest.CaptureFixture[str]) -> None:
    run("compare", "brighter.png", "picture.png", "--json", "log.json", "--quiet")
    for inputs, message in (
        (["picture.png", "brighter.png"], "pixels differ"),
        (["brighter.png", "clip.mp4"], "holds 1 frames"),
        (["brighter.png"], "2 files, 1"),
    ):
        capsys.readouterr()
        assert replay(*inputs) == 2
        assert message in capsys.readouterr().err
    made = log()
    del made["decision"]["alpha"]
    Path("log.json").write_text(json.dumps(made))
    assert replay("brighter.png", "picture.png") == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gate", "nothing.png", "--at-least", "5"], "no such file"),
        (["gate", "picture.png", "--at-least", "nan"], "at_least"),
        (["gate", "picture.png", "--at-least", "5", "--epsilon", "1"], "cannot bound"),
        (["gate", "clip.mp4", "--at-least", "5", "--samples", "20"], "shared by 4 frames"),
        (["gate", "picture.png", "--at-least", "5", "--json", "nowhere/log.json"], "folder does not exist"),
        (["compare", "picture.png", "nothing.png"], "no such file"),
        (["compare", "picture.png", "brighter.png", "--samples", "19"], "cannot bound"),
        (["certify", "picture.png", "--tolerance", "-1"], "tolerance"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.parametrize("command", ["gate", "compare"])
def test_help_has_examples_and_exit_statuses(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    out = capsys.readouterr().out
    assert f"biqa {command}" in out.split("examples")[1]
    assert "exit status: 0" in out
