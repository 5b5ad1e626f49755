"""PyCUDA as the device of the loop: it owns memory, streams, events and launches.

The context is the caller's where one is given, else the GPU's primary one, which ONNX Runtime, PyTorch and CuPy use as
well. It is current only while a call is running, so a host program's own context is left as it was.
"""

from __future__ import annotations

import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...bundle.store import Bundle
from ...errors import DependencyError, DeviceError
from ...install import pip_install
from ..checks import first_line
from .kernels import KERNELS, choose_file, sources_of
from .nvidia import readable

_NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING, which PyCUDA has no name for: no waiting for the legacy default stream
_SYSTEM_SHARED = 1024  # bytes a block that the driver keeps for itself, from compute capability 8.0


def install_advice() -> str:
    """How to get PyCUDA."""
    return f"{pip_install('tensorrt', 'pycuda')} (it is built on your machine: docs/gpu.md says what that takes)"


class PyCudaDevice:
    """GPU number 0 with the kernels of a bundle loaded. See ``gpu.Device``.

    ``context``, ``stream``: a ``pycuda.driver.Context`` and a ``Stream`` of it. The engine then runs on that stream,
    behind what is enqueued there. Raises DependencyError without PyCUDA, DeviceError where it fails, BundleError
    where the bundle has no kernels for this GPU.
    """

    def __init__(self, bundle: Bundle, *, context: Any = None, stream: Any = None) -> None:
        self._cuda = cuda = load_pycuda()
        self._memory: dict[int, Any] = {}
        try:
            cuda.init()
            self._context = _primary_context(cuda) if context is None else context
            with self.current():
                device = self._context.get_device()
                self._load(bundle, device)
                self.noise_stream = cuda.Stream(_NON_BLOCKING)
                self.engine_stream = cuda.Stream(_NON_BLOCKING) if stream is None else stream
        except cuda.Error as error:
            raise DeviceError(f"the GPU cannot be used: {first_line(error)}") from error

    def _load(self, bundle: Bundle, device: Any) -> None:
        """Load the kernels this GPU takes, and count how many of their blocks it holds."""
        files, capability = bundle.manifest.files, device.compute_capability()
        modules = {
            name: self._cuda.module_from_buffer(bundle.read(choose_file(files, name, capability)))
            for name in sources_of(bundle.manifest.input.tile)
        }
        self._functions = {
            name: modules[kernel.module].get_function(name).prepare(kernel.arguments)
            for name, kernel in KERNELS.items()
            if kernel.module in modules
        }
        self._resident = {name: self._blocks(device, name) for name in self._functions}

    def _blocks(self, device: Any, kernel: str) -> int:
        """Blocks of a kernel on the whole GPU by threads, registers and shared memory; its launch is right with any."""
        function, threads = self._functions[kernel], int(np.prod(KERNELS[kernel].block))
        attribute, limit = self._cuda.device_attribute, device.get_attribute
        each = min(
            limit(attribute.MAX_THREADS_PER_MULTIPROCESSOR) // threads,
            limit(attribute.MAX_REGISTERS_PER_MULTIPROCESSOR) // (max(1, function.num_regs) * threads),
            limit(attribute.MAX_SHARED_MEMORY_PER_MULTIPROCESSOR) // (function.shared_size_bytes + _SYSTEM_SHARED),
        )
        return int(max(1, each) * limit(attribute.MULTIPROCESSOR_COUNT))

    @contextmanager
    def current(self) -> Iterator[None]:
        self._context.push()
        try:
            yield
        finally:
            self._context.pop()

    def allocate(self, size: int) -> int:
        memory = self._cuda.mem_alloc(size)
        self._memory[int(memory)] = memory
        return int(memory)

    def allocate_pinned(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        values: NDArray[Any] = self._cuda.pagelocked_empty(count, dtype)
        return values

    def free(self, memory: int | NDArray[Any]) -> None:
        (self._memory.pop(memory) if isinstance(memory, int) else memory.base).free()  # type: ignore[union-attr]

    def event(self) -> Any:
        return self._cuda.Event(self._cuda.event_flags.DISABLE_TIMING)

    def upload(self, address: int, values: NDArray[Any], stream: Any) -> None:
        self._cuda.memcpy_htod_async(address, values, stream)

    def download(self, values: NDArray[Any], address: int, stream: Any) -> None:
        self._cuda.memcpy_dtoh_async(values, address, stream)

    def download_rows(self, rows: NDArray[Any], address: int, pitch: int, stream: Any) -> None:
        copy = self._cuda.Memcpy2D()
        copy.set_src_device(address)
        copy.set_dst_host(rows)
        copy.src_pitch, copy.dst_pitch = pitch, rows.strides[0]
        copy.width_in_bytes, copy.height = rows.strides[0], len(rows)
        copy(stream)

    def reads(self, address: int) -> bool:
        return readable(address)

    def launch(self, kernel: str, grid: tuple[int, int], arguments: Sequence[Any], stream: Any) -> None:
        self._functions[kernel].prepared_async_call(grid, KERNELS[kernel].block, stream, *arguments)

    def resident(self, kernel: str) -> int:
        return self._resident[kernel]

    def record(self, event: Any, stream: Any) -> None:
        event.record(stream)

    def wait(self, stream: Any, event: Any) -> None:
        stream.wait_for_event(event)

    def synchronize(self, stream: Any) -> None:
        stream.synchronize()

    def synchronize_all(self) -> None:
        self._cuda.Context.synchronize()

    def close(self) -> None:
        """Let go of streams and kernels; the context stays with whoever made it."""
        with self.current():
            self.noise_stream = self.engine_stream = None
            self._functions.clear()
            for memory in self._memory.values():
                memory.free()
            self._memory.clear()


def load_pycuda() -> Any:
    """``pycuda.driver``. Raises DependencyError with how to install it, or why it cannot be loaded."""
    try:
        import pycuda.driver
    except ImportError as error:
        raise DependencyError(f"PyCUDA cannot be used ({first_line(error)}): {install_advice()}") from None
    return pycuda.driver


@cache
def _primary_context(cuda: Any) -> Any:
    """The primary context of GPU 0, retained for as long as the process lives.

    PyCUDA's release leaves it current on the calling thread, a trap for whatever uses CUDA there afterwards; and left
    to its destructor, it would be released by the wrong call.
    """
    context = cuda.Device(0).retain_primary_context()
    atexit.register(context.detach)
    return context
