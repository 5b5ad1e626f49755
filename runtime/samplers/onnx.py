"""ONNX Runtime as a sampler: one of the bundle's graphs on the CPU.

Lattice and noise are integers held in float32, added in the engine's own input; scaling and clamping are the graph's
first nodes. One thread draws the noise of batch after batch, and on each core an engine scores what has been drawn:
batches of its own keep it busy where a network's layers are too small to share. Inputs are allocated once a frame size
and go round between the two. Every call has the same batch shape; :mod:`runtime.samplers.feeds` says what is in it.

**Large frames** take memory by the pixel: above ``LARGE`` one engine scores one frame a call, with all threads inside
its layers, out of one input, which is drawn anew between two calls. ONNX Runtime sums in another order for another
batch, so the last place of a score may differ; which way was taken follows from the frame's size alone, and the
record's engine says its batch. Tiles are never large.

**Fork.** ONNX Runtime's threads do not live on in a child, and to release its session there would wait for them for
ever. So a child leaves the inherited session alone and opens one of its own with the first frame. ONNX Runtime's
destructors at the end of a process wait for them too, so such a child ends without those of C++ (Python's run).
"""

from __future__ import annotations

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from importlib.util import find_spec
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
from .cores import usable_cores
from .feeds import MOST_TILES, Feed, FrameFeed, Run, TileFeed
from .trial import try_graph
from .vnni import EXACT_PRODUCTS, exact_products

BATCH = 2
"""Noisy copies a call where the graph leaves it open: enough to amortise the call, few enough for the cache."""
WORKERS = 8
"""Most batches at a time, for memory's sake: what cores are left help with their layers."""

LARGE = 2**21
"""Values of one channel of a lattice, above which memory decides: 2²¹ is just above a 4K frame at downscale 2."""


