"""ONNX Runtime's CUDA provider as the engine of the device loop: the second GPU route, where no plan fits.

Its input is bound to the buffer that the noise kernel fills, and it runs on the loop's own stream, so nothing is copied
and nothing waits for the host. TF32 is off, or fp32 would be multiplied with fp16's significand; convolution algorithms
are chosen by rule and not by timing, so that the same GPU gives the same scores again.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...bundle.manifest import GRAPHS
from ...bundle.store import Bundle
from ...errors import BundleError, DependencyError, DeviceError
from ...install import pip_install
from ..checks import first_line
from .loop import GpuSampler
from .pycuda import PyCudaDevice

PROVIDER = "CUDAExecutionProvider"
BATCH = 8
"""Noisy copies a call where the graph leaves it open."""


def _install() -> str:
    return f"pip uninstall onnxruntime, then {pip_install('gpu')}"


def load_onnxruntime() -> Any:
    """``onnxruntime`` with the CUDA provider in it. Raises DependencyError with how to install it."""
    try:
        import onnxruntime
    except Exception as error:  # a broken installation fails in any way it likes
        raise DependencyError(f"onnxruntime-gpu cannot be used ({first_line(error)}): {_install()}") from None
    if PROVIDER not in onnxruntime.get_available_providers():
        raise DependencyError(f"the onnxruntime that is installed has no {PROVIDER}: {_install()}")
    return onnxruntime


class OnnxCudaEngine:
    """A session on one of a bundle's graphs. See ``gpu.Engine``. ``stream``: the one that every run is enqueued on.

    Raises DeviceError where the provider does not load: ONNX Runtime would go on with the CPU.
    """

    def __init__(self, onnxruntime: Any, bundle: Bundle, precision: str, stream: Any) -> None:
        graph = GRAPHS[precision]
        self.batch = bundle.manifest.input.batch or BATCH
        self.record: Mapping[str, Any] = {"provider": PROVIDER, "version": f"onnxruntime {onnxruntime.__version__}"}
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # errors arrive as exceptions; warnings would litter stderr
        options.use_deterministic_compute = True
        chosen = {
            "device_id": "0",
            "user_compute_stream": str(stream.handle),
            "use_tf32": "0",
            "cudnn_conv_algo_search": "HEURISTIC",
        }
        data = bundle.read_graph(precision)
        said = io.StringIO()
        with contextlib.redirect_stdout(said):  # it prints what it cannot find
            onnxruntime.preload_dlls()
        try:
            session = onnxruntime.InferenceSession(data, options, providers=[(PROVIDER, chosen)])
        except Exception as error:  # ONNX Runtime has no common base for its errors
            raise DeviceError(f"{bundle.path}: ONNX Runtime cannot run {graph} on CUDA: {first_line(error)}") from None
        if session.get_providers()[0] != PROVIDER:
            raise DeviceError(
                f"ONNX Runtime could not load its {PROVIDER} and would use {session.get_providers()[0]} instead; "
                "install CUDA and cuDNN: pip install 'onnxruntime-gpu[cuda,cudnn]'. "
                f"{' '.join(said.getvalue().split())}".strip()
            )
        inputs = sorted(i.name for i in session.get_inputs())
        if inputs != ["lattice", "unit"]:
            raise BundleError(f"{bundle.path}: {graph} takes {inputs}, not lattice and unit: build the bundle again")
        self._session: Any = session
        # The loop waits for its own stream; a wait after every run would keep the host from enqueuing the next noise.
        self._run_options = onnxruntime.RunOptions()
        self._run_options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        self._bindings: list[Any] = []

    def check_size(self, height: int, width: int) -> None:
        """Any size of the graph's."""

    def bind(self, height: int, width: int, inputs: Sequence[int], unit: int, score: int) -> None:
        self._bindings = []
        for address in inputs:
            binding = self._session.io_binding()
            binding.bind_input("lattice", "cuda", 0, np.float32, [self.batch, 3, height, width], address)
            binding.bind_input("unit", "cuda", 0, np.float32, [1], unit)
            binding.bind_output("score", "cuda", 0, np.float32, [self.batch], score)
            self._bindings.append(binding)

    def run(self, slot: int, stream: Any) -> None:
        self._session.run_with_iobinding(self._bindings[slot], self._run_options)

    def close(self) -> None:
        self._bindings, self._session = [], None


def open_onnx_cuda(bundle: Bundle, precision: str, details: dict[str, Any]) -> GpuSampler:
    """A sampler on the graph of a precision, in the GPU's primary context, the only one ONNX Runtime uses.

    ``details``: what else the record says. Raises DependencyError, DeviceError or BundleError, and then holds nothing.
    """
    onnxruntime = load_onnxruntime()
    device = PyCudaDevice(bundle)
    try:
        with device.current():
            engine = OnnxCudaEngine(onnxruntime, bundle, precision, device.engine_stream)
        return GpuSampler(bundle, precision, device, engine, details)
    except BaseException:
        device.close()
        raise
