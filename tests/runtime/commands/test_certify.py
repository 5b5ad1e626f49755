"""The command line as a user meets it: outputs, exit statuses, one clear line for every mistake."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from runtime.__main__ import main
from tests.support.clips import photograph, write_clip, write_sound
from tests.support.tiny import tiny_bundle


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a model, a secret, a picture and a clip."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    (tmp_path / "secret").write_bytes(bytes(range(32)))
    Image.fromarray(photograph()[:64, :96]).save("picture.png")
    write_clip(tmp_path / "clip.mp4", frames=6)
    return tmp_path


def certify(*arguments: str) -> int:
    return main(["certify", "--model", "model", *arguments])


def log(name: str = "log.json") -> dict[str, Any]:
    made: dict[str, Any] = json.loads(Path(name).read_text())
    return made


def test_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert certify("picture.png") == 0
    out, err = capsys.readouterr()
    assert re.fullmatch(r"picture.png: \d+\.\d{4} \[\d+\.\d+, \d+\.\d+\]  \(ε=0.1, α=0.001, n=101, smoothed\)\n", out)
    assert re.fullmatch(r"tiny score: \d+\.\d{6} \[\d+\.\d+, \d+\.\d+\]\n", err)


def test_json_is_a_libvmaf_log() -> None:
    assert certify("clip.mp4", "--json", "log.json", "--quiet") == 0
    made = log()
    assert set(made) >= {"version", "fps", "frames", "pooled_metrics", "aggregate_metrics"}
    assert [f["frameNum"] for f in made["frames"]] == list(range(6))
    for frame in made["frames"]:
        metrics = frame["metrics"]
        assert set(metrics) == {"tiny", "tiny_cert_lo", "tiny_cert_hi"}
        assert metrics["tiny_cert_lo"] <= metrics["tiny"] <= metrics["tiny_cert_hi"]
    pooled = made["pooled_metrics"]["tiny"]
    assert set(pooled) == {"min", "max", "mean", "harmonic_mean"}
    scores = [f["metrics"]["tiny"] for f in made["frames"]]
    assert pooled["mean"] == pytest.approx(np.mean(scores))
    shared = made["inputs"][0]["certificate"]
    assert shared["alpha"] == pytest.approx(0.001 / 6)
    assert (made["inputs"][0]["alpha"], made["inputs"][0]["joint_alpha"]) == (0.001, 0.002)
    assert shared["conversion"]["assumed"] == ["matrix", "range"]
    assert "every frame" in shared["claim"]


def test_standard_output_holds_only_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert certify("picture.png", "--json", "-") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["frames"][0]["metrics"]["tiny"]
    assert err.startswith("tiny score: ")


def test_progress_in_lines_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("runtime.commands.progress.PERIOD", 0.0)
    assert certify("picture.png") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("picture.png: 64 of 101 samples, 63%, about ")
    assert lines[1].startswith("picture.png: 101 of 101 samples, 100%, about 0 s left")
    assert certify("picture.png", "--quiet") == 0
    assert capsys.readouterr().err.startswith("tiny score: ")


def test_ndjson(capsys: pytest.CaptureFixture[str]) -> None:
    assert certify("clip.mp4", "picture.png", "--ndjson") == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in lines] == [*["frame"] * 6, "input", "frame", "input"]
    assert [line["frameNum"] for line in lines if line["type"] == "frame"] == list(range(7))


def test_csv() -> None:
    assert certify("clip.mp4", "--csv", "log.csv", "--json", "log.json", "--quiet") == 0
    with open("log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["tiny"]) for row in rows] == [f["metrics"]["tiny"] for f in log()["frames"]]
    assert list(rows[0]) == ["Frame", "tiny", "tiny_cert_lo", "tiny_cert_hi", "abstained", "input", "error"]


def test_subsample_numbers_frames_as_libvmaf_does() -> None:
    assert certify("clip.mp4", "picture.png", "--subsample", "5", "--json", "log.json", "--quiet") == 0
    assert [f["frame"] for f in log()["frames"]] == [0, 5, 0]
    assert [f["frameNum"] for f in log()["frames"]] == [0, 5, 10]
    assert log()["inputs"][0]["certificate"]["alpha"] == 0.0005


def test_fresh_secrets_differ_and_a_kept_one_does_not(capsys: pytest.CaptureFixture[str]) -> None:
    """Each run in a process of its own, as a user would."""

    def scores(*options: str) -> str:
        command = [
            sys.executable,
            "-m",
            "runtime",
            "certify",
            "picture.png",
            "--model",
            "model",
            "--json",
            "-",
            *options,
        ]
        root = Path(__file__).parents[3]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(root)})
        digest: str = json.loads(done.stdout)["frames"][0]["certificate"]["scores_sha256"]
        return digest

    assert scores() != scores()
    assert scores("--secret-file", "secret") == scores("--secret-file", "secret")


@pytest.mark.parametrize("noise", [["--secret-file", "secret"], ["--public-seed", "7"]])
@pytest.mark.parametrize(
    "more", [["--scope", "reported", "--alpha", "0.01"], ["--subsample", "3", "--matrix", "bt709"]]
)
def test_replay_gives_the_same_bits(noise: list[str], more: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert certify("clip.mp4", "picture.png", "--json", "log.json", *noise, *more) == 0
    secret = noise if noise[0] == "--secret-file" else []
    assert main(["replay", "log.json", "clip.mp4", "picture.png", "--model", "model", *secret]) == 0
    count = len(log()["frames"])
    assert f"{count} of {count} certificates identical" in capsys.readouterr().err


def test_replay_finds_an_altered_record(capsys: pytest.CaptureFixture[str]) -> None:
    certify("picture.png", "--json", "log.json", "--public-seed", "7")
    made = log()
    made["frames"][0]["certificate"]["upper"] += 1e-9
    Path("log.json").write_text(json.dumps(made))
    assert main(["replay", "log.json", "picture.png", "--model", "model"]) == 1
    assert "differs in certificate.upper" in capsys.readouterr().out


def test_replay_refuses_what_it_cannot_replay(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certify("picture.png", "--json", "log.json", "--secret-file", "secret")
    (folder / "other").write_bytes(bytes(32))
    Image.fromarray(photograph()[1:65, :96]).save("other.png")
    tiny_bundle(folder / "nan", extra="nan")
    Path("text.json").write_text("{}")
    secret = ["--secret-file", "secret"]
    for arguments, message in (
        (["log.json", "picture.png", "--model", "model"], "--secret-file"),
        (["log.json", "picture.png", "--model", "model", "--secret-file", "other"], "commits to"),
        (["log.json", "other.png", "--model", "model", *secret], "pixels differ"),
        (["log.json", "picture.png", "--model", "nan", *secret], "made with model"),
        (["log.json", "picture.png", "other.png", "--model", "model", *secret], "1 files, 2"),
        (["log.json", "clip.mp4", "--model", "model", *secret], "1 frames"),
        (["text.json", "picture.png", "--model", "model", *secret], "not a log"),
        (["none.json", "picture.png", "--model", "model", *secret], "cannot be read"),
        (["/dev/zero", "picture.png", "--model", "model", *secret], "not a regular file"),
    ):
        capsys.readouterr()
        assert main(["replay", *arguments]) == 2
        assert message in capsys.readouterr().err


def _damaged(name: str) -> None:
    """Make the bad input that the table below names."""
    path = Path(name)
    if name == "cut.mp4":
        path.write_bytes(Path("clip.mp4").read_bytes()[:1500])
    elif name == "sound.m4a":
        write_sound(path)
    elif name == "hdr.mp4":
        write_clip(path, pix_fmt="yuv420p10le", tags={"color_trc": 16, "colorspace": 9})
    elif name == "empty.png":
        path.touch()
    elif name == "link":  # as /dev/stdout is one, which the test must not name: a root that failed it would replace it
        path.symlink_to("picture.png")
    elif name == "fifo":
        os.mkfifo(path)
    elif name == "text.png":
        path.write_text("hello")
    elif name == "grey.png":
        Image.fromarray(photograph()[:64, :64, 0]).save(path)
    elif name == "rgba.png":
        seen = Image.fromarray(photograph()[:64, :64])
        seen.putalpha(100)
        seen.save(path)
    elif name == "small.png":
        Image.fromarray(photograph()[:15, :64]).save(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.png"], "no such file"),
        (["model"], "no still and no video is in this folder"),
        (["*.bmp"], "nothing matches *.bmp"),
        ([], "there is no file to read"),
        (["--files-from", "nothing.txt"], "the list nothing.txt cannot be read"),
        (["picture.png", "--resume"], "give the --journal or the --out-dir"),
        (["picture.png", "--journal", "-"], "take the name of a file"),
        (["picture.png", "--out-dir", "nowhere/out"], "cannot be made"),
        (["empty.png"], "empty"),
        (["text.png"], "not a picture or a video"),
        (["cut.mp4"], "is not a picture or a video, or is damaged"),
        (["sound.m4a"], "audio only"),
        (["hdr.mp4"], "tone-map"),
        (["rgba.png"], "--background white"),
        (["small.png"], "at least 16×16"),
        (["picture.png", "--epsilon", "0.5"], "n=101 cannot bound ε/σ=2.083"),
        (["picture.png", "--epsilon", "-1"], "epsilon"),
        (["picture.png", "--alpha", "2"], "alpha"),
        (["picture.png", "--samples", "0"], "samples"),
        (["clip.mp4", "--subsample", "0"], "subsample"),
        (["picture.png", "--device", "cuda"], "cuda"),
        (["picture.png", "--device", "tpu"], "tpu"),
        (["picture.png", "--threads", "0"], "threads"),
        (["picture.png", "--secret-file", "nothing"], "cannot be read"),
        (["picture.png", "--secret-file", "empty.png"], "16 random bytes"),
        (["picture.png", "--csv", "nowhere/log.csv"], "folder does not exist"),
        (["picture.png", "--csv", "log.json"], "same place"),
        (["picture.png", "--csv", "./log.json"], "same place"),
        (["picture.png", "--csv", "model"], "is a directory"),
        (["picture.png", "--csv", ""], "is a directory"),
        (["picture.png", "--csv", "link"], "a link or not a regular file"),
        (["picture.png", "--csv", "fifo"], 'or "-" for standard output'),
        (["picture.png", "--samples", "1" + "0" * 30], "at most"),
        (["picture.png", "--secret-file", "/dev/urandom"], "not a regular file"),
        (["picture.png", "--model", "nowhere"], "no bundle at nowhere"),
        (["picture.png", "--model", "nan"], "NaN"),
        (["picture.png", "--model", "altered"], "altered"),
        (["empty.png"], "is empty"),
    ],
)
def test_bad_input(folder: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("empty.png", *arguments):
        _damaged(name)
    tiny_bundle(folder / "nan", extra="nan")
    tiny_bundle(folder / "altered")
    (folder / "altered" / "model.onnx").write_bytes(b"x")
    before = sorted(p.name for p in folder.iterdir())
    assert certify(*arguments, "--json", "log.json") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert sorted(p.name for p in folder.iterdir()) == before


def test_a_file_that_fails_is_told_and_the_others_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    _damaged("empty.png")
    _damaged("grey.png")
    assert certify("picture.png", "empty.png", "grey.png", "--json", "log.json", "--quiet", "--public-seed", "7") == 4
    assert "error: empty.png is empty" in capsys.readouterr().err
    made = log()
    assert [entry["path"] for entry in made["inputs"]] == ["picture.png", "grey.png"]
    assert made["failed"] == [{"path": "empty.png", "error": "empty.png is empty"}]
    assert main(["replay", "log.json", "picture.png", "grey.png", "--model", "model"]) == 0
    assert certify("empty.png", "empty.png", "--json", "other.json") == 2
    assert not Path("other.json").exists()


def test_a_picture_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path("picture.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert certify("-", "--json", "log.json", "--quiet") == 0
    piped = log()["frames"][0]["certificate"]["frame_sha256"]
    assert certify("picture.png", "--json", "log.json", "--quiet") == 0
    assert log()["frames"][0]["certificate"]["frame_sha256"] == piped


def test_alpha_shared_by_frames_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert certify("clip.mp4", "--samples", "25", "--epsilon", "0.13") == 2
    assert "shared by 6 frames" in capsys.readouterr().err


def test_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--model", "model", "--epsilon", "0.24", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["shift"] == 1.0
    assert made["least_samples"] == 44
    assert (made["lower_rank"], made["upper_rank"]) == (5, 97)
    assert main(["plan", "--model", "model", "--epsilon", "0.48"]) == 0
    assert "use n ≥ 331" in capsys.readouterr().out


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
def test_plan_says_who_spends_alpha(scope: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", "--model", "model", "--alpha", "0.001", "--frames", "4", "--scope", scope]
    assert main([*words, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert sum(made["shares"].values()) == pytest.approx(made["alpha"], rel=1e-15) == 0.00025
    assert len(made["shares"]) == (2 if scope == "smoothed" else 4)
    assert main(words) == 0
    rows = dict(line.rsplit(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line.startswith("  "))
    rows = {name.strip(): float(value) for name, value in rows.items()}
    together, frames = rows.pop("together"), rows.pop("in 4 frames")
    assert rows == made["shares"]
    assert (together, frames) == (0.00025, 0.001)


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["doctor", "--json"])
    made = json.loads(capsys.readouterr().out)
    assert status == (0 if made["devices"]["cpu"]["ready"] and made["model"]["ready"] else 1)
    assert made["packages"]["numpy"]["version"] == np.__version__
    assert made["devices"]["cuda"]["ready"] is False
    assert set(made["gpu"]) == {"driver", "tensorrt", "tensorrt_rtx", "pycuda", "nvrtc", "kernels", "engines"}
    assert all(part["found"] or part["install"] for part in made["gpu"].values())
    assert (made["noise"]["path"] == "compiled") is (made["noise"]["install"] is None)
    main(["doctor", "--all"])
    text = capsys.readouterr().out
    assert "device cpu" in text
    assert "nvrtc" in text
    assert "onnxscript" in text


def test_doctor_is_short_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    """What a CPU takes, and one line of the GPU."""
    main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line][1:6] == ["numpy", "scipy", "onnxruntime", "av", "pillow"]
    assert [line for line in lines if "cuda" in line] == [lines[-1]]
    assert not any("nvrtc" in line or "torch" in line for line in lines)


@pytest.mark.parametrize("options", [[], ["--all"]])
def test_doctor_says_once_that_the_model_is_missing(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--model", "nope", *options]) == 1
    out = capsys.readouterr().out
    assert out.count("no bundle at nope") == 1
    assert "device cuda    not examined: it takes a model" in out


@pytest.mark.parametrize("command", ["certify", "plan", "replay", "doctor"])
def test_help_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    assert f"biqa {command}" in capsys.readouterr().out.split("example")[1]


def test_printed_bounds_are_rounded_outwards(capsys: pytest.CaptureFixture[str]) -> None:
    assert certify("picture.png", "clip.mp4", "--json", "log.json") == 0
    out, err = capsys.readouterr()
    rows = [log()["pooled_metrics"], *(one["pooled_metrics"] for one in log()["inputs"])]
    lines = [err, *out.splitlines()]
    for line, row in zip(lines, (rows[0], rows[1], rows[2]), strict=False):
        low, high = map(float, re.search(r"\[([\d.]+), ([\d.]+)\]", line).groups())  # type: ignore[union-attr]
        assert row["tiny_cert_lo"]["mean"] - 1e-4 < low <= row["tiny_cert_lo"]["mean"]
        assert row["tiny_cert_hi"]["mean"] <= high < row["tiny_cert_hi"]["mean"] + 1e-4


def test_several_files_state_the_error_of_all_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert certify("picture.png", "clip.mp4", "--json", "log.json") == 0
    assert log()["joint_alpha"] == pytest.approx(0.003)
    assert [one["alpha"] for one in log()["inputs"]] == [0.001, 0.001]
    assert [one["joint_alpha"] for one in log()["inputs"]] == [0.001, 0.002]
    assert capsys.readouterr().out.splitlines()[-1].startswith("all 2 files: ")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (OSError(28, "No space left on device"), "error: No space left on device\n"),
        (PermissionError(13, "Permission denied", "x"), "error: x: Permission denied\n"),
        (MemoryError(), "error: not enough memory: "),
        (OverflowError("too large"), "error: a number is too large (too large): "),
        (struct.error("argument out of range"), "error: a number is too large (argument "),
        (BrokenPipeError(32, "Broken pipe"), ""),
    ],
)
def test_no_failure_looks_like_a_verdict(
    failure: Exception, message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr("runtime.commands.plan.open_bundle", fail)
    assert main(["plan"]) == 2
    err = capsys.readouterr().err
    assert err.startswith(message)
    assert err.count("\n") == (1 if message else 0)


def test_a_defect_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("runtime.commands.plan.open_bundle", lambda _: {}["defect"])
    assert main(["plan"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert "KeyError: 'defect'" in err
    assert err.splitlines()[-1].startswith("error: KeyError, a defect")


def test_plan_with_too_many_samples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--model", "model", "--samples", "1" + "0" * 30]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="needs /dev/full")
def test_output_that_takes_no_more() -> None:
    """In a process of its own: nothing may be told again as the interpreter ends."""
    command = [sys.executable, "-m", "runtime", "plan", "--model", "model", "--json"]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3])}
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as gone:
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True, env=environment)
    assert (done.returncode, done.stderr) == (2, "")


def test_folder_that_is_not_writable(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert certify("picture.png", "--json", "log.json") == 2
    assert "not writable" in capsys.readouterr().err


def test_a_write_that_fails_is_told_in_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(p.name for p in folder.iterdir())
    monkeypatch.setattr(os, "replace", full)
    assert certify("picture.png", "--json", "log.json") == 2
    assert (
        capsys.readouterr().err == "error: log.json cannot be written: No space left on device: choose another place\n"
    )
    assert sorted(p.name for p in folder.iterdir()) == before


def test_doctor_finds_a_damaged_model(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("runtime.bundle.store.DEFAULT_BUNDLE", Path("nowhere"))
    assert main(["doctor"]) == 1
    assert "no bundle at nowhere" in capsys.readouterr().out


def test_doctor_finds_a_broken_onnxruntime(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "onnxruntime.py").write_text("raise OSError('libonnxruntime.so:\\n cannot open')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "onnxruntime")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "cannot be loaded (OSError: libonnxruntime.so: cannot open)" in out


def test_doctor_advises_no_empty_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("runtime.commands.doctor.find_spec", lambda _: None)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "pip install scipy" in out
    assert "[]" not in out


def test_an_output_replaces_no_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(photograph()[:40, :60]).save("a.png")
    (tmp_path / "secret").write_bytes(bytes(32))
    tiny_bundle(tmp_path / "model")
    before = [(tmp_path / name).read_bytes() for name in ("a.png", "secret")]
    for words in (
        ["certify", "a.png", "--json", "./a.png"],
        ["certify", "a.png", "--csv", "secret", "--secret-file", "secret"],
        ["gate", "a.png", "--at-least", "1", "--json", "a.png"],
        ["compare", "a.png", "a.png", "--json", "a.png"],
        ["certify", "a.png", "--model", "model", "--json", "model/model.onnx"],
    ):
        assert main(words) == 2
        assert "is an input, which the output would replace" in capsys.readouterr().err
    assert [(tmp_path / name).read_bytes() for name in ("a.png", "secret")] == before
