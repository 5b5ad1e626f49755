"""What the mean of a clip costs: the published way, ours frame by frame, ours collectively, at equal width.

    python -m benchmarks.clips clip.mp4 … --frames 24 --write

Each row certifies the mean of the same frames at ε = 0.1, α = 0.001. The published way scores 1,000 copies of each
frame in PyTorch and bounds frame by frame, at α/M. Its time and its width are measured on ``--timed`` of the frames and
scaled to all. Ours are run in full. "At the width of …" takes the fewest samples with which the collective interval is
no wider, found on draws of its own.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from runtime import Certifier, FileFrames, Pooled, rgb_from_planes
from runtime.bounds import Units, certify_mean
from runtime.samplers import usable_cores

from .parts.defences import MAIN_METRIC
from .parts.published_loop import PublishedLoop
from .report.machine import in_words, machine
from .report.page import DOCS, table, write_section

EPSILON, ALPHA, SAMPLES, BEFORE, SEED = 0.1, 1e-3, 1000, 501, 1
BATCHES = (1, 4, 8)
COUNTS = (*range(32, 128, 4), *range(128, 512, 16))
"""Samples a frame that "at the width of" chooses from."""
SCOUTED = 512
"""Draws of each frame that it chooses on."""


@dataclass(frozen=True)
class Row:
    """``samples``: of each frame. ``width``: of the pooled interval, in points."""

    name: str
    samples: int
    seconds: float
    width: float


def frames_of(path: Path, count: int) -> list[NDArray[np.uint8]]:
    """About ``count`` frames of a clip, evenly spaced, as RGB."""
    every = max(1, len(FileFrames(path)) // count)
    made: list[NDArray[Any]] = []
    for frame in FileFrames(path, subsample=every):
        made.append(rgb_from_planes(*frame) if isinstance(frame, tuple) else np.asarray(frame))
        if len(made) == count:
            break
    return made


def published(name: str, frames: Sequence[NDArray[np.uint8]], timed: int, metric: str | None) -> Row:
    """The loop of the fastest batch, on some of the frames. ``metric``: None for our networks."""
    chosen = [frames[int(i)] for i in np.linspace(0, len(frames) - 1, min(timed, len(frames)))]
    loops = [PublishedLoop("cpu", 0.12, batch, *([] if metric is None else [metric])) for batch in BATCHES]
    loop = min(loops, key=lambda one: _seconds(lambda: one.scores(chosen[0], 16)))
    widths, start = [], time.perf_counter()
    for frame in tqdm(chosen, name, disable=None):
        lower, upper = loop.certify(frame, SAMPLES, EPSILON, ALPHA / len(frames))
        widths.append(upper - lower)
    seconds = (time.perf_counter() - start) * len(frames) / len(chosen)
    return Row(name, SAMPLES, seconds, float(np.mean(widths)))


def ours(name: str, frames: Sequence[NDArray[np.uint8]], samples: int | None, precision: str, bound: str) -> Row:
    """One run of all frames."""
    with Certifier(epsilon=EPSILON, alpha=ALPHA, samples=samples, precision=precision, public_seed=SEED) as certifier:
        certifier.certify(frames[0])  # sessions and inputs are made
        start = time.perf_counter()
        certificates = list(certifier.stream(frames, jointly=len(frames), bound=bound))
        made: Pooled = certifier.pool(certificates, bound=bound)
        return Row(name, certificates[0].samples, time.perf_counter() - start, made.upper - made.lower)


def scouted(frames: Sequence[NDArray[np.uint8]], precision: str) -> Callable[[float], int]:
    """Width → the fewest samples a frame whose collective interval is no wider, on other noise than ``ours``."""
    with Certifier(samples=SCOUTED, precision=precision, public_seed=SEED + 1) as certifier:
        made = list(certifier.stream(tqdm(frames, "scouting", disable=None), jointly=len(frames)))
    scores = np.stack([c.scores for c in made])
    shift, distance = EPSILON / 2 / made[0].sigma, made[0].noise_distance

    def least(width: float) -> int:
        count: int
        for count in COUNTS:
            units = Units(len(frames), count, shift, distance)
            bounded = certify_mean([scores[:, :count]], [units], ALPHA, bottom=0, top=100)
            if bounded.upper - bounded.lower <= width:
                return count
        raise ValueError(f"no number of samples up to {SCOUTED} reaches a width of {width:.3f}")

    return least


def rows_of(frames: Sequence[NDArray[np.uint8]], timed: int) -> list[Row]:
    """All rows for one clip."""
    method = published("the published method, PyTorch", frames, timed, MAIN_METRIC)
    loop = published("its loop on our networks", frames, timed, None)
    rows = [method, loop, ours("ours, frame by frame", frames, BEFORE, "fp32", "frame-by-frame")]
    rows.append(ours("ours, collective, samples as planned", frames, None, "fp32", "collective"))
    for precision in ("fp32", "int8"):
        least = scouted(frames, precision)
        for what, other in (("that loop", loop), ("the published method", method)):
            name = f"ours, collective, {precision}, at the width of {what}"
            rows.append(ours(name, frames, least(other.width), precision, "collective"))
    return rows


def _seconds(run: Callable[[], object]) -> float:
    run()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=24, help="of each clip; default 24")
    parser.add_argument("--timed", type=int, default=3, help="frames of them that PyTorch certifies; default 3")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/cost.md")
    options = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(usable_cores())
    parts = [in_words(machine())]
    for clip in options.clips:
        frames = frames_of(clip, options.frames)
        rows = rows_of(frames, options.timed)
        height, width, _ = frames[0].shape
        cells = [
            [
                row.name,
                str(row.samples),
                f"{row.seconds:.1f}",
                f"{rows[0].seconds / row.seconds:.1f}",
                f"{row.width:.2f}",
            ]
            for row in rows
        ]
        title = f"{clip.stem}, {len(frames)} frames of {width}×{height}"
        parts.append(table([title, "samples a frame", "s", "times faster", "width"], cells))
    text = "\n\n".join(parts)
    print(text)
    if options.write:
        write_section(DOCS / "cost.md", "clips", text)


if __name__ == "__main__":
    main()
