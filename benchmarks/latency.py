"""What a certificate costs, and how many times less than the published way: everything in one run.

    python -m benchmarks.latency                                    # one core and all of them; some 20 minutes on two
    python -m benchmarks.latency --size 256 --threads 1             # a quick look: prints, writes nothing
    python -m benchmarks.latency --device cuda --json benchmarks/results/MACHINE-latency.json

Each row (``parts/latency_rows.py``) answers one question about one frame at the same ε and α. The first is the
published method whole: its loop of n = 1,000 samples, through a denoiser that was trained its way, behind the frozen
metric. The second has the same loop through the networks that ship: the same architecture at the same cost, with a
narrower interval. "certify, n planned" has an interval of 1.1 times the second's width on average, "certify, stop" of
at most 1.1 times the first's. Repetitions are interleaved, row after row, and the medians are compared; ratios are what
holds on another machine. Frames are a photograph of scikit-image, cropped, or mirrored at its edges where it is too
small. Rows of fixed n are timed over a slice of their samples, and the page says so: their cost is linear in n
(``python -m benchmarks.scaling``). A run that writes a record and was interrupted goes on after its last whole case.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from runtime import open_bundle
from runtime.bundle import DEVICE_PRECISIONS, GRAPHS
from runtime.samplers import usable_cores

from .parts.frames import frame_of
from .parts.latency_rows import (
    ALPHA,
    EPSILON,
    PUBLISHED,
    SAMPLES,
    SEED,
    Row,
    engine_rows,
    reach,
    runtime_rows,
    shift_of,
    torch_rows,
)
from .parts.published_loop import networks, picture
from .report.machine import in_words, machine
from .report.page import DOCS, README, table, write_section

SIZES = {"256": (256, 256), "512": (512, 512), "1080p": (1080, 1920)}
REPETITIONS = 5
WHOLE = 512 * 512
"""Pixels up to which rows of fixed n run all of their samples once, for their width."""
ROUGH = 100
"""Samples of larger frames from which the width of all is estimated."""
TIMED, FEW = 64, 24
"""Samples that rows of fixed n are timed over, up to WHOLE pixels and above."""
IN_README = "512"
"""The size whose table the README has."""
CHECKPOINT = DOCS.parent / "build" / "latency.json"


def expected_width(row: Row, most: int, shift: float) -> float:
    """The width of a whole certificate of a row, from its first run: of ``most`` samples where it has more."""
    count = min(row.samples, most)
    row.run(count)
    assert row.width is not None
    return row.width() * (reach(row.samples, shift) / reach(count, shift) if row.samples else 1)


def measure(rows: list[Row], repetitions: int, slice_: int, bar: Any) -> list[dict[str, Any]]:
    """Median seconds of interleaved repetitions, after one that is not counted."""
    times: dict[str, list[float]] = {row.name: [] for row in rows}
    drawn: dict[str, int] = {}
    for _ in range(1 + repetitions):
        for row in rows:
            start = time.perf_counter()
            drawn[row.name] = row.run(min(row.samples, slice_))
            times[row.name].append(time.perf_counter() - start)
            bar.update()
    result = []
    for row in rows:
        per_sample = [seconds / drawn[row.name] * 1e3 for seconds in times[row.name][1:]]
        samples = row.samples or drawn[row.name]
        result.append(
            {
                "row": row.name,
                "samples": samples,
                "timed_samples": drawn[row.name],
                "ms_sample": statistics.median(per_sample),
                "ms_certificate": statistics.median(per_sample) * samples,
                "p95_ms_certificate": float(np.quantile(per_sample, 0.95)) * samples,
            }
        )
    return result


def ceiling(frame: NDArray[np.uint8], device: str, threads: int | None) -> dict[str, float]:
    """FLOPs a sample of the networks, counted by PyTorch, and the FLOP/s of a large float32 matrix product here."""
    metric, denoiser = networks(device)
    clean = picture(frame, device)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        metric(denoiser(clean))
    side = 4096 if device == "cuda" else 1536
    a, b = (torch.randn((side, side), device=device) for _ in range(2))
    seconds = []
    for _ in range(6):
        _synchronise(device)
        start = time.perf_counter()
        torch.mm(a, b)
        _synchronise(device)
        seconds.append(time.perf_counter() - start)
    return {"flops_sample": float(counter.get_total_flops()), "flops_second": 2 * side**3 / statistics.median(seconds)}


def _synchronise(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def case(size: str, threads: int | None, options: argparse.Namespace) -> dict[str, Any]:
    """All rows at one size and thread count."""
    height, width = SIZES[size]
    frame = frame_of(options.photograph, height, width)
    bundle = open_bundle(options.model)
    bundle = bundle.at(bundle.manifest.input.sigma)
    torch.set_num_threads(threads or usable_cores())
    torch.manual_seed(SEED)
    whole = height * width <= WHOLE
    most, slice_ = (SAMPLES, TIMED) if whole else (ROUGH, FEW)
    shift = shift_of(bundle)
    rows = torch_rows(frame, bundle.manifest.input.sigma, options.device)
    widths = {row.name: expected_width(row, most, shift) for row in rows}
    published, spread = (widths[row.name] for row in rows[:2])
    where: dict[str, Any] = {"device": options.device} if options.device != "cpu" else {"threads": threads}
    runnable = DEVICE_PRECISIONS[options.device]
    for precision in (name for name in runnable if GRAPHS[name] in bundle.manifest.files):
        made = list(runtime_rows(frame, bundle, precision, where, published, spread))
        if options.device == "cpu":
            made += engine_rows(frame, bundle, precision, threads)
        widths |= {row.name: expected_width(row, most, shift) for row in made if row.width}
        rows += made
    with tqdm(total=len(rows) * (1 + options.repetitions), desc=f"{size}, {threads or 'all'}", disable=None) as bar:
        timed = measure(rows, options.repetitions, slice_, bar)
    return {
        "size": size,
        "threads": threads or usable_cores(),
        "whole": whole,
        "rows": [{**row, "width": widths.get(row["row"])} for row in timed],
        **ceiling(frame, options.device, threads),
    }


def page(record: dict[str, Any]) -> str:
    """The Markdown of all cases."""
    parts = [
        in_words(record["machine"]),
        f"ε = {EPSILON}, α = {ALPHA}; medians of {record['repetitions']} interleaved repetitions.",
        *map(section, record["cases"]),
    ]
    return "\n\n".join(parts)


def section(made: dict[str, Any]) -> str:
    """The Markdown of one case."""
    rows = {row["row"]: row for row in made["rows"]}
    method, loop = (row["ms_certificate"] for row in made["rows"][:2])
    note = f" Rows of fixed n were timed over {TIMED if made['whole'] else FEW} samples."
    if not made["whole"]:
        note += f" Their widths are estimated from {ROUGH} samples."
    header = ["", "samples", "ms a sample", "ms a certificate", "p95", "width", "times faster (same weights)"]
    lines = [
        [
            row["row"],
            str(row["samples"]),
            f"{row['ms_sample']:.2f}",
            f"{row['ms_certificate']:.0f}",
            f"{row['p95_ms_certificate']:.0f}",
            "–" if row["width"] is None else f"{row['width']:.2f}",
            f"{method / row['ms_certificate']:.1f} ({loop / row['ms_certificate']:.1f})",
        ]
        for row in made["rows"]
        if not row["row"].startswith(("raw", "noise"))
    ]
    parts = [f"**{made['size']}, {made['threads']} threads.**{note}", table(header, lines)]
    for precision in GRAPHS:
        if f"raw engine, {precision}" not in rows:
            continue
        total = rows[f"ours, {precision}: certify, all samples"]["ms_sample"]
        engine, noise = (rows[f"{what}, {precision}"]["ms_sample"] for what in ("raw engine", "noise alone"))
        achieved = made["flops_sample"] / (engine / 1e3)
        parts.append(
            f"{precision}: {total:.2f} ms a sample; the raw engine alone {engine:.2f} ({engine / total:.0%} of "
            f"it), the noise alone {noise:.2f} ({noise / total:.0%}). The engine does {achieved / 1e9:.0f} "
            f"GFLOP/s, {achieved / made['flops_second']:.0%} of a float32 matrix product here."
        )
    return "\n\n".join(parts)


def summary(record: dict[str, Any]) -> str:
    """The table of the README: seconds, and times faster than the published method, at one size."""
    cases = [made for made in record["cases"] if made["size"] == IN_README]
    height, width = SIZES[IN_README]
    header = [f"{height}×{width}", "samples"]
    for made in cases:
        threads = f"{made['threads']} thread{'s' if made['threads'] > 1 else ''}"
        header += [f"s, {threads}", "times faster"]
    lines = []
    for rows in zip(*(made["rows"] for made in cases), strict=True):
        name = rows[0]["row"].partition(", batch")[0]
        if name != PUBLISHED and not any(word in name for word in ("planned", "published width", "gate", "compare")):
            continue
        cells = [name, str(rows[0]["samples"])]
        for made, row in zip(cases, rows, strict=True):
            ratio = made["rows"][0]["ms_certificate"] / row["ms_certificate"]
            cells += [f"{row['ms_certificate'] / 1e3:.2f}", f"{ratio:.1f}"]
        lines.append(cells)
    return in_words(record["machine"]) + "\n\n" + table(header, lines)


def cases(options: argparse.Namespace, record: dict[str, Any], keep: bool) -> Iterator[dict[str, Any]]:
    """Every case. ``keep``: each is kept until all are done, and what a run with the same record has left is read."""
    done: list[dict[str, Any]] = []
    if keep and CHECKPOINT.exists():
        left = json.loads(CHECKPOINT.read_text())
        done = left["cases"] if left["record"] == record else []
    threads: list[int | None] = options.threads or ([1, None] if options.device == "cpu" else [None])
    for index, (size, count) in enumerate(product(options.size or SIZES, threads)):
        if index == len(done):
            done.append(case(size, count, options))
            if keep:
                _save({"record": record, "cases": done})
        yield done[index]
    if keep:
        CHECKPOINT.unlink()


def _save(checkpoint: dict[str, Any]) -> None:
    """Whole or not at all."""
    CHECKPOINT.parent.mkdir(exist_ok=True)
    draft = CHECKPOINT.with_suffix(".part")
    draft.write_text(json.dumps(checkpoint))
    draft.replace(CHECKPOINT)


def main() -> None:
    """Measure, print each case, and write the page with its record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model", type=Path, help="bundle of the default networks; default: the one that ships")
    parser.add_argument("--size", choices=tuple(SIZES), action="append", help="repeatable; default: all")
    parser.add_argument("--threads", type=int, action="append", help="repeatable; default: 1 and all cores")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--photograph", default="astronaut", help="of scikit-image: astronaut, coffee, chelsea, rocket")
    parser.add_argument("--json", type=Path, help="write the record here; default for a full run on the CPU: docs")
    options = parser.parse_args()
    full = options.size is None and options.threads is None and options.device == "cpu" and options.model is None
    path = options.json or (DOCS / "evidence" / "latency.json" if full else None)
    asked = {name: str(value) for name, value in vars(options).items() if name != "json"}
    record: dict[str, Any] = {"machine": machine(), **asked, "repetitions": options.repetitions}
    print(in_words(record["machine"]), flush=True)
    finished = []
    for made in cases(options, record, path is not None):
        finished.append(made)
        print(f"\n{section(made)}", flush=True)
    record["cases"] = finished
    if full:
        write_section(DOCS / "latency.md", "latency", page(record))
        write_section(README, "latency", summary(record))
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
