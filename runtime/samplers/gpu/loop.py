"""The device loop: lattice + key → scores, with the noise of one batch made while the engine scores the one before.

    noise stream     N0 N1     N2    N3 …     Nj: noise of batch j into input j mod 2, once the engine has read it
    engine stream       E0 G0  E1 G1  E2 G2   Ej: the engine;  Gj: its scores to their place among the frame's

The streams meet in two events an input: *filled* (Nj before Ej) and *read* (Ej before Nj+2). The host enqueues all of
it, Nj+1 before Ej, waits once, and has got ``count`` floats. The lattice is uploaded once a frame, from pinned memory,
or summed on the device where the frame is there already, read where it lies. Everything is allocated when a frame size
comes for the first time, and kept until another comes.

Of a bundle of tiles Nj is the cut of one batch of tiles (:mod:`runtime.frames.tiles`), and before the first batch of a
sample, or of a few samples whose tiles fill one batch, their noise.

A device is reached through two narrow protocols: ``Device`` (memory, streams, kernels: ``pycuda.py``) and
``Engine`` (the network: ``tensorrt.py`` and ``onnx_cuda.py``). The tests put recording ones in their place.
"""

from __future__ import annotations

import math
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...bundle.store import Bundle
from ...errors import BiqaError, FrameError, ModelError
from ...frames.lattice import DeviceFrame, Lattice
from ...frames.tiles import Tiling, tiling
from ...noise.draw import key_words
from ...noise.table import NoiseTable, table_for
from ..checks import check_size, closed, failed, not_fetched
from .kernels import lattice_grid, noise_grid, scores_grid, tiles_grid
from .kernels.table import DeviceTable, device_table

SLOTS = 2
"""Inputs of the engine: one is filled while the other is read."""


