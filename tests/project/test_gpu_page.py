"""docs/gpu.md: every command is one that exists, and those that need no GPU do what the page says."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from runtime.bundle.store import DEFAULT_BUNDLE, open_bundle
from runtime.commands import certify
from runtime.errors import DeviceError
from runtime.samplers.gpu.nvidia import find_gpus

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gpu.md").read_text()
BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [line.split("#")[0].strip() for block in BLOCKS for line in block.splitlines()]
EXPORT = ("build", "compile", "inspect", "verify")
Shell = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Runs a ``biqa`` command of the page with this Python, in an empty folder."""

    def run(command: str) -> subprocess.CompletedProcess[str]:
        biqa, *words = shlex.split(command)
        assert biqa == "biqa"
        words = ["-m", "export" if words[0] in EXPORT else "runtime", *words]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )

    return run


@pytest.fixture
def no_gpu() -> None:
    try:
        gpus = find_gpus()
    except DeviceError:
        return
    if gpus:
        pytest.skip("a GPU is here: `make gpu-check` runs these for good")


def test_there_are_commands() -> None:
    assert len(COMMANDS) == 9
    assert COMMANDS[4] == "biqa certify photo.png --model fast --device cuda"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_exists(command: str) -> None:
    words = shlex.split(command)
    if words[0] == "biqa" and words[1] in EXPORT:
        pytest.importorskip("torch")
        pytest.importorskip("onnxscript")
        from export.__main__ import _parser
        from export.engines.options import requests_of

        options = _parser().parse_args(words[1:])
        assert options.command == "inspect" or requests_of(options)
    elif words[0] == "biqa":
        parser = argparse.ArgumentParser()
        certify.add(parser.add_subparsers())
        assert parser.parse_args(words[1:]).device == "cuda"
    elif words[0] == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
        assert set(words[2].removeprefix(".[").removesuffix("]").split(",")) <= set(extras)
    elif words[0] == ".ci/pycuda":
        assert os.access(ROOT / words[0], os.X_OK)
        subprocess.run(["bash", "-n", str(ROOT / words[0])], check=True)
    else:
        assert command == "python3 -m venv .venv-gpu && . .venv-gpu/bin/activate"


@pytest.mark.usefixtures("no_gpu")
def test_commands_without_a_gpu(shell: Shell, tmp_path: Path) -> None:
    """Kernels get into a bundle, doctor says what is left, and certify names it in one line and runs nothing."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("cuda.bindings.nvrtc")
    shutil.copytree(DEFAULT_BUNDLE, tmp_path / "fast")
    compiled = shell("biqa compile fast --target cuda")
    assert compiled.returncode == 0, compiled.stderr
    doctor = shell("biqa doctor --all --model fast").stdout
    assert "kernels        lattice, noise, scores" in doctor
    assert "device cuda    not ready: no NVIDIA driver is here" in doctor
    certified = shell("biqa certify photo.png --model fast --device cuda")
    assert certified.returncode == 2
    assert certified.stdout == ""
    assert certified.stderr.startswith("error: device 'cuda' cannot be used, and nothing is run elsewhere instead.")
    assert certified.stderr.count("\n") == 1
    assert "no lattice kernel" not in certified.stderr


@pytest.mark.long
@pytest.mark.usefixtures("no_gpu")
def test_the_build_without_a_gpu(shell: Shell, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("tensorrt_rtx_bindings")
    built = shell("biqa build --fp16 --target tensorrt-rtx --out fast")
    assert built.returncode == 0, built.stderr
    assert re.search(r"fp16: .* parity: score [0-9.]+, interval [0-9.]+", built.stderr)
    bundle = open_bundle(tmp_path / "fast")
    assert {engine.sm for engine in bundle.manifest.engines.values()} == {"sm86", "sm89", "sm120"}
    assert {engine.precision for engine in bundle.manifest.engines.values()} == {"fp16"}
    assert "kernels/noise.ptx" in bundle.manifest.files


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
def test_gpu_check_stops_without_a_gpu() -> None:
    """At once, with one line, and nothing installed."""
    before = (ROOT / ".venv-gpu").exists()
    done = subprocess.run(
        ["make", "--no-print-directory", "gpu-check", f"PYTHON={sys.executable}"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode != 0
    said = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert said == ["error: make gpu-check takes an NVIDIA GPU and its driver, and finds none; nothing was installed"]
    assert done.stdout == ""
    assert (ROOT / ".venv-gpu").exists() == before
