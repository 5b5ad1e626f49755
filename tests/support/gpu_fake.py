"""A GPU made of host memory: streams that run when they must, in an order of the test's choice, and kernels by g++.

Nothing runs when it is enqueued. A wait of the host runs its stream, and of the other one either all that its events
allow or no more than is needed. A missing wait between streams, a buffer used too early or a host copy changed too soon
therefore gives other scores, in one order or the other.
"""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnxruntime

from runtime.bundle.manifest import MODEL
from runtime.bundle.store import Bundle
from tests.support.kernel_host import Host, Output


@dataclass(eq=False)
class Event:
    """``recorded``: how often it was enqueued to be recorded; ``reached``: how often it was."""

    recorded: int = 0
    reached: int = 0


@dataclass(eq=False)
class Stream:
    """``ready`` says whether a step may run yet."""

    name: str
    steps: deque[tuple[Callable[[], bool], Callable[[], None]]] = field(default_factory=deque)

    def enqueue(self, run: Callable[[], None], ready: Callable[[], bool] = lambda: True) -> None:
        self.steps.append((ready, run))

    def step(self) -> bool:
        """Run the next step; False where there is none, or it has to wait."""
        if not self.steps or not self.steps[0][0]():
            return False
        self.steps.popleft()[1]()
        return True


class FakeDevice:
    """``eager``: the other stream runs as far as it may at every wait. ``fail_at``: number of a call that raises.

    ``readable``: addresses of others' memory in this context. ``callers_stream``: work of others, in no hurry to run.
    """

    def __init__(self, host: Host, *, eager: bool) -> None:
        self.host, self.eager = host, eager
        self.noise_stream, self.engine_stream = Stream("noise"), Stream("engine")
        self.callers_stream = Stream("callers")
        self.readable: set[int] = set()
        self.live: dict[int, Output] = {}
        self.log: list[str] = []
        self.allocations = 0
        self.calls, self.fail_at = 0, -1
        self.depth, self.closed = 0, False

    def _call(self, name: str) -> None:
        assert self.depth == 1
        self.calls += 1
        self.log.append(name)
        if self.calls == self.fail_at:
            raise RuntimeError(f"{name} failed: out of luck\nand more")

    @contextmanager
    def current(self) -> Iterator[None]:
        assert not self.closed
        self.depth += 1
        try:
            yield
        finally:
            self.depth -= 1

    def allocate(self, size: int) -> int:
        return self._allocate("allocate", (size,), np.uint8).ctypes.data

    def allocate_pinned(self, count: int, dtype: Any) -> np.ndarray:
        return self._allocate("pin", (count,), dtype)

    def _allocate(self, name: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        self._call(name)
        self.allocations += 1
        assert shape[0] > 0
        memory = Output(shape, dtype)
        self.live[memory.array.ctypes.data] = memory
        return memory.array

    def free(self, memory: int | np.ndarray) -> None:
        """Raises KeyError for what is not allocated, or not any more. What is enqueued on it must have run."""
        assert self.pending() == 0
        gone = self.live.pop(memory if isinstance(memory, int) else memory.ctypes.data)
        assert gone.intact()
        gone.array.view(np.uint8)[:] = 0x5A

    def pending(self) -> int:
        return len(self.noise_stream.steps) + len(self.engine_stream.steps)

    def event(self) -> Event:
        return Event()

    def upload(self, address: int, values: np.ndarray, stream: Stream) -> None:
        self._call(f"upload {values.dtype}")
        # Pageable memory is read at once, pinned memory when the copy runs.
        source = values if values.ctypes.data in self.live else values.copy()
        stream.enqueue(lambda: self._copy(address, source.ctypes.data, source.nbytes))

    def download(self, values: np.ndarray, address: int, stream: Stream) -> None:
        self._call("download")
        stream.enqueue(lambda: self._copy(values.ctypes.data, address, values.nbytes))

    def download_rows(self, rows: np.ndarray, address: int, pitch: int, stream: Stream) -> None:
        self._call("download rows")
        assert address in self.readable
        for index, row in enumerate(rows):
            stream.enqueue(lambda to=row, at=address + index * pitch: ctypes.memmove(to.ctypes.data, at, to.nbytes))

    def reads(self, address: int) -> bool:
        self._call("reads")
        return address in self.readable

    def _copy(self, to: int, source: int, size: int) -> None:
        assert {to, source} & set(self.live)
        ctypes.memmove(to, source, size)

    def launch(self, kernel: str, grid: tuple[int, int], arguments: Sequence[Any], stream: Stream) -> None:
        self._call(kernel)
        stream.enqueue(lambda: self.host.launch(kernel, grid, *arguments))

    def resident(self, kernel: str) -> int:
        return 3

    def record(self, event: Event, stream: Stream) -> None:
        self._call(f"record on {stream.name}")
        event.recorded += 1
        number = event.recorded

        def reach() -> None:
            event.reached = number

        stream.enqueue(reach)

    def wait(self, stream: Stream, event: Event) -> None:
        self._call(f"{stream.name} waits")
        number = event.recorded
        stream.enqueue(lambda: None, lambda: event.reached >= number)

    def synchronize(self, stream: Stream) -> None:
        self._call("the host waits")
        other = self.noise_stream if stream is self.engine_stream else self.engine_stream
        while stream.steps:
            while self.eager and other.step():
                pass
            assert stream.step() or other.step(), "both streams wait for ever"

    def synchronize_all(self) -> None:
        self._call("the host waits for all")
        for stream in (self.callers_stream, self.noise_stream, self.engine_stream):
            while stream.step():
                pass
        assert self.pending() == 0

    def close(self) -> None:
        self.closed = True


class FakeEngine:
    """The bundle's own graph in ONNX Runtime on the CPU, enqueued on a fake stream."""

    def __init__(self, bundle: Bundle, device: FakeDevice, batch: int) -> None:
        self.batch = batch
        self.record = {"provider": "fake", "version": "fake 1"}
        self._session = onnxruntime.InferenceSession(bundle.read(MODEL), providers=["CPUExecutionProvider"])
        self._device = device
        self.closed = False
        self.sizes: list[tuple[int, int]] = []

    def check_size(self, height: int, width: int) -> None:
        self.sizes.append((height, width))

    def bind(self, height: int, width: int, inputs: Sequence[int], unit: int, score: int) -> None:
        self._device._call("bind")
        shape = (self.batch, 3, height, width)
        self._inputs = [device_array(address, shape) for address in inputs]
        self._unit, self._score = device_array(unit, (1,)), device_array(score, (self.batch,))

    def run(self, slot: int, stream: Stream) -> None:
        self._device._call("engine")

        def score() -> None:
            (self._score[:],) = self._session.run(None, {"lattice": self._inputs[slot], "unit": self._unit})

        stream.enqueue(score)

    def close(self) -> None:
        self.closed = True


def device_array(address: int, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    return np.ctypeslib.as_array((ctypes.c_float * size).from_address(address)).reshape(shape)
