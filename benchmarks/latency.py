"""What a certificate costs, and how many times less than the published way: everything in one run.

    python -m benchmarks.latency                                    # one core and all of them; some 25 minutes on two
    python -m benchmarks.latency --size 256 --threads 1             # a quick look: prints, writes nothing
    python -m benchmarks.latency --device cuda --json benchmarks/results/MACHINE-latency.json

Each row answers the same question about the same frame at the same ε and α. The first is the published method whole:
its loop of n = 1,000 samples, through a denoiser that was trained its way, behind the frozen metric. The second has the
same loop through the networks that ship: the same architecture at the same cost, with a narrower interval. "certify,
n planned" has an interval of 1.1 times the second's width on average, "certify, stop" of at most 1.1 times the first's.
``gate`` asks for a threshold three half-widths of the second below the score, ``compare`` for the better of two
strengths of blur that are two steps apart. Repetitions are interleaved, row after row, and the medians are compared;
ratios are what holds on another machine. Frames are a photograph of scikit-image, cropped, or mirrored at its edges
where it is too small. Rows of fixed n are timed over a slice of their samples, and the page says so: their cost is
linear in n (``python -m benchmarks.scaling``).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from export.pictures import photograph
from runtime import Certifier
from runtime.bundle import ENGINE_PRECISIONS, GRAPHS, Bundle, open_bundle
from runtime.frames import lattice
from runtime.noise import KEY_BYTES, draw, table_for
from runtime.ranks import order_statistics
from runtime.samplers.onnx import PRECISIONS

from . import ladders
from .defences import MAIN_METRIC
from .machine import in_words, machine
from .page import DOCS, README, table, write_section
from .published import PublishedLoop, TunedLoop, networks, picture

EPSILON, ALPHA, SAMPLES, WIDER = 0.1, 1e-3, 1000, 1.1
SIZES = {"256": (256, 256), "512": (512, 512), "1080p": (1080, 1920)}
REPETITIONS = 5
BATCHES = (1, 4, 8, 16)
"""Batch sizes the PyTorch rows choose from, by measurement: the fastest one runs."""
WHOLE = 512 * 512
"""Pixels up to which rows of fixed n run all of their samples once, for their width."""
ROUGH = 100
"""Samples of larger frames from which the width at SAMPLES is estimated."""
TIMED, FEW = 64, 24
"""Samples that rows of fixed n are timed over, up to WHOLE pixels and above."""
PUBLISHED = "PyTorch, eager fp32: the published method"
IN_README = "512"
"""The size whose table the README has."""


@dataclass(frozen=True)
class Row:
    """``run(count)``: score ``count`` samples or, where early stopping decides, as many as it takes: how many it were.

    ``samples``: of a whole certificate; 0 where stopping decides. ``width``: of the interval of the last run.
    """

    name: str
    samples: int
    run: Callable[[int], int]
    width: Callable[[], float | None] = lambda: None


def frame_of(name: str, height: int, width: int) -> NDArray[np.uint8]:
    """The middle of a photograph, mirrored at its edges where it is too small."""
    whole = photograph(name)
    missing = [(0, max(0, height - whole.shape[0])), (0, max(0, width - whole.shape[1])), (0, 0)]
    padded = np.pad(whole, missing, mode="symmetric")
    top, left = (padded.shape[0] - height) // 2, (padded.shape[1] - width) // 2
    return np.ascontiguousarray(padded[top : top + height, left : left + width])


def reach(n: int, shift: float) -> float:
    """Half the width expected of n samples at ε/σ = ``shift``, in standard deviations of normal scores."""
    _, upper = order_statistics(n, shift, ALPHA)
    return float("inf") if upper is None else float(ndtri((upper - 0.5) / n))


def planned_samples(shift: float) -> int:
    """The least n whose interval is expected to be no more than WIDER times that of SAMPLES, for normal scores."""
    limit = WIDER * reach(SAMPLES, shift)
    return next(n for n in range(20, SAMPLES + 1) if all(reach(m, shift) <= limit for m in (n, n + 1, n + 2)))


def torch_rows(frame: NDArray[np.uint8], sigma: float, device: str) -> list[Row]:
    """The published method, its loop on our networks, and the tuned one, each with its fastest batch and type here."""
    types = (torch.float16,) if device == "cuda" else (torch.float32, torch.bfloat16)
    loops = [PublishedLoop(device, sigma, batch) for batch in BATCHES]
    tuned = [TunedLoop(device, sigma, batch, dtype) for batch in BATCHES for dtype in types]
    loop, quick = (min(some, key=lambda one: _seconds(one, frame)) for some in (loops, tuned))
    published = PublishedLoop(device, sigma, loop.batch, MAIN_METRIC)
    published.name = PUBLISHED
    return [_torch_row(one, frame) for one in (published, loop, quick)]


def _seconds(loop: PublishedLoop, frame: NDArray[np.uint8]) -> float:
    loop.scores(frame, loop.batch)
    start = time.perf_counter()
    loop.scores(frame, 16)
    return time.perf_counter() - start


def _torch_row(loop: PublishedLoop, frame: NDArray[np.uint8]) -> Row:
    found: list[float] = []

    def run(count: int) -> int:
        lower, upper = loop.certify(frame, count, EPSILON, ALPHA)
        found[:] = [upper - lower]
        return count

    return Row(f"{loop.name}, batch {loop.batch}", SAMPLES, run, lambda: found[0] if found else None)


def expected_width(row: Row, count: int, shift: float) -> float:
    """The width that SAMPLES of a row have, from ``count`` of them."""
    row.run(count)
    width = row.width()
    assert width is not None
    return width * reach(SAMPLES, shift) / reach(count, shift)


def shift_of(bundle: Bundle) -> float:
    """ε/σ on the engine's domain."""
    return EPSILON / bundle.manifest.input.downscale / bundle.manifest.input.sigma


