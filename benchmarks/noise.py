"""Nanoseconds a noise value: the exact lattice sampler against NumPy's float32 Gaussians, in one run.

    python -m benchmarks.noise

Interleaved repetitions, medians, one thread. The ratio is what matters; the times are this machine's.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable

import numpy as np

from runtime.frames import sigma_in_steps
from runtime.noise import draw, noise_table

SHAPE = (4, 3, 256, 256)
REPETITIONS = 15
KEY = bytes(range(16))


def nanoseconds(function: Callable[[], object]) -> float:
    """Nanoseconds a value of one call."""
    start = time.perf_counter_ns()
    function()
    return (time.perf_counter_ns() - start) / np.prod(SHAPE)


def main() -> None:
    out = np.empty(SHAPE, np.float32)
    philox, pcg = np.random.Generator(np.random.Philox(1)), np.random.default_rng(1)
    rows: dict[str, Callable[[], object]] = {
        "standard_normal float32, Philox": lambda: philox.standard_normal(dtype=np.float32, out=out),
        "standard_normal float32, PCG64": lambda: pcg.standard_normal(dtype=np.float32, out=out),
    }
    for bits, downscale in ((8, 1), (8, 2), (10, 2)):
        table = noise_table(sigma_in_steps(0.12, bits, downscale))
        rows[f"lattice noise, {bits} bits, k={downscale}"] = lambda table=table: draw(table, KEY, 0, out)  # type: ignore[misc]
    times: dict[str, list[float]] = {name: [] for name in rows}
    for _ in range(REPETITIONS):
        for name, function in rows.items():
            times[name].append(nanoseconds(function))
    medians = {name: statistics.median(values) for name, values in times.items()}
    reference = medians["standard_normal float32, PCG64"]
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}, NumPy {np.__version__}\n")
    print("| sampler | ns a value | of PCG64 standard_normal |\n|---|---|---|")
    for name, value in medians.items():
        print(f"| {name} | {value:.2f} | {value / reference:.2f} |")


if __name__ == "__main__":
    main()