class OnnxSampler:
    """A session on the graph of one precision of a bundle. ``threads``: that run it, None for one on each core.

    It may be called from several threads: they take turns, as each call has all workers. Raises ParameterError for a
    precision that no CPU runs, BundleError for one that the bundle lacks, DependencyError without ONNX Runtime,
    ModelError for a graph it cannot load.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, precision: str = "fp32") -> None:
        self._bundle, self._precision, self._graph = bundle, precision, check_precision(bundle, precision, "cpu")
        contract = bundle.manifest.input
        self._threads = threads or usable_cores()
        self._closed = self._sparing = False
        if not bundle.ships:
            try_graph(_onnxruntime(), bundle.read_graph(precision), contract, f"{bundle.path}: {self._graph}")
        self._session: Any = None
        self._pool: ThreadPoolExecutor | None = None
        self.tile = contract.tile
        self.aggregate = bundle.manifest.score.of_tiles
        self._batch = contract.batch or (BATCH if contract.tile is None else MOST_TILES)
        self._workers = min(self._threads, WORKERS)
        self._lock = threading.Lock()
        self._open()
        _opened.add(self)
        self.sigma = contract.sigma
        self.downscale = contract.downscale
        self.name = bundle.manifest.name
        self.digest = bundle.graph_digest(precision)
        self.higher_is_better = bundle.manifest.score.higher_is_better
        self.score_range = bundle.manifest.score.range
        self.calibration = bundle.manifest.calibration
        self._contract = contract
        self._inputs: list[NDArray[np.float32]] = []
        self.engine: Mapping[str, Any] = {
            "device": "cpu",
            "provider": "CPUExecutionProvider",
            "precision": precision,
            "version": f"onnxruntime {_onnxruntime().__version__}",
            "batch": self._batch,
        }

    def engine_for(self, lattice: Lattice) -> Mapping[str, Any]:
        """``engine`` as it runs on a frame of this size."""
        return {**self.engine, "batch": self._way(lattice)[0]}

    def _way(self, lattice: Lattice) -> tuple[int, int]:
        """Frames or tiles a call, and engines at a time."""
        if self._is_large(lattice):
            return self._contract.batch or 1, 1
        return self._batch, min(self._threads, WORKERS)

    def _is_large(self, lattice: Lattice) -> bool:
        return self.tile is None and lattice.height * lattice.width > LARGE

    def _open(self) -> None:
        """A session for ``_workers`` engines at a time, and their threads."""
        bundle, graph, onnxruntime = self._bundle, self._graph, _onnxruntime()
        data = bundle.read_graph(self._precision)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads - self._workers + 1  # the calling thread is one of them
        options.add_session_config_entry(EXACT_PRODUCTS, exact_products())
        options.enable_mem_pattern = not self._sparing  # one block for a whole run, beside what the first run took
        options.log_severity_level = 3  # errors arrive as exceptions; warnings would litter stderr
        try:
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime has no common base for its errors
            raise ModelError(f"{bundle.path}: ONNX Runtime cannot load {graph}: {first_line(error)}") from None
        inputs = sorted(i.name for i in session.get_inputs())
        if inputs != ["lattice", "unit"]:
            raise BundleError(f"{bundle.path}: {graph} takes {inputs}, not lattice and unit: build the bundle again")
        self._session = session
        self._pool = ThreadPoolExecutor(self._workers + 1, "biqa-sampler")

    def _release(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
        self._session = self._pool = None
        self._inputs = []

    def leave_to_parent(self) -> None:
        """In a child after a fork: forget the session without releasing it, and the lock a thread may have held."""
        if self._session is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
        self._session = self._pool = None
        self._inputs = []
        self._lock = threading.Lock()

    def scores(self, lattice: Lattice, key: bytes, start: int, count: int) -> NDArray[np.float32]:
        feed = self._feed(lattice)
        scores = np.empty(feed.shape(count), np.float32)
        flat = scores.reshape(-1)
        idle: SimpleQueue[NDArray[np.float32] | None] = SimpleQueue()
        drawn: SimpleQueue[Run | None] = SimpleQueue()
        stop = threading.Event()

        def inputs() -> Iterator[NDArray[np.float32]]:
            while (noisy := idle.get()) is not None:
                yield noisy

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
            self._prepare(lattice, feed)
            for noisy in self._inputs:
                idle.put(noisy)
            assert self._pool is not None
            tasks: list[Future[None]] = []
            try:
                for task in (draw_all, *[score_drawn] * self._workers):
                    tasks.append(self._pool.submit(task))
                wait(tasks)
            except BaseException:  # Ctrl-C: a task may run that is not among them, and write into an input
                self._inputs = []
                raise
            finally:
                stop.set()
                idle.put(None)  # for a task that draws and has nobody to score for it
                wait(tasks)
        for done in tasks:
            done.result()
        return scores

    def clean_score(self, lattice: Lattice) -> float:
        """f(x), the score of the frame itself: what the same network reports without noise. It certifies nothing."""
        feed = self._feed(lattice)
        with self._lock:
            self._prepare(lattice, feed)
            noisy = self._inputs[0]
            if self.tile is None or self.aggregate is None:
                noisy[:] = lattice.values
                return float(self._run(noisy, lattice)[0])
            clean = lattice.values.astype(np.float32)
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
            return FrameFeed(lattice, table, self._way(lattice)[0], sparing=self._is_large(lattice))
        return TileFeed(lattice, table, tiling(lattice.height, lattice.width, self.tile), self._contract.batch)

    def _prepare(self, lattice: Lattice, feed: Feed) -> None:
        """A session for this size, and engine inputs of the feed's shape: one for each engine, and unless memory is
        short one to draw into meanwhile."""
        if self._closed:
            raise closed(self.name)
        sparing = self._is_large(lattice)
        if self._session is not None and sparing != self._sparing:
            self._release()
        self._sparing = sparing
        self._workers = self._way(lattice)[1]
        if self._session is None:
            self._open()
        if not self._inputs or self._inputs[0].shape != feed.input_shape:
            count = self._workers if sparing else self._workers + 1
            self._inputs = [np.empty(feed.input_shape, np.float32) for _ in range(count)]

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
            self._closed = True
            self._release()


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        if find_spec("onnxruntime") is not None:
            raise DependencyError(f"ONNX Runtime is installed and does not load: {first_line(error)}") from None
        raise DependencyError(f"ONNX Runtime is not installed: {pip_install('cpu')}") from None
    return onnxruntime


_opened: weakref.WeakSet[OnnxSampler] = weakref.WeakSet()


def _after_fork() -> None:
    """In the child. Handlers run last in, first out: ours skips those that were registered when libraries loaded."""
    inherited = list(_opened)
    for sampler in inherited:
        sampler.leave_to_parent()
    if inherited:
        libc = ctypes.CDLL(None)
        if hasattr(libc, "on_exit"):  # glibc: called with the exit status, which _exit takes
            libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
