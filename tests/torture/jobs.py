"""A job of the command line that is killed at random moments, and gone on with each time."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tests.support.killed_jobs import job_folder

from .case import SAFE, Case

ROOT = Path(__file__).parents[2]


def _kills(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """SIGKILL, and SIGINT every third time; the log must be that of a job left alone, no frame lost or doubled."""
    with tempfile.TemporaryDirectory() as name:
        words = [sys.executable, "-m", "tests.support.killed_jobs"]
        words += [str(job_folder(Path(name))), str(tries), str(rng.integers(2**32))]
        done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
        made = json.loads(done.stdout)
    yield from [SAFE] * (made["kills"] - len(made["failures"]))
    yield from made["failures"]


CASES = [Case("jobs killed at random", 50, 8, _kills)]