def runtime_rows(
    frame: NDArray[np.uint8],
    bundle: Bundle,
    precision: str,
    options: dict[str, Any],
    published: float,
    spread: float,
    whole: bool,
) -> Iterator[Row]:
    """Ours: all samples, the planned number, early stopping, gate and compare.

    ``published``, ``spread``: the width of SAMPLES of the published method, and of its loop on our networks.
    ``whole``: rows of hundreds of samples run all of them.
    """
    found: dict[str, float] = {}

    def certifier(samples: int) -> Certifier:
        return Certifier(
            bundle.path, epsilon=EPSILON, alpha=ALPHA, samples=samples, precision=precision, public_seed=1, **options
        )

    full = certifier(SAMPLES)
    score = certifier(SAMPLES if whole else ROUGH).certify(frame).score
    mild, strong = (ladders.blur(frame, ladders.KINDS["blur"][1][step], np.random.default_rng(0)) for step in (1, 3))

    def fixed(name: str, samples: int) -> Row:
        opened: dict[int, Certifier] = {}

        def run(count: int) -> int:
            made = opened.setdefault(count, certifier(count)).certify(frame)
            found[name] = made.upper - made.lower
            return count

        return Row(f"ours, {precision}: {name}", samples, run, lambda: found.get(name))

    def until_narrow(_: int) -> int:
        made = full.certify(frame, tolerance=WIDER * published)
        found["stop"] = made.upper - made.lower
        return made.drawn

    def gate(_: int) -> int:
        answer = full.gate(frame, at_least=score - 1.5 * spread)
        if answer.decision != "pass":
            raise RuntimeError(f"the gate three half-widths below the score answered {answer.decision!r}")
        return answer.pooled.drawn

    def compare(_: int) -> int:
        answer = full.compare(mild, strong)
        if answer.decision == "undecided":
            raise RuntimeError("blur of 1.2 and 3.2 pixels could not be told apart")
        return answer.a.drawn + answer.b.drawn

    yield fixed("certify, all samples", SAMPLES)
    yield fixed(f"certify, n planned for {WIDER} × the width", planned_samples(shift_of(bundle)))
    stop = f"ours, {precision}: certify, stop at {WIDER} × the published width"
    yield Row(stop, 0, until_narrow, lambda: found.get("stop"))
    yield Row(f"ours, {precision}: gate, three half-widths away", 0, gate)
    yield Row(f"ours, {precision}: compare, two strengths of blur", 0, compare)


