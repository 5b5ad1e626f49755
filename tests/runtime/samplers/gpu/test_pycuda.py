"""The sampler on PyCUDA itself, which `make test-pycuda` builds: on a libcuda of host memory, without a GPU."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.kernel_host import COMPILER, FLAGS, HERE, SOURCES

ROOT = Path(__file__).parents[4]


@pytest.mark.skipif(find_spec("pycuda") is None, reason="PyCUDA is not installed: `make test-pycuda` builds it")
@pytest.mark.skipif(COMPILER is None, reason="g++ is not installed: the stand-in for libcuda cannot be built")
def test_certificates_on_pycuda_itself(tmp_path: Path) -> None:
    """Two sizes, a second thread, a failure, a caller's context, its arrays: the CPU's certificates, nothing left."""
    library = tmp_path / "libcuda.so.1"
    assert COMPILER is not None
    sources = [str(HERE / "host.cpp"), str(HERE / "driver.cpp")]
    flags = [*FLAGS.split(), "-Wl,-soname,libcuda.so.1", f"-I{SOURCES}"]
    subprocess.run([COMPILER, *flags, "-o", str(library), *sources], check=True, timeout=120)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    program = [sys.executable, str(ROOT / "tests" / "support" / "pycuda_program.py"), str(library), str(tmp_path)]
    done = subprocess.run(program, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
