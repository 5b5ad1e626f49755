"""What a pool of Ray's actors adds to one process: throughput against actors × one process.

    python -m benchmarks.cluster [--write]

Each time is that of ``LARGE`` frames less that of ``SMALL``, so that starting Ray and opening engines is not in it; one
process has one thread, as an actor has. Medians of three interleaved repetitions. The frames are crops of a photograph.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from export.checks import photograph
from runtime.samplers import usable_cores

from .report.machine import in_words, machine
from .report.page import DOCS, table, write_section

SMALL, LARGE, SIDE, SAMPLES, REPETITIONS = 4, 44, 384, 101, 3


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def measure(actors: int) -> dict[str, Any]:
    """The record: frames a second, of one process and of the pool."""
    from PIL import Image

    picture = photograph("astronaut")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for count in (SMALL, LARGE):
            (folder / str(count)).mkdir()
            for index in range(count):
                crop = picture[index : index + SIDE, index : index + SIDE]
                Image.fromarray(crop).save(folder / str(count) / f"{index}.png")
        words = ["--public-seed", "1", "--samples", str(SAMPLES), "--quiet"]
        times: dict[tuple[str, int], list[float]] = {}
        for _ in range(REPETITIONS):
            for count in (SMALL, LARGE):
                inputs, out = str(folder / str(count)), str(folder / "out.parquet")
                alone = ["-m", "runtime", "certify", inputs, "--threads", "1", "--parquet", out]
                pool = ["-m", "bindings.ray", "certify", inputs, "--actors", str(actors), "--output", out]
                for kind, command in (("alone", alone), ("pool", pool)):
                    times.setdefault((kind, count), []).append(_seconds([sys.executable, *command, *words]))
    spent = {key: statistics.median(values) for key, values in times.items()}
    rate = {kind: (LARGE - SMALL) / (spent[kind, LARGE] - spent[kind, SMALL]) for kind in ("alone", "pool")}
    starts = {kind: spent[kind, SMALL] - SMALL / rate[kind] for kind in ("alone", "pool")}
    return {"machine": machine(), "actors": actors, "rate": rate, "start": starts}


def page(record: dict[str, Any]) -> str:
    """The Markdown."""
    rate, start, actors = record["rate"], record["start"], record["actors"]
    share = rate["pool"] / rate["alone"] / actors
    rows = [
        ["one process, one thread", f"{rate['alone']:.2f}", "1.00", f"{start['alone']:.1f}"],
        [
            f"{actors} actors",
            f"{rate['pool']:.2f}",
            f"{share:.2f}",
            f"{start['pool']:.1f}",
        ],
    ]
    head = ["", "frames a second", "of actors × one process", "s to start"]
    return "\n\n".join([in_words(record["machine"]), table(head, rows)])


def main() -> int:
    parser = argparse.ArgumentParser("python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--actors", type=int, default=usable_cores())
    parser.add_argument("--write", action="store_true", help="put the table into docs/scale.md")
    options = parser.parse_args()
    text = page(measure(options.actors))
    print(text)
    if options.write:
        write_section(DOCS / "scale.md", "cluster", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