def engine_rows(frame: NDArray[np.uint8], bundle: Bundle, precision: str, threads: int | None) -> Iterator[Row]:
    """The raw engine on a constant input, and the noise alone: what the whole is compared with. CPU only."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    session = onnxruntime.InferenceSession(bundle.read(GRAPHS[precision]), options, providers=["CPUExecutionProvider"])
    with Certifier(bundle.path, precision=precision, threads=threads) as certifier:
        batch = int(certifier.sampler.engine["batch"])
    clean = lattice(frame, downscale=bundle.manifest.input.downscale)
    lattices = np.repeat(clean.values[None].astype(np.float32), batch, 0)
    unit = np.array([1 / clean.steps], np.float32)
    noisy = np.empty_like(lattices)
    noise = table_for(bundle.manifest.input.sigma, clean)

    def engine(count: int) -> int:
        for _ in range(0, count, batch):
            session.run(None, {"lattice": lattices, "unit": unit})
        return count

    def noise_alone(count: int) -> int:
        for start in range(0, count, batch):
            draw(noise, bytes(KEY_BYTES), start, noisy)
        return count

    yield Row(f"raw engine, {precision}", SAMPLES, engine)
    yield Row(f"noise alone, {precision}", SAMPLES, noise_alone)


def measure(rows: list[Row], repetitions: int, whole: bool, bar: Any) -> list[dict[str, Any]]:
    """Median seconds of interleaved repetitions, after one that is not counted and gives the widths."""
    widths: dict[str, float | None] = {}
    times: dict[str, list[float]] = {row.name: [] for row in rows}
    drawn: dict[str, int] = {}
    slice_ = TIMED if whole else FEW
    for row in rows:
        drawn[row.name] = row.run(row.samples if whole else min(row.samples, FEW))
        widths[row.name] = row.width() if whole or not row.samples else None
        bar.update()
    for _ in range(repetitions):
        for row in rows:
            start = time.perf_counter()
            drawn[row.name] = row.run(min(row.samples, slice_))
            times[row.name].append(time.perf_counter() - start)
            bar.update()
    result = []
    for row in rows:
        per_sample = [seconds / drawn[row.name] * 1e3 for seconds in times[row.name]]
        samples = row.samples or drawn[row.name]
        result.append(
            {
                "row": row.name,
                "samples": samples,
                "timed_samples": drawn[row.name],
                "ms_sample": statistics.median(per_sample),
                "ms_certificate": statistics.median(per_sample) * samples,
                "p95_ms_certificate": float(np.quantile(per_sample, 0.95)) * samples,
                "width": widths[row.name],
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
    torch.set_num_threads(threads or os.cpu_count() or 1)
    rows = torch_rows(frame, bundle.manifest.input.sigma, options.device)
    whole = height * width <= WHOLE
    published, spread = (expected_width(row, SAMPLES if whole else ROUGH, shift_of(bundle)) for row in rows[:2])
    where: dict[str, Any] = {"device": options.device} if options.device != "cpu" else {"threads": threads}
    runnable = PRECISIONS if options.device == "cpu" else ENGINE_PRECISIONS
    for precision in (name for name in runnable if GRAPHS[name] in bundle.manifest.files):
        rows += runtime_rows(frame, bundle, precision, where, published, spread, whole)
        if options.device == "cpu":
            rows += engine_rows(frame, bundle, precision, threads)
    with tqdm(total=len(rows) * (options.repetitions + 1), desc=f"{size}, {threads or 'all'}", disable=None) as bar:
        made = measure(rows, options.repetitions, whole, bar)
    return {
        "size": size,
        "threads": threads or os.cpu_count(),
        "whole": whole,
        "rows": made,
        **ceiling(frame, options.device, threads),
    }


def page(record: dict[str, Any]) -> str:
    """The Markdown of all cases."""
    parts = [
        in_words(record["machine"]),
        f"ε = {EPSILON}, α = {ALPHA}; medians of {record['repetitions']} interleaved repetitions.",
    ]
    for made in record["cases"]:
        rows = {row["row"]: row for row in made["rows"]}
        first = made["rows"][0]
        note = f" Rows of fixed n were timed over {TIMED if made['whole'] else FEW} samples."
        if not made["whole"]:
            note += f" The published width is estimated from {ROUGH} samples."
        parts.append(f"**{made['size']}, {made['threads']} threads.**{note}")
        parts.append(
            table(
                ["", "samples", "ms a sample", "ms a certificate", "p95", "width", "times faster"],
                [
                    [
                        row["row"],
                        str(row["samples"]),
                        f"{row['ms_sample']:.2f}",
                        f"{row['ms_certificate']:.0f}",
                        f"{row['p95_ms_certificate']:.0f}",
                        "–" if row["width"] is None else f"{row['width']:.2f}",
                        f"{first['ms_certificate'] / row['ms_certificate']:.1f}",
                    ]
                    for row in made["rows"]
                    if not row["row"].startswith(("raw", "noise"))
                ],
            )
        )
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
        if name != PUBLISHED and not any(word in name for word in ("published width", "gate", "compare")):
            continue
        cells = [name, str(rows[0]["samples"])]
        for made, row in zip(cases, rows, strict=True):
            ratio = made["rows"][0]["ms_certificate"] / row["ms_certificate"]
            cells += [f"{row['ms_certificate'] / 1e3:.2f}", f"{ratio:.1f}"]
        lines.append(cells)
    return in_words(record["machine"]) + "\n\n" + table(header, lines)


def main() -> None:
    """Measure, print the page, and write it with its record."""
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
    threads: list[int | None] = options.threads or ([1, None] if options.device == "cpu" else [None])
    record: dict[str, Any] = {"machine": machine(), "repetitions": options.repetitions, "device": options.device}
    record["cases"] = [case(size, count, options) for size in options.size or SIZES for count in threads]
    print(page(record))
    if full:
        write_section(DOCS / "performance.md", "latency", page(record))
        write_section(README, "latency", summary(record))
    path = options.json or (DOCS / "evidence" / "latency.json" if full else None)
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    main()
