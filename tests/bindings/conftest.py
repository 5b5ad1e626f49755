"""libbiqa and the frei0r filter, built once for this Python, and what their tests share."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECRET = bytes(range(32))


@pytest.fixture(scope="session")
def needs_make() -> None:
    for tool in ("make", "cc", "pkg-config"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")


@pytest.fixture(scope="session")
def libbiqa(tmp_path_factory: pytest.TempPathFactory, needs_make: None) -> Path:
    """A prefix with include/, lib/ and bin/biqa-example."""
    prefix = tmp_path_factory.mktemp("libbiqa")
    done = make("bindings/capi", f"PYTHON={sys.executable}", f"BUILD={prefix / 'build'}", f"PREFIX={prefix}", "install")
    if "Python.h" in done.stderr or "libpython" in done.stderr:
        pytest.skip(done.stderr.splitlines()[0])
    assert done.returncode == 0, done.stderr
    return prefix


@pytest.fixture
def host_env() -> dict[str, str]:
    """The environment of a host program: this checkout's packages, one thread, this Python first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": path}


def make(folder: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["make", "-C", str(ROOT / folder), *arguments], capture_output=True, text=True, check=False)


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page of docs/ in one language, in order."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / page).read_text(), re.DOTALL)


def newcomer(folder: Path) -> Path:
    """A checkout, as far as the pages on the bindings need one."""
    shutil.copytree(ROOT / "bindings", folder / "bindings", ignore=shutil.ignore_patterns("build", "__pycache__"))
    (folder / "runtime").symlink_to(ROOT / "runtime")
    return folder
