"""Many threads, processes, certificates and certifiers: the same bits as one, and nothing left behind."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from runtime import Certifier
from tests.support.tiny import tiny_bundle

from .case import SAFE, Case

THREADS, PROCESSES = 8, 4
KEPT = 4 * 2**20
"""Bytes that 10,000 certificates may leave: the allocator's own."""


def frame(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (24, 32, 3)).astype(np.uint8)


def scores(model: str, seeds: list[int]) -> list[bytes]:
    """The scores of some frames, from a certifier of its own."""
    with Certifier(model, samples=24, public_seed=1) as certifier:
        return [certifier.certify(frame(seed)).scores.tobytes() for seed in seeds]


def _threads(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """One certifier shared by 8 threads."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_bundle(Path(folder) / "model").path)
        seeds = [int(seed) for seed in rng.integers(0, 1000, tries)]
        wanted = scores(model, seeds)
        with Certifier(model, samples=24, public_seed=1) as shared, ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda seed: shared.certify(frame(seed)).scores.tobytes(), seeds))
    yield from (SAFE if one == other else "a thread got other scores" for one, other in zip(wanted, found, strict=True))


def _processes(tries: int, rng: np.random.Generator) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_bundle(Path(folder) / "model").path)
        seeds = [[int(seed) for seed in rng.integers(0, 1000, max(1, tries // PROCESSES))] for _ in range(PROCESSES)]
        with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(scores, [model] * PROCESSES, seeds))
        wanted = [scores(model, some) for some in seeds]
    for one, other in zip(wanted, found, strict=True):
        yield from (SAFE if a == b else "a process got other scores" for a, b in zip(one, other, strict=True))


def _models(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """Two certifiers with different models, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        names = [
            str(tiny_bundle(Path(folder) / "one").path),
            str(tiny_bundle(Path(folder) / "other", sigma=0.3, downscale=1).path),
        ]
        seeds = [int(seed) for seed in rng.integers(0, 1000, tries)]
        wanted = [scores(name, seeds) for name in names]
        one, other = (Certifier(name, samples=24, public_seed=1) for name in names)
        with one, other:
            for index, seed in enumerate(seeds):
                found = [certifier.certify(frame(seed)).scores.tobytes() for certifier in (one, other)]
                right = found == [wanted[0][index], wanted[1][index]]
                yield SAFE if right else "two models in one process disturbed each other"


def resident() -> int:
    """Bytes of memory this process holds."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def _many(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """Memory and open files after a fifth of the certificates, and at the end."""
    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_bundle(Path(folder) / "model").path)
        with Certifier(model, samples=24, public_seed=1) as certifier:
            before = (0, 0)
            for index in range(tries):
                certifier.certify(frame(index))
                if index == tries // 5:
                    gc.collect()
                    before = resident(), descriptors()
                yield SAFE
            gc.collect()
            if resident() - before[0] > KEPT:
                yield f"{(resident() - before[0]) / 2**20:.1f} MiB more after {tries} certificates"
            if descriptors() != before[1]:
                yield f"{descriptors() - before[1]} more open files after {tries} certificates"


def _opened(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """Certifiers opened and closed: no open file, no thread left."""
    import threading

    with tempfile.TemporaryDirectory() as folder:
        model = str(tiny_bundle(Path(folder) / "model").path)
        scores(model, [0])
        before = descriptors(), threading.active_count()
        for index in range(tries):
            scores(model, [index])
            left = descriptors(), threading.active_count()
            yield SAFE if left == before else f"open files and threads: {before} before, {left} after"


CASES = [
    Case("8 threads, one certifier", 800, 32, _threads),
    Case("4 processes", 800, 8, _processes),
    Case("two models in one process", 400, 10, _models),
    Case("certificates with flat memory", 10_000, 200, _many),
    Case("certifiers opened and closed", 300, 10, _opened),
]
