"""ONNX Runtime as a sampler: one of the bundle's graphs on the CPU.

Lattice and noise are integers held in float32, added in the engine's own input; scaling and clamping are the graph's
first nodes. One thread draws the noise of batch after batch, and on each core an engine scores what has been drawn:
batches of its own keep it busy where a network's layers are too small to share. Inputs are allocated once a frame size
and go round between the two. Every call has the same batch shape; :mod:`runtime.samplers.feeds` says what is in it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle.precisions import check_precision
from ..bundle.store import Bundle
from ..errors import BundleError, DependencyError, ModelError
from ..frames.lattice import Lattice
from ..frames.tiles import tiling
from ..install import pip_install
from ..noise.table import table_for
from .checks import check_size, closed, failed, first_line
from .feeds import MOST_TILES, Feed, FrameFeed, Run, TileFeed
from .vnni import EXACT_PRODUCTS, exact_products

BATCH = 2
"""Noisy copies a call where the graph leaves it open: enough to amortise the call, few enough for the cache."""
WORKERS = 8
"""Most batches at a time, for memory's sake: what cores are left help with their layers."""


class OnnxSampler:
    """A session on the graph of one precision of a bundle. ``threads``: that run it, None for one on each core.

    It may be called from several threads: they take turns, as each call has all workers. Raises ParameterError for a
    precision that no CPU runs, BundleError for one that the bundle lacks, DependencyError without ONNX Runtime,
    ModelError for a graph it cannot load.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, precision: str = "fp32") -> None:
        graph = check_precision(bundle, precision, "cpu")
        try:
            import onnxruntime
        except ImportError:
            raise DependencyError(f"ONNX Runtime is not installed: {pip_install('cpu')}") from None
        contract = bundle.manifest.input
        options = onnxruntime.SessionOptions()
        threads = threads or usable_cores()
        workers = min(threads, WORKERS)
        options.intra_op_num_threads = threads - workers + 1  # the calling thread is one of them
        options.add_session_config_entry(EXACT_PRODUCTS, exact_products())
        options.log_severity_level = 3  # errors arrive as exceptions; warnings would litter stderr
        try:
            session = onnxruntime.InferenceSession(bundle.read(graph), options, providers=["CPUExecutionProvider"])
        except BundleError:
            raise
        except Exception as error:  # ONNX Runtime has no common base for its errors
            raise ModelError(f"{bundle.path}: ONNX Runtime cannot load {graph}: {first_line(error)}") from None
        inputs = sorted(i.name for i in session.get_inputs())
        if inputs != ["lattice", "unit"]:
            raise BundleError(f"{bundle.path}: {graph} takes {inputs}, not lattice and unit: build the bundle again")
        self._session: Any = session  # None once closed
        self._lock = threading.Lock()
        self.sigma = contract.sigma
        self.downscale = contract.downscale
        self.name = bundle.manifest.name
        self.digest = bundle.graph_digest(precision)
        self.higher_is_better = bundle.manifest.score.higher_is_better
        self.score_range = bundle.manifest.score.range
        self.tile = contract.tile
        self.aggregate = bundle.manifest.score.of_tiles
        self._contract = contract
        self._batch = contract.batch or (BATCH if contract.tile is None else MOST_TILES)
        self._workers = workers
        self._pool = ThreadPoolExecutor(workers + 1, "biqa-sampler")
        self._inputs: list[NDArray[np.float32]] = []
        self.engine: Mapping[str, Any] = {
            "device": "cpu",
            "provider": session.get_providers()[0],
            "precision": precision,
            "version": f"onnxruntime {onnxruntime.__version__}",
            "batch": self._batch,
        }

    def scores(self, lattice: Lattice, key: bytes, start: int, count: int) -> NDArray[np.float32]:
        feed = self._feed(lattice)
        scores = np.empty(feed.shape(count), np.float32)
        flat = scores.reshape(-1)
        idle: SimpleQueue[NDArray[np.float32]] = SimpleQueue()
        drawn: SimpleQueue[Run | None] = SimpleQueue()
        stop = threading.Event()

        def inputs() -> Iterator[NDArray[np.float32]]:
            while True:
                yield idle.get()

        def draw_all() -> None:
            try:
                for run in feed.fill(key, start, count, inputs()):
                    drawn.put(run)
                    if stop.is_set():
                        return
            finally:
                for _ in range(self._workers):
                    drawn.put(None)

        def score_drawn() -> None:
            while (run := drawn.get()) is not None:
                try:
                    if not stop.is_set():
                        flat[run.first : run.first + run.wanted] = self._run(run.noisy, lattice)[: run.wanted]
                except BaseException:
                    stop.set()
                    raise
                finally:
                    idle.put(run.noisy)

        with self._lock:
            self._prepare(feed)
            for noisy in self._inputs:
                idle.put(noisy)
            tasks = [self._pool.submit(task) for task in (draw_all, *[score_drawn] * self._workers)]
            try:
                wait(tasks)
            finally:
                stop.set()
                wait(tasks)  # whatever failed, nobody writes into an input any more
        for task in tasks:
            task.result()
        return scores

    def clean_score(self, lattice: Lattice) -> float:
        """f(x), the score of the frame itself: what the same network reports without noise. It certifies nothing."""
        clean = lattice.values.astype(np.float32)
        feed = self._feed(lattice)
        with self._lock:
            self._prepare(feed)
            noisy = self._inputs[0]
            if self.tile is None or self.aggregate is None:
                noisy[:] = clean
                return float(self._run(noisy, lattice)[0])
            tiles = tiling(lattice.height, lattice.width, self.tile)
            scores: list[float] = []
            for first in range(0, tiles.count, len(noisy)):
                tiles.cut(clean, first, noisy)
                scores += self._run(noisy, lattice).tolist()
            return self.aggregate.of(np.array(scores[: tiles.count]))

    def _feed(self, lattice: Lattice) -> Feed:
        """What the engine is fed with from this lattice. Raises FrameError for a size that the graph does not take."""
        table = table_for(self.sigma, lattice)
        if self.tile is None:
            check_size(lattice, self._contract, self.name)
            return FrameFeed(lattice, table, self._batch)
        return TileFeed(lattice, table, tiling(lattice.height, lattice.width, self.tile), self._contract.batch)

    def _prepare(self, feed: Feed) -> None:
        """Engine inputs of the feed's shape: one for each engine, one to draw into."""
        if self._session is None:
            raise closed(self.name)
        if not self._inputs or self._inputs[0].shape != feed.input_shape:
            self._inputs = [np.empty(feed.input_shape, np.float32) for _ in range(self._workers + 1)]

    def _run(self, noisy: NDArray[np.float32], lattice: Lattice) -> NDArray[np.float32]:
        """Scores of a whole batch."""
        unit = np.array([1 / lattice.steps], np.float32)
        try:
            (values,) = self._session.run(None, {"lattice": noisy, "unit": unit})
        except Exception as error:  # ONNX Runtime has no common base for its errors
            raise failed(self.name, lattice, error) from None
        if values.shape != (len(noisy),):
            raise ModelError(f"{self.name} returned shape {values.shape} for a batch of {len(noisy)}")
        scores: NDArray[np.float32] = values
        return scores

    def close(self) -> None:
        """Drop the session and the inputs, after the call that is running; again: nothing."""
        with self._lock:
            self._session = None
            self._inputs = []
            self._pool.shutdown()


def usable_cores() -> int:
    """CPUs that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
