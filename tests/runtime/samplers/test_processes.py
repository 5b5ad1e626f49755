"""An open engine and other processes: after a fork, in a pickle; and what large frames change."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Certifier, ParameterError
from runtime.samplers import onnx
from tests.support.clips import photograph
from tests.support.tiny import tiny_bundle

FORK = """
import os, sys, numpy as np, runtime
certifier = runtime.Certifier(sys.argv[1], samples=24, public_seed=1)
frame = np.full((64, 64, 3), 99, np.uint8)
score = certifier.certify(frame).score
child = os.fork()
if child == 0:
    if sys.argv[2] == "works":
        assert certifier.certify(frame).score == score
    sys.exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
"""


@pytest.mark.parametrize("what", ["works", "ends"])
def test_a_child_works_and_ends(tmp_path: Path, what: str) -> None:
    tiny_bundle(tmp_path / "b")
    command = [sys.executable, "-c", FORK, str(tmp_path / "b"), what]
    subprocess.run(command, check=True, timeout=60, cwd=Path(__file__).parents[3])


def test_a_pickle_says_what_to_send(tmp_path: Path) -> None:
    with (
        Certifier(tiny_bundle(tmp_path / "b").path) as certifier,
        pytest.raises(ParameterError, match="send its arguments"),
    ):
        pickle.dumps(certifier)


def test_large_frames_take_one_engine_and_one_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "LARGE", 200)
    small, large = photograph()[:24, :24], photograph()[:64, :64]
    with Certifier(tiny_bundle(tmp_path / "b").path, public_seed=1, samples=24, threads=2) as certifier:
        first, other, again = (certifier.certify(frame) for frame in (small, large, small))
    assert [c.provenance.engine["batch"] for c in (first, other, again)] == [2, 1, 2]
    assert np.array_equal(first.scores, again.scores)


@pytest.mark.parametrize("at", [1, 2, 3])
def test_an_interrupt_while_work_is_handed_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    """Ctrl-C between two tasks, the first of which draws with nobody to score for it: no hang, and right afterwards."""
    frame = photograph()[:24, :24]
    with Certifier(tiny_bundle(tmp_path / "b").path, public_seed=1, samples=24, threads=2) as certifier:
        wanted = certifier.certify(frame).scores
        pool = certifier.sampler._pool  # type: ignore[attr-defined]
        submit, calls = pool.submit, []

        def interrupted(task: Any) -> Any:
            calls.append(task)
            future = submit(task)
            if len(calls) == at:
                raise KeyboardInterrupt
            return future

        monkeypatch.setattr(pool, "submit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            certifier.certify(frame)
        monkeypatch.undo()
        assert np.array_equal(certifier.certify(frame).scores, wanted)
