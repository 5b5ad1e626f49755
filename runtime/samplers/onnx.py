"""ONNX Runtime as a sampler: one of the bundle's graphs on the CPU.

Lattice and noise are integers held in float32, added in the engine's own input; scaling and clamping are the graph's
first nodes. There are two inputs, allocated once a frame size: a thread draws the noise of the next batch into one
while the engine reads the other. Every call has the same batch shape: a remainder is padded with the noise of the next
samples, whose scores are ignored.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bundle import GRAPHS, Bundle
from ..errors import BundleError, DependencyError, ModelError, ParameterError
from ..frames import Lattice
from ..noise import draw, table_for
from ..vnni import EXACT_PRODUCTS, exact_products
from .refusals import check_size, closed, failed, first_line

BATCH = 4
"""Pictures a call where the graph leaves it open: large enough to amortise the call, small enough for the cache."""


PRECISIONS = ("fp32", "int8")
"""What runs here. ONNX Runtime has no fp16 kernels for CPUs: it would run that graph in fp32, another function."""


class OnnxSampler:
    """A session on the graph of one precision of a bundle. ``threads``: CPU threads of the engine, None for all cores.

    It may be called from several threads: they take turns, as there is one engine.
    """

    def __init__(self, bundle: Bundle, *, threads: int | None = None, precision: str = "fp32") -> None:
        graph = _graph(bundle, precision)
        try:
            import onnxruntime
        except ImportError:
            raise DependencyError("ONNX Runtime is not installed: pip install 'stochastic-biqa[cpu]'") from None
        contract = bundle.manifest.input
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or 0
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
        self._contract = contract
        self._batch = contract.batch or BATCH
        self._slots = np.empty((2, 0, 3, 0, 0), np.float32)
        self._drawer = ThreadPoolExecutor(1, "biqa-noise")
        self.engine: Mapping[str, Any] = {
            "device": "cpu",
            "provider": session.get_providers()[0],
            "precision": precision,
            "version": f"onnxruntime {onnxruntime.__version__}",
            "batch": self._batch,
        }

    def scores(self, lattice: Lattice, key: bytes, start: int, count: int) -> NDArray[np.float32]:
        table = table_for(self.sigma, lattice)
        scores = np.empty(count, np.float32)
        with self._lock:
            clean = self._prepare(lattice)
            ahead = self._drawer.submit(draw, table, key, start, self._slots[0], clean)
            try:
                for batch, done in enumerate(range(0, count, self._batch)):
                    ahead.result()
                    if done + self._batch < count:
                        slot = self._slots[(batch + 1) % 2]
                        ahead = self._drawer.submit(draw, table, key, start + done + self._batch, slot, clean)
                    scores[done : done + self._batch] = self._run(self._slots[batch % 2], lattice)[: count - done]
            finally:
                wait([ahead])  # whatever failed, nobody writes into a slot any more
        return scores

    def clean_score(self, lattice: Lattice) -> float:
        """f(x), the score of the frame itself: what the same network reports without noise. It certifies nothing."""
        with self._lock:
            clean = self._prepare(lattice)
            self._slots[0][:] = clean
            return float(self._run(self._slots[0], lattice)[0])

    def _prepare(self, lattice: Lattice) -> NDArray[np.float32]:
        """The lattice in float32, with two engine inputs of its size allocated."""
        if self._session is None:
            raise closed(self.name)
        check_size(lattice, self._contract, self.name)
        shape = (2, self._batch, *lattice.values.shape)
        if self._slots.shape != shape:
            self._slots = np.empty(shape, np.float32)
        return lattice.values.astype(np.float32)

    def _run(self, noisy: NDArray[np.float32], lattice: Lattice) -> NDArray[np.float32]:
        """Scores of a whole batch, one of the engine's inputs."""
        unit = np.array([1 / lattice.steps], np.float32)
        try:
            (values,) = self._session.run(None, {"lattice": noisy, "unit": unit})
        except Exception as error:  # ONNX Runtime has no common base for its errors
            raise failed(self.name, lattice, error) from None
        if values.shape != (self._batch,):
            raise ModelError(f"{self.name} returned shape {values.shape} for a batch of {self._batch}")
        scores: NDArray[np.float32] = values
        return scores

    def close(self) -> None:
        """Drop the session and the inputs, after the call that is running; again: nothing."""
        with self._lock:
            self._session = None
            self._slots = np.empty((2, 0, 3, 0, 0), np.float32)
            self._drawer.shutdown()


def _graph(bundle: Bundle, precision: str) -> str:
    """The file of a precision that runs here. Raises ParameterError, or BundleError where the bundle lacks it."""
    if precision not in PRECISIONS:
        gpu = ": fp16 is for device 'cuda'" if precision == "fp16" else ""
        raise ParameterError(f"precision on the CPU is one of {', '.join(PRECISIONS)}, not {precision!r}{gpu}")
    graph = GRAPHS[precision]
    if graph not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path} has no {graph}: build it again with --{precision} added to its "
            "`python -m export build …`, or take fp32"
        )
    return graph
