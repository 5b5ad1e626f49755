"""How many cores are taken: what binds the process, its control group, and what it was told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.samplers import cores, usable_cores
from tests.support.tiny import tiny_bundle


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """16 CPUs, no control group, told nothing."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(cores, "CGROUPS", tmp_path / "groups")
    monkeypatch.setattr(cores, "MEMBERSHIP", tmp_path / "membership")
    return tmp_path


def group(machine: Path, membership: str, files: dict[str, str]) -> None:
    (machine / "membership").write_text(membership)
    for name, text in files.items():
        path = machine / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(("told", "cores_taken"), [("3", 3), ("2,4", 2), ("40", 16), ("0", 16), ("many", 16), ("", 16)])
def test_told(told: str, cores_taken: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", told)
    assert usable_cores() == cores_taken


@pytest.mark.parametrize(
    ("membership", "files", "cores_taken"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),  # inside a container
        ("0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "400000 100000\n"}, 4),
        ("0::/a/b\n", {"a/b/cpu.max": "50000 100000\n", "a/cpu.max": "400000 100000\n"}, 1),
        (
            "3:cpu,cpuacct:/x\n1:memory:/\n",
            {"cpu/x/cpu.cfs_quota_us": "300000\n", "cpu/x/cpu.cfs_period_us": "100000\n"},
            3,
        ),
        ("3:cpu,cpuacct:/\n", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ("0::/\n", {"cpu.max": "nonsense"}, 16),
        ("0::/\n", {}, 16),
    ],
)
def test_quota(machine: Path, membership: str, files: dict[str, str], cores_taken: int) -> None:
    group(machine, membership, files)
    assert usable_cores() == cores_taken


def test_a_sampler_takes_no_more_threads_than_it_was_told(tmp_path: Path) -> None:
    model = tiny_bundle(tmp_path / "model").path
    program = f"import runtime; print(runtime.Certifier({str(model)!r})._sampler._threads)"
    for told in ("1", "2"):
        made = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "OMP_NUM_THREADS": told},
            cwd=Path(__file__).parents[3],
            capture_output=True,
            text=True,
            check=True,
        )
        assert int(made.stdout) <= int(told)
