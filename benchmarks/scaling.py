"""How the cost of a certificate grows with n, pixels, threads and frames, and that its memory does not.

    python -m benchmarks.scaling

Times are medians of three interleaved repetitions of ``Certifier.certify`` with the default model. Memory is the
largest resident size of a fresh process, as Linux reports it, after certifying so many frames with n samples each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from export.checks import photograph
from runtime import Certifier
from runtime.samplers import usable_cores

from .parts.frames import frame_of
from .report.machine import in_words, machine
from .report.page import DOCS, table, write_section

SAMPLES = (51, 101, 201, 401)
SIDES = (128, 256, 512, 1024)
MANY = 10_000
MEMORY = ((1, 101, 256), (1, 1001, 256), (1, 10_001, 64), (100, 24, 64), (MANY, 24, 64))
"""(frames, n, side of the frame) of each process."""
REPETITIONS = 3


def seconds(samples: int, side: int, threads: int | None, frames: int = 1) -> Callable[[], float]:
    """A measurement of ``frames`` frames one after the other, warmed up."""
    certifier = Certifier(samples=samples, threads=threads, public_seed=1)
    frame = frame_of("astronaut", side, side)
    certifier.certify(frame)

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(frames):
            certifier.certify(frame)
        return time.perf_counter() - start

    return measure


def resident(frames: int, samples: int, side: int) -> dict[str, int]:
    """Largest resident size in MiB of a process that does this, and of one that stops after the first frame."""
    code = f"""
import numpy as np
from pathlib import Path
from runtime import Certifier
def peak():  # not getrusage, which a child process has from its parent
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
rng = np.random.default_rng(1)
with Certifier(samples={samples}, public_seed=1) as certifier:
    for i in range({frames}):
        certifier.certify(rng.integers(0, 256, ({side}, {side}, 3), np.uint8))
        if i == 0: first = peak()
print(first, peak())
"""
    made = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, last = (int(word) // 1024 for word in made.stdout.split())
    return {"frames": frames, "samples": samples, "side": side, "first_mib": first, "last_mib": last}


def measure() -> dict[str, Any]:
    """The record."""
    cores = usable_cores()
    jobs: dict[str, Callable[[], float]] = {}
    for samples in SAMPLES:
        jobs[f"n = {samples}"] = seconds(samples, 256, 1)
    for side in SIDES:
        jobs[f"{side}×{side}"] = seconds(51, side, 1)
    for threads in sorted({1, cores}):
        jobs[f"{threads} threads"] = seconds(101, 512, threads)
    for frames in (1, 2, 4, 8):
        jobs[f"{frames} frames"] = seconds(51, 128, 1, frames)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in tqdm(range(REPETITIONS), "times", disable=None):
        for name, job in jobs.items():
            times[name].append(job())
    memory = [resident(*job) for job in tqdm(MEMORY, "memory", disable=None)]
    return {
        "machine": machine(),
        "seconds": {name: statistics.median(values) for name, values in times.items()},
        "memory": memory,
    }


def page(record: dict[str, Any]) -> str:
    """The Markdown."""
    times = record["seconds"]

    def rows(names: list[str], units: list[float]) -> list[list[str]]:
        first = times[names[0]] / units[0]
        return [
            [name, f"{times[name]:.3f}", f"{times[name] / unit / first:.2f}"]
            for name, unit in zip(names, units, strict=True)
        ]

    names = list(times)
    by_samples = rows([f"n = {n}" for n in SAMPLES], [float(n) for n in SAMPLES])
    by_pixels = rows([f"{s}×{s}" for s in SIDES], [float(s * s) for s in SIDES])
    by_frames = rows([f"{f} frames" for f in (1, 2, 4, 8)], [1.0, 2.0, 4.0, 8.0])
    by_threads = rows(
        [name for name in names if name.endswith("threads")], [1.0] * sum(n.endswith("threads") for n in names)
    )
    memory = [
        [
            f"{row['frames']:,} frames, n = {row['samples']:,}, {row['side']}×{row['side']}",
            f"{row['first_mib']}",
            f"{row['last_mib']}",
        ]
        for row in record["memory"]
    ]
    return "\n\n".join(
        [
            in_words(record["machine"]),
            "Seconds, and seconds a unit relative to the first row of its kind: 1 is exactly linear.",
            table(["", "s", "a sample, relative"], by_samples),
            table(["frame", "s", "a pixel, relative"], by_pixels),
            table(["", "s", "a frame, relative"], by_frames),
            table(["", "s", "relative"], by_threads),
            table(["largest resident memory, MiB", "after the first frame", "after the last"], memory),
        ]
    )


def main() -> None:
    """Measure, and write the section of docs/scaling.md and its record."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    photograph("astronaut")  # a missing package is told before minutes of work
    record = measure()
    print(page(record))
    write_section(DOCS / "scaling.md", "scaling", page(record))
    (DOCS / "evidence" / "scaling.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
