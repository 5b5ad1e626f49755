"""``make gpu-check WHEELS=FOLDER``: what is missing is said before anything starts."""

from __future__ import annotations

import runpy
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OFFLINE = ROOT / ".ci" / "offline"


def wheel(folder: Path, name: str, version: str, *needs: str, tag: str = "py3-none-any") -> Path:
    """A wheel of nothing but its metadata."""
    path = folder / f"{name}-{version}-{tag}.whl"
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {n}" for n in needs)]
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}-{version}.dist-info/METADATA", "\n".join(lines) + "\n")
    return path


def resolve(folder: Path, *requirements: str) -> tuple[list[str], list[str]]:
    names = runpy.run_path(str(OFFLINE))
    files, missing = names["resolve"]([names["Requirement"](one) for one in requirements], folder)
    return [file.name for file in files], missing


def test_what_this_python_has_is_not_looked_for(tmp_path: Path) -> None:
    assert resolve(tmp_path, "numpy>=2.0") == ([], [])
    assert resolve(tmp_path, "numpy>=2.0", "numpy>=999") == ([], ["numpy>=999"])


def test_wheels_and_what_they_need(tmp_path: Path) -> None:
    wheel(tmp_path, "alpha_one", "1.0", "beta-two>=2", "gamma; extra == 'more'", "delta; sys_platform == 'nowhere'")
    wheel(tmp_path, "beta_two", "1.5")
    wheel(tmp_path, "beta_two", "2.1")
    wheel(tmp_path, "beta_two", "2.2", tag="cp27-cp27m-win32")
    (tmp_path / "notes.txt").touch()
    assert resolve(tmp_path, "alpha-one") == (["alpha_one-1.0-py3-none-any.whl", "beta_two-2.1-py3-none-any.whl"], [])
    assert resolve(tmp_path, "alpha-one[more]")[1] == ["gamma"]
    assert resolve(tmp_path, "alpha-one>=2", "beta-two") == (["beta_two-2.1-py3-none-any.whl"], ["alpha-one>=2"])


def test_an_sdist_does_where_there_is_no_wheel(tmp_path: Path) -> None:
    (tmp_path / "pycuda_like-2026.1.tar.gz").touch()
    assert resolve(tmp_path, "pycuda-like>=2025") == (["pycuda_like-2026.1.tar.gz"], [])


def test_an_empty_folder_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(OFFLINE), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: neither {tmp_path} nor this Python has ")
    assert done.stderr.endswith("; nothing was installed\n")
    assert done.stderr.count("\n") == 1
    assert "onnxruntime-gpu>=1.22" in done.stderr


@pytest.mark.parametrize("arguments", [[], ["no-such-folder"]])
def test_usage(arguments: list[str], tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, str(OFFLINE), *arguments], capture_output=True, cwd=tmp_path, check=False)
    assert done.returncode == 2
