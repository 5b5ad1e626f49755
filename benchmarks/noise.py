"""Nanoseconds a noise value: the exact lattice sampler's two paths against NumPy's float32 Gaussians, in one run.

    python -m benchmarks.noise

Rows of the lattice sampler include adding the clean lattice, as a certificate does. Interleaved repetitions on one
thread: the least of them, which other work on the machine disturbs least, and the median. The ratio is what matters;
the times are this machine's.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from runtime.frames import sigma_in_steps
from runtime.noise import COMPILED, NoiseTable, fill_compiled, fill_numpy, key_words, noise_table

SHAPE = (4, 3 * 256 * 256)
REPETITIONS = 25
KEY = key_words(bytes(range(16)))
SETTINGS = ((8, 1), (8, 2), (10, 2), (12, 2))
"""Bit depth and downscale. The wider the noise on the lattice, the more values take 64 more bits."""

PATHS = {"NumPy": fill_numpy} | ({"compiled": fill_compiled} if COMPILED else {})


def nanoseconds(function: Callable[[], object]) -> float:
    """Nanoseconds a value of one call."""
    start = time.perf_counter_ns()
    function()
    return (time.perf_counter_ns() - start) / np.prod(SHAPE)


def main() -> None:
    out, clean = np.empty(SHAPE, np.float32), np.full(SHAPE[1], 100, np.float32)
    philox, pcg = np.random.Generator(np.random.Philox(1)), np.random.default_rng(1)
    rows: dict[str, Callable[[], object]] = {
        "standard_normal float32, Philox": lambda: philox.standard_normal(dtype=np.float32, out=out),
        "standard_normal float32, PCG64": lambda: pcg.standard_normal(dtype=np.float32, out=out),
    }

    def lattice_noise(path: str, table: NoiseTable) -> Callable[[], object]:
        return lambda: PATHS[path](table, KEY, 0, out, clean)

    for bits, downscale in SETTINGS:
        table = noise_table(sigma_in_steps(0.12, bits, downscale))
        for path in PATHS:
            rows[f"lattice noise, {bits} bits, k={downscale}, {path}"] = lattice_noise(path, table)
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(REPETITIONS):
        for name, function in rows.items():
            times[name].append(nanoseconds(function))
    reference = min(times["standard_normal float32, PCG64"])
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print("| sampler | ns a value | median | of PCG64 standard_normal |\n|---|---|---|---|")
    for name, values in times.items():
        least = min(values)
        print(f"| {name} | {least:.2f} | {statistics.median(values):.2f} | {least / reference:.2f} |")
    if not COMPILED:
        print("\nThe compiled path is not here: `biqa doctor` says how to get it.")


if __name__ == "__main__":
    main()