class Device(Protocol):
    """Memory, streams, events and kernels of one GPU. Streams and events are opaque; addresses are integers.

    Everything but ``current`` and ``close`` is called within ``current()``, which makes the GPU's context the calling
    thread's. Errors are the device's own.
    """

    noise_stream: Any
    engine_stream: Any

    def current(self) -> AbstractContextManager[object]: ...

    def allocate(self, size: int) -> int:
        """The address of ``size`` bytes of device memory, aligned to 16 bytes or more."""
        ...

    def allocate_pinned(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        """Page-locked host memory: copies from and to it run beside the host."""
        ...

    def free(self, memory: int | NDArray[Any]) -> None: ...

    def event(self) -> Any: ...

    def upload(self, address: int, values: NDArray[Any], stream: Any) -> None:
        """Enqueue a copy to the device. Pinned ``values`` stay as they are until the stream is through; others are
        read before it returns."""
        ...

    def download(self, values: NDArray[Any], address: int, stream: Any) -> None: ...

    def download_rows(self, rows: NDArray[Any], address: int, pitch: int, stream: Any) -> None:
        """Enqueue a copy of rows that lie ``pitch`` bytes apart on the device to contiguous ``rows``."""
        ...

    def reads(self, address: int) -> bool:
        """Whether kernels of the context may read memory of others at this address."""
        ...

    def launch(self, kernel: str, grid: tuple[int, int], arguments: Sequence[Any], stream: Any) -> None:
        """Enqueue one of ``kernels.KERNELS``."""
        ...

    def resident(self, kernel: str) -> int:
        """How many blocks of a kernel the GPU holds at a time."""
        ...

    def record(self, event: Any, stream: Any) -> None: ...

    def wait(self, stream: Any, event: Any) -> None:
        """Let what is enqueued from now on wait, on the device, for the event's last recording; none is no wait."""
        ...

    def synchronize(self, stream: Any) -> None: ...

    def synchronize_all(self) -> None:
        """Wait for all that is enqueued in the context, by whomever."""
        ...

    def close(self) -> None: ...


class Engine(Protocol):
    """The network on the device. ``batch``: noisy copies a run. ``record``: provider and version, for the record."""

    batch: int
    record: Mapping[str, Any]

    def check_size(self, height: int, width: int) -> None:
        """Raises DeviceError for a size that it was not compiled for."""
        ...

    def bind(self, height: int, width: int, inputs: Sequence[int], unit: int, score: int) -> None:
        """Take frames of this size from now on: ``lattice`` from the address of a slot in ``inputs``."""
        ...

    def run(self, slot: int, stream: Any) -> None:
        """Enqueue one run on the batch in a slot."""
        ...

    def close(self) -> None: ...


class _Memory:
    """What is allocated on a device, noted at once, so that nothing is lost whatever fails."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._held: list[int | NDArray[Any]] = []

    def device(self, size: int) -> int:
        """The address of ``size`` bytes."""
        self._held.append(address := self._device.allocate(size))
        return address

    def pinned(self, count: int, dtype: DTypeLike) -> NDArray[Any]:
        self._held.append(values := self._device.allocate_pinned(count, dtype))
        return values

    def free(self) -> None:
        """Free all of it. What a failed device refuses is passed over: its context is lost, and the memory with it."""
        while self._held:
            with suppress(Exception):
                self._device.free(self._held.pop())


@dataclass(frozen=True)
class _Tiles:
    """What there is for the tiles of a frame size.

    ``group``: samples whose noise is made at once, as many as fill a batch of tiles, or one. ``noisy``:
    float32[group, 3hw]. ``row_edges``, ``column_edges``: those of ``tiling``, int32.
    """

    tiling: Tiling
    group: int
    noisy: int
    row_edges: int
    column_edges: int


@dataclass(frozen=True)
class _Frame:
    """What there is for a frame size: the lattice int32[3hw], its pinned twin, the ends of the engine; and tiles."""

    shape: tuple[int, ...]
    lattice: int
    pinned: NDArray[np.int32]
    inputs: tuple[int, ...]
    unit: int
    score: int
    tiles: _Tiles | None


@dataclass(frozen=True)
class _Run:
    """One run of the engine: samples from ``start`` on, and of tiles those from ``tile`` on among the group's.

    Its first ``wanted`` scores go to ``offset`` … of the call's.
    """

    start: int
    tile: int
    wanted: int
    offset: int


class GpuSampler:
    """A bundle's graph on a GPU. ``precision``: of the graph, whose SHA-256 is ``digest``. ``details``: for the record.

    It owns ``device`` and ``engine``. Several threads may call it: they take turns. A ``Lattice``, and the frame in
    device memory that it may name, are taken as unchanged for as long as it is the same object; neither is kept. A call
    that fails releases all memory; the next one allocates it again.
    """

    def __init__(
        self, bundle: Bundle, precision: str, device: Device, engine: Engine, details: Mapping[str, Any] | None = None
    ) -> None:
        manifest = bundle.manifest
        self.sigma = manifest.input.sigma
        self.downscale = manifest.input.downscale
        self.name = manifest.name
        self.digest = bundle.graph_digest(precision)
        self.higher_is_better = manifest.score.higher_is_better
        self.score_range = manifest.score.range
        self.calibration = manifest.calibration
        self.tile = manifest.input.tile
        self.aggregate = manifest.score.of_tiles
        self.engine: Mapping[str, Any] = {
            "device": "cuda",
            **engine.record,
            "precision": precision,
            "batch": engine.batch,
            **(details or {}),
        }
        self._contract = manifest.input
        self._device: Device | None = device  # None once closed
        self._engine = engine
        self._batch = engine.batch
        self._lock = threading.Lock()
        self._frame_memory, self._table_memory, self._score_memory = (_Memory(device) for _ in range(3))
        self._forget()
        with device.current():
            self._filled = [device.event() for _ in range(SLOTS)]
            self._read = [device.event() for _ in range(SLOTS)]
            self._resident = device.resident("noise_f32")

    def _forget(self) -> None:
        """Nothing is on the device: no frame size, no lattice, no noise table, no room for scores."""
        self._frame: _Frame | None = None
        self._lattice: weakref.ref[Lattice] | None = None
        self._table: NoiseTable | None = None
        self._law: tuple[int, ...] = ()
        self._pinned_scores = np.empty(0, np.float32)
        self._scores_at = 0

    @property
    def parts(self) -> tuple[Device, Engine]:
        """What it is made of, for measuring each by itself while nothing is scored. Raises ModelError once closed."""
        if self._device is None:
            raise closed(self.name)
        return self._device, self._engine

    def scores(self, lattice: Lattice, key: bytes, start: int, count: int) -> NDArray[np.float32]:
        table = table_for(self.sigma, lattice)
        if self.tile is None:
            check_size(lattice, self._contract, self.name)
            self._engine.check_size(lattice.height, lattice.width)
            row: tuple[int, ...] = ()
        else:
            row = (tiling(lattice.height, lattice.width, self.tile).count,)
            self._engine.check_size(self.tile, self.tile)
        first, second = (int(word) for word in key_words(key))
        with self._turn(lambda error: failed(self.name, lattice, error)) as device:
            frame = self._prepare(device, lattice, table, count * math.prod(row))
            return self._draw(device, frame, (first, second), start, count).reshape(count, *row)

    def host_copy(self, frame: DeviceFrame) -> NDArray[Any]:
        """The pixels, after all work of the CUDA context, on whichever stream they were written."""
        pixels = np.empty(frame.shape, frame.dtype)
        with self._turn(lambda error: not_fetched(self.name, frame, error)) as device:
            if not device.reads(frame.address):
                raise FrameError(
                    f"the frame is in the memory of another GPU or CUDA context than {self.name}: keep both in the "
                    "primary context of GPU 0 (PyCUDA: import pycuda.autoprimaryctx), hand over yours with "
                    "open_tensorrt(context=…), or pass a host copy"
                )
            device.synchronize_all()
            device.download_rows(pixels, frame.address, frame.pitch, device.noise_stream)
            device.synchronize(device.noise_stream)
        return pixels

    @contextmanager
    def _turn(self, said: Callable[[Exception], ModelError]) -> Iterator[Device]:
        """The device, in its context, for one thread at a time. ``said``: the error to raise for one of the device."""
        with self._lock:
            device = self._device
            if device is None:
                raise closed(self.name)
            try:
                with device.current():
                    try:
                        yield device
                    except BaseException:
                        self._release(device)
                        raise
            except BiqaError:
                raise
            except Exception as error:  # the device's, TensorRT's and ONNX Runtime's have no common base
                raise said(error) from error

    def _draw(self, device: Device, frame: _Frame, key: tuple[int, int], start: int, count: int) -> NDArray[np.float32]:
        """Enqueue every run of one call, and wait for their scores."""
        runs = self._runs(frame, start, count)
        for index, run in enumerate(runs):
            if index == 0:
                self._fill(device, frame, key, run, 0)
            if index + 1 < len(runs):
                self._fill(device, frame, key, runs[index + 1], (index + 1) % SLOTS)
            slot = index % SLOTS
            device.wait(device.engine_stream, self._filled[slot])
            self._engine.run(slot, device.engine_stream)
            device.record(self._read[slot], device.engine_stream)
            arguments = (frame.score, run.wanted, run.offset, self._scores_at)
            device.launch("gather_scores", scores_grid(run.wanted), arguments, device.engine_stream)
        total = sum(run.wanted for run in runs)
        device.download(self._pinned_scores[:total], self._scores_at, device.engine_stream)
        device.synchronize(device.engine_stream)
        return self._pinned_scores[:total].copy()

    def _runs(self, frame: _Frame, start: int, count: int) -> list[_Run]:
        """The runs of one call, in order."""
        batch = self._batch
        if frame.tiles is None:
            return [_Run(start + first, 0, min(batch, count - first), first) for first in range(0, count, batch)]
        each, group = frame.tiles.tiling.count, frame.tiles.group
        return [
            _Run(start + first, tile, min(batch, each * min(group, count - first) - tile), first * each + tile)
            for first in range(0, count, group)
            for tile in range(0, each * min(group, count - first), batch)
        ]

    def _fill(self, device: Device, frame: _Frame, key: tuple[int, int], run: _Run, slot: int) -> None:
        """Enqueue lattice plus noise of a run, padding included, into an input."""
        device.wait(device.noise_stream, self._read[slot])
        tiles = frame.tiles
        if tiles is None:
            self._noise(device, frame, key, run.start, self._batch, frame.inputs[slot])
        else:
            if run.tile == 0:
                self._noise(device, frame, key, run.start, tiles.group, tiles.noisy)
            cut, (_, height, width) = tiles.tiling, frame.shape
            arguments = (
                *(tiles.noisy, tiles.group, height, width, tiles.row_edges, cut.rows, tiles.column_edges, cut.columns),
                *(cut.tile, run.tile, self._batch, frame.inputs[slot]),
            )
            device.launch("cut_tiles", tiles_grid(cut.tile, self._batch), arguments, device.noise_stream)
        device.record(self._filled[slot], device.noise_stream)

    def _noise(self, device: Device, frame: _Frame, key: tuple[int, int], start: int, count: int, to: int) -> None:
        """Enqueue lattice plus noise of samples start … start+count−1."""
        size = frame.pinned.size
        arguments = (frame.lattice, size, count, *self._law, *key, start, to)
        device.launch("noise_f32", noise_grid(size, count, self._resident), arguments, device.noise_stream)

    def _prepare(self, device: Device, lattice: Lattice, table: NoiseTable, count: int) -> _Frame:
        """Bring frame, unit and noise table to the device, with room for them and ``count`` scores where there is none.

        Nothing is running: every call ends with a wait, or releases what it used.
        """
        frame = self._frame
        if frame is None or frame.shape != lattice.values.shape:
            self._frame = self._lattice = None
            self._frame = frame = self._allocate(device, lattice)
            height, width = (self.tile, self.tile) if self.tile else (lattice.height, lattice.width)
            self._engine.bind(height, width, frame.inputs, frame.unit, frame.score)
        if self._table is not table:
            self._table = None
            self._law = self._upload_table(device, device_table(table))
            self._table = table
        if len(self._pinned_scores) < count:
            self._pinned_scores = np.empty(0, np.float32)
            self._score_memory.free()
            self._scores_at = self._score_memory.device(4 * count)
            self._pinned_scores = self._score_memory.pinned(count, np.float32)
        if self._lattice is None or self._lattice() is not lattice:
            self._lattice = None
            if lattice.device is None:
                frame.pinned[:] = lattice.values.reshape(-1)
                device.upload(frame.lattice, frame.pinned, device.noise_stream)
            else:
                _sum_boxes(device, lattice, lattice.device, frame.lattice)
            device.upload(frame.unit, np.array([1 / lattice.steps], np.float32), device.noise_stream)
            self._lattice = weakref.ref(lattice)
        return frame

    def _allocate(self, device: Device, lattice: Lattice) -> _Frame:
        memory, size = self._frame_memory, lattice.values.size
        memory.free()
        each = size if self.tile is None else 3 * self.tile * self.tile
        inputs = tuple(memory.device(4 * each * self._batch) for _ in range(SLOTS))
        pinned = memory.pinned(size, np.int32)
        return _Frame(
            lattice.values.shape,
            memory.device(4 * size),
            pinned,
            inputs,
            memory.device(4),
            memory.device(4 * self._batch),
            self._allocate_tiles(device, lattice),
        )

    def _allocate_tiles(self, device: Device, lattice: Lattice) -> _Tiles | None:
        if self.tile is None:
            return None
        cut = tiling(lattice.height, lattice.width, self.tile)
        memory, group = self._frame_memory, max(1, self._batch // cut.count)
        places = []
        for edges in (cut.row_edges, cut.column_edges):
            values = np.array(edges, np.int32)
            places.append(memory.device(values.nbytes))
            device.upload(places[-1], values, device.noise_stream)
        return _Tiles(cut, group, memory.device(4 * lattice.values.size * group), *places)

    def _upload_table(self, device: Device, table: DeviceTable) -> tuple[int, ...]:
        """The kernel's arguments for a table that is now on the device."""
        self._table_memory.free()
        places = []
        for array in (table.jumps, table.ranks, table.upper):
            places.append(self._table_memory.device(array.nbytes))
            device.upload(places[-1], array, device.noise_stream)
        return table.arguments(*places)

    def _release(self, device: Device) -> None:
        """Free all memory, once nothing runs that could use it."""
        for stream in (device.noise_stream, device.engine_stream):
            with suppress(Exception):
                device.synchronize(stream)
        self._forget()
        for memory in (self._frame_memory, self._table_memory, self._score_memory):
            memory.free()

    def close(self) -> None:
        """Release the engine and all memory, after the call that is running; again: nothing."""
        with self._lock:
            device, self._device = self._device, None
            if device is None:
                return
            try:
                with device.current():
                    self._release(device)
                    self._filled, self._read = [], []
                    self._engine.close()
            finally:
                device.close()


def _sum_boxes(device: Device, lattice: Lattice, frame: DeviceFrame, to: int) -> None:
    """Enqueue ``frames.lattice`` of a frame where it lies."""
    kernel = "lattice_u8" if frame.dtype.itemsize == 1 else "lattice_u16"
    stride = frame.pitch // frame.dtype.itemsize
    arguments = (frame.address, stride, lattice.downscale, lattice.height, lattice.width, to)
    device.launch(kernel, lattice_grid(lattice.height, lattice.width), arguments, device.noise_stream)
