"""README.md as a newcomer takes it: every line of its shell blocks is run, in order, in a checkout of its own.

What would download is stood in for: ``pip`` checks that what it is asked for exists, and ``.venv`` is this Python. In
the short form the default model is the tiny one of the tests, whose verdicts are not the README's. ``-m long`` takes
the one that ships.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime import Certifier
from tests.support.clips import photograph
from tests.support.tiny import tiny_bundle

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
LINES = [line for block in BLOCKS for line in block.replace("\\\n", " ").splitlines() if line.strip()]
VERDICTS = {"gate": (0, 1, 3), "compare": (0, 1, 3)}
"""Exit statuses of commands whose answer is the model's."""

PIP = """#!{python}
import re, sys, tomllib
from pathlib import Path

extras = tomllib.loads(Path("pyproject.toml").read_text())["project"]["optional-dependencies"]
known = re.findall(r"^([\\w-]+)==", Path("constraints.txt").read_text(), re.MULTILINE)
words = iter(sys.argv[1:])
assert next(words) == "install"
for word in words:
    if word == "-c":
        assert Path(next(words)).is_file()
    elif word == "--index-url":
        assert next(words).startswith("https://")
    elif own := re.fullmatch(r"\\.\\[([\\w,]+)\\]", word):
        assert set(own[1].split(",")) <= set(extras), word
    else:
        assert word in known, word
"""
BIQA = """#!/bin/sh
case "$1" in
  build|compile|inspect|verify|calibrate|sign) exec {python} -m export "$@" ;;
  train) exec {python} -m training "$@" ;;
  *) exec {python} -m runtime "$@" ;;
esac
"""
PYTHON = """#!/bin/sh
exec {python} "$@"
"""


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(python=sys.executable))
    path.chmod(0o755)


def _checkout(folder: Path, *, tiny: bool) -> Path:
    """Links to this one, and what stands in for installed packages. ``tiny``: the default model is the tests' own."""
    for entry in ROOT.iterdir():
        if not entry.name.startswith(".") and entry.name not in ("build", "runtime"):
            (folder / entry.name).symlink_to(entry)
    (folder / "runtime").mkdir()
    for entry in (ROOT / "runtime").iterdir():
        if not (tiny and entry.name == "models"):
            (folder / "runtime" / entry.name).symlink_to(entry)
    if tiny:
        (folder / "runtime" / "models").mkdir()
        tiny_bundle(folder / "runtime" / "models" / "default")
    _program(folder / ".programs" / "pip", PIP)
    _program(folder / ".programs" / "biqa", BIQA)
    _program(folder / ".programs" / "python", PYTHON)
    _program(folder / ".venv" / "bin" / "python", PYTHON)
    _program(folder / ".venv" / "bin" / "biqa", BIQA)
    (folder / ".venv" / "demo.stamp").touch()
    return folder


def _run(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    path = f"{folder / '.programs'}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(["bash", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)


def _all_run(folder: Path, *, verdicts: bool) -> Iterator[str]:
    for line in LINES:
        done = _run(folder, line)
        answers = re.match(r"biqa (\w+)", line)
        allowed = (0,) if verdicts or answers is None else VERDICTS.get(answers[1], (0,))
        if done.returncode not in allowed:
            yield f"{line}\n  exit status {done.returncode}: {done.stderr}"


needs = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


@needs
def test_every_line_of_the_readme_runs(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    assert len(LINES) >= 12
    assert list(_all_run(_checkout(tmp_path, tiny=True), verdicts=False)) == []
    assert (tmp_path / "build" / "demo" / "astronaut-mp4.json").is_file()
    with Certifier(tmp_path / "sharpness-bundle") as certifier:
        sharp = photograph()[:128, 128:256]
        comparison = certifier.compare(sharp, np.ascontiguousarray(sharp[np.arange(128) // 8 * 8] // 2))
        assert certifier.sampler.name == "sharpness"
    assert comparison.decision == "a"


@needs
@pytest.mark.long
def test_every_line_of_the_readme_says_what_it_says(tmp_path: Path) -> None:
    """With the model that ships: gate passes, and the frame scores higher than its blurred copy."""
    pytest.importorskip("onnxscript")
    assert list(_all_run(_checkout(tmp_path, tiny=False), verdicts=True)) == []


def test_a_line_that_fails_is_seen(tmp_path: Path) -> None:
    """The stand-ins refuse what the packages would."""
    folder = _checkout(tmp_path, tiny=True)
    for line in ("pip install '.[nothing]'", "pip install no-such-package", "biqa certify nothing.png"):
        assert _run(folder, line).returncode != 0, line
