"""``biqa build`` and its neighbours: the same bundle from another process, inspect, verify, and errors in one line."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import export
from export.__main__ import main
from runtime.bundle.manifest import MODEL
from runtime.bundle.store import Bundle
from runtime.errors import ExportError

SUPPORT = Path(__file__).parents[1] / "support"
Built = tuple[Bundle, list[str]]


def test_another_process_builds_the_same_bytes(outsider: Built, weights: dict[str, Path], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "export", "build", "--metric", f"{SUPPORT / 'outsider.py'}:Sharpness"]
    command += ["--metric-weights", str(weights["metric"]), "--metric-licence", "MIT"]
    command += ["--denoiser", f"{SUPPORT / 'outsider.py'}:smoother", "--denoiser-weights", str(weights["denoiser"])]
    command += ["--score-range", "0", "1", "--name", "sharpness", "--out", str(tmp_path / "again")]
    environment = {**os.environ, "PYTHONHASHSEED": "123"}
    root = SUPPORT.parents[1]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(tmp_path / "again")
    assert done.stderr.splitlines()[-1] == f"wrote {tmp_path / 'again'}"
    for name in (MODEL, "manifest.json"):
        assert (tmp_path / "again" / name).read_bytes() == (outsider[0].path / name).read_bytes()


def test_inspect(outsider: Built, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(outsider[0].path)]) == 0
    text = capsys.readouterr().out
    assert "any size from 9×9" in text
    assert "licence MIT" in text
    assert main(["inspect", "--json", str(outsider[0].path)]) == 0
    tree = json.loads(capsys.readouterr().out)
    assert tree["digest"] == outsider[0].digest
    assert tree["graph"]["nodes"] == sum(tree["graph"]["operators"].values())
    assert tree["manifest"]["name"] == "sharpness"


def test_verify_with_the_parts(outsider: Built, weights: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    command = ["verify", str(outsider[0].path), "--metric", f"{SUPPORT / 'outsider.py'}:Sharpness"]
    command += ["--metric-weights", str(weights["metric_pt"]), "--denoiser", f"{SUPPORT / 'outsider.py'}:smoother"]
    command += ["--denoiser-weights", str(weights["denoiser"])]
    assert main(command) == 2  # the same weights, but not the file the manifest names
    assert "built from weights" in capsys.readouterr().err
    command[5] = str(weights["metric"])
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "parity: score" in out
    assert out.rstrip().endswith("verified")


def test_verify_never_imports_what_a_manifest_names(outsider: Built, capsys: pytest.CaptureFixture[str]) -> None:
    assert export.verify(outsider[0]) is None
    assert main(["verify", str(outsider[0].path)]) == 0
    assert "parity: not measured" in capsys.readouterr().out


def test_altered_bundle_fails(outsider: Built, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(outsider[0].path, copy)
    data = bytearray((copy / MODEL).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / MODEL).write_bytes(data)
    for command in ("verify", "inspect"):
        assert main([command, str(copy)]) == 2
        assert "is not the file the manifest names" in capsys.readouterr().err


def test_verify_with_another_denoiser(outsider: Built, weights: dict[str, Path]) -> None:
    with pytest.raises(ExportError, match="built with a denoiser"):
        export.verify(
            outsider[0],
            metric=f"{SUPPORT / 'outsider.py'}:Sharpness",
            metric_weights=weights["metric"],
            denoiser="none",
        )


def test_int8_is_not_for_engines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["build", "--int8", "--target", "tensorrt", "--precision", "int8", "--out", str(tmp_path / "b")])
    assert "invalid choice: 'int8'" in capsys.readouterr().err
    assert main(["build", "--keep-fp32", "Conv_15", "--out", str(tmp_path / "b")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: --keep-fp32 is for --fp16 and --int8: give one of them")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_errors_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["build", "--quiet", "--metric", f"{SUPPORT / 'faulty.py'}:Tuple", "--denoiser", "none"]
    assert main([*command, "--out", str(tmp_path / "b")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: the metric returned a tuple")
    assert said.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_public_names() -> None:
    assert export.__all__ == sorted(export.__all__, key=str.lower)
    assert all(hasattr(export, name) for name in export.__all__)


def test_a_defect_is_no_verdict(
    outsider: Built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its traceback and one line, exit status 2: 1 would be a verdict of ``biqa gate``."""
    monkeypatch.setattr(sys.modules["export.describe"], "table", lambda _: {}["defect"])
    assert main(["inspect", str(outsider[0].path)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("Traceback")
    assert err.splitlines()[-1] == "error: KeyError, a defect of this program: report it with the lines above"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["build", "--sigma", "x"],
            "error: argument --sigma: 'x' is not a number; python -m export build ",
        ),
        (["build", "--size", "9"], "error: argument --size: '9' is not HEIGHTxWIDTH, such as 384x512; "),
        (["compile", "b"], "error: the following arguments are required: --target; "),
    ],
)
def test_a_wrong_word_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert err.startswith(said)
    assert err.count("\n") == 1
