"""The rows of ``latency.py``: the published loop in PyTorch, the runtime, its engine alone and its noise alone.

``gate`` asks for a threshold three half-widths of the published loop below the score, ``compare`` for the better of two
strengths of blur that are two steps apart.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri

from runtime import Bundle, Certificate, Certifier
from runtime.bounds import order_statistics
from runtime.bundle import GRAPHS
from runtime.frames import to_lattice
from runtime.noise import KEY_BYTES, draw_noise, table_for
from runtime.samplers import usable_cores
from training.data import KINDS

from .defences import MAIN_METRIC
from .published_loop import PublishedLoop, TunedLoop

EPSILON, ALPHA, SAMPLES, WIDER, SEED = 0.1, 1e-3, 1000, 1.1, 1
BATCHES = (1, 4, 8, 16)
"""Batch sizes the PyTorch rows choose from, by measurement: the fastest one runs."""
PUBLISHED = "PyTorch, eager fp32: the published method"


@dataclass(frozen=True)
class Row:
    """``run(count)``: score ``count`` samples or, where early stopping decides, as many as it takes: how many it were.

    ``samples``: of a whole certificate; 0 where stopping decides. ``width``: of the interval of the first run.
    """

    name: str
    samples: int
    run: Callable[[int], int]
    width: Callable[[], float] | None = None


def reach(n: int, shift: float) -> float:
    """Half the width expected of n samples at ε/σ = ``shift``, in standard deviations of normal scores."""
    _, upper = order_statistics(n, shift, ALPHA)
    return float("inf") if upper is None else float(ndtri((upper - 0.5) / n))


def planned_samples(shift: float) -> int:
    """The least n whose interval is expected to be no more than WIDER times that of SAMPLES, for normal scores."""
    limit = WIDER * reach(SAMPLES, shift)
    return next(n for n in range(20, SAMPLES + 1) if all(reach(m, shift) <= limit for m in (n, n + 1, n + 2)))


def shift_of(bundle: Bundle) -> float:
    """ε/σ on the engine's domain."""
    return EPSILON / bundle.manifest.input.downscale / bundle.manifest.input.sigma


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
    widths: list[float] = []

    def run(count: int) -> int:
        lower, upper = loop.certify(frame, count, EPSILON, ALPHA)
        widths.append(upper - lower)
        return count

    return Row(f"{loop.name}, batch {loop.batch}", SAMPLES, run, lambda: widths[0])


def runtime_rows(
    frame: NDArray[np.uint8], bundle: Bundle, precision: str, options: dict[str, Any], published: float, spread: float
) -> Iterator[Row]:
    """Ours: all samples, the planned number, early stopping, gate and compare, to be run in this order.

    ``published``, ``spread``: the width of SAMPLES of the published method, and of its loop on our networks.
    """
    first: dict[str, Certificate] = {}
    everything = "certify, all samples"

    @functools.cache
    def certifier(samples: int) -> Certifier:
        return Certifier(
            bundle.path, epsilon=EPSILON, alpha=ALPHA, samples=samples, precision=precision, public_seed=SEED, **options
        )

    full = certifier(SAMPLES)
    blur, widths = KINDS["blur"]
    mild, strong = (blur(frame, widths[step], np.random.default_rng(0)) for step in (1, 3))

    def row(name: str, samples: int, certify: Callable[[int], Certificate]) -> Row:
        def run(count: int) -> int:
            made = certify(count)
            first.setdefault(name, made)
            return made.drawn

        return Row(f"ours, {precision}: {name}", samples, run, lambda: first[name].upper - first[name].lower)

    def fixed(name: str, samples: int) -> Row:
        return row(name, samples, lambda count: certifier(count).certify(frame))

    def gate(_: int) -> int:
        answer = full.gate(frame, at_least=first[everything].score - 1.5 * spread)
        if answer.decision != "pass":
            raise RuntimeError(f"the gate three half-widths below the score answered {answer.decision!r}")
        return answer.pooled.drawn

    def compare(_: int) -> int:
        answer = full.compare(mild, strong)
        if answer.decision == "undecided":
            raise RuntimeError("blur of 1.2 and 3.2 pixels could not be told apart")
        return answer.a.drawn + answer.b.drawn

    yield fixed(everything, SAMPLES)
    yield fixed(f"certify, n planned for {WIDER} × the width", planned_samples(shift_of(bundle)))
    stop = f"certify, stop at {WIDER} × the published width"
    yield row(stop, 0, lambda _: full.certify(frame, tolerance=WIDER * published))
    yield Row(f"ours, {precision}: gate, three half-widths away", 0, gate)
    yield Row(f"ours, {precision}: compare, two strengths of blur", 0, compare)


def engine_rows(frame: NDArray[np.uint8], bundle: Bundle, precision: str, threads: int | None) -> Iterator[Row]:
    """The raw engine on a constant input, a call a core, and the noise alone: what the whole is compared with.

    CPU only.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(bundle.read(GRAPHS[precision]), options, providers=["CPUExecutionProvider"])
    with Certifier(bundle.path, precision=precision, threads=threads) as certifier:
        batch = int(certifier.sampler.engine["batch"])
    clean = to_lattice(frame, downscale=bundle.manifest.input.downscale)
    lattices = np.repeat(clean.values[None].astype(np.float32), batch, 0)
    unit = np.array([1 / clean.steps], np.float32)
    noisy = np.empty_like(lattices)
    noise = table_for(bundle.manifest.input.sigma, clean)

    pool = ThreadPoolExecutor(threads or usable_cores())

    def engine(count: int) -> int:
        calls = [pool.submit(session.run, None, {"lattice": lattices, "unit": unit}) for _ in range(0, count, batch)]
        for call in calls:
            call.result()
        return count

    def noise_alone(count: int) -> int:
        for start in range(0, count, batch):
            draw_noise(noise, bytes(KEY_BYTES), start, noisy)
        return count

    yield Row(f"raw engine, {precision}", SAMPLES, engine)
    yield Row(f"noise alone, {precision}", SAMPLES, noise_alone)
