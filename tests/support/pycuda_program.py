"""What test_pycuda.py runs in a process of its own: PyCUDA on a libcuda of host memory. Arguments: libcuda, folder."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest

from benchmarks import gpu_noise
from runtime import Certifier, FrameError, ModelError
from runtime.bundle.manifest import MODEL
from runtime.samplers.gpu.loop import GpuSampler
from runtime.samplers.gpu.pycuda import PyCudaDevice, load_pycuda
from tests.support.gpu_bundle import gpu_bundle
from tests.support.gpu_fake import device_array

sys.setdlopenflags(os.RTLD_LAZY)  # the stand-in has only the calls that are made
CUDA = ctypes.CDLL(sys.argv[1], os.RTLD_NOW | os.RTLD_GLOBAL)  # PyCUDA asks for a libcuda.so.1, and finds this one
BUNDLE = gpu_bundle(Path(sys.argv[2]) / "b")
BATCH = 4


class Engine:
    """The bundle's graph in ONNX Runtime on the CPU, run at once: so does everything of the stand-in."""

    def __init__(self) -> None:
        self.batch, self.record = BATCH, {"provider": "fake", "version": "fake 1"}
        self._session = onnxruntime.InferenceSession(BUNDLE.read(MODEL), providers=["CPUExecutionProvider"])
        self.fails = False

    def check_size(self, height: int, width: int) -> None:
        """Any."""

    def bind(self, height: int, width: int, inputs: list[int], unit: int, score: int) -> None:
        self._inputs = [device_array(address, (BATCH, 3, height, width)) for address in inputs]
        self._unit, self._score = device_array(unit, (1,)), device_array(score, (BATCH,))

    def run(self, slot: int, stream: SimpleNamespace) -> None:
        assert stream.handle
        if self.fails:
            raise RuntimeError("out of luck")
        (self._score[:],) = self._session.run(None, {"lattice": self._inputs[slot], "unit": self._unit})

    def close(self) -> None:
        """Nothing is held."""


def state() -> tuple[int, int]:
    return CUDA.standin_memory(), CUDA.standin_contexts()


def same(sampler: GpuSampler, frame: np.ndarray, on_device: Any = None, bit_depth: int | None = None) -> None:
    """The certificate is the CPU's, all but the engine. ``on_device``: the same frame there, to be read there."""
    with Certifier(BUNDLE.path, public_seed=1) as cpu, Certifier(sampler=sampler, public_seed=1, samples=101) as gpu:
        theirs = cpu.certify(frame, bit_depth=bit_depth).to_dict()
        ours = gpu.certify(frame if on_device is None else on_device, bit_depth=bit_depth).to_dict()
    assert theirs.pop("engine") != ours.pop("engine")
    assert theirs == ours


def frames_on_the_device(sampler: GpuSampler, frame: np.ndarray) -> None:
    """PyCUDA's own arrays, whole and as a view with padded rows, in 8 and 10 bits; memory of another context."""
    from pycuda import gpuarray

    same(sampler, frame)
    before = state()
    for pixels, bit_depth in ((frame, 8), (frame.astype(np.uint16) * 4, 10)):
        array = gpuarray.to_gpu(pixels)
        same(sampler, pixels, array, bit_depth)
        same(sampler, pixels[:, :41], array[:, :41], bit_depth)
        assert state() == (before[0] + 1, 1)
        array.gpudata.free()
    assert state() == before
    other, address = ctypes.c_int(), ctypes.c_uint64()
    CUDA.cuCtxPushCurrent_v2(ctypes.byref(other))
    CUDA.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(frame.nbytes))
    CUDA.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
    interface = {"shape": frame.shape, "typestr": "|u1", "data": (address.value, False), "version": 3}
    with pytest.raises(FrameError, match="memory of another GPU or CUDA context"):
        Certifier(sampler=sampler).certify(SimpleNamespace(__cuda_array_interface__=interface))
    CUDA.cuMemFree_v2(address)


def measured(sampler: GpuSampler) -> None:
    """The benchmark of the noise, on events with a time: a millisecond a launch or copy, none for the engine here."""
    certifier = Certifier(sampler=sampler, samples=101)
    certifier.certify(np.zeros((32, 48, 3), np.uint8))
    before = state()
    made = gpu_noise.case(certifier, gpu_noise.CudaCard(), (32, 48), 2)
    assert made["launch_ms"] == {"noise": 1, "copy": 1, "engine": 0}
    assert made["noise_gb_s"] == made["copy_gb_s"] == 4 * 3 * 16 * 24 * (BATCH + 1) / 1e6
    assert gpu_noise.memory(certifier, gpu_noise.CudaCard(), 3)["device_bytes"] == 0
    assert state() == before


def main() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    device, engine = PyCudaDevice(BUNDLE), Engine()
    assert device.resident("noise_f32") == 2 * 3
    sampler = GpuSampler(BUNDLE, "fp32", device, engine)
    for picture in (frame, frame[:30], frame):
        same(sampler, picture)
    allocated = state()
    assert allocated[1] == 0
    other = threading.Thread(target=same, args=(sampler, frame[::-1]))
    other.start()
    other.join()
    assert state() == allocated
    engine.fails = True
    with pytest.raises(ModelError, match="tiny failed on a 35×25 input: out of luck"):
        same(sampler, frame)
    assert state() == (0, 0)
    engine.fails = False
    same(sampler, frame)
    measured(sampler)
    sampler.close()
    assert state() == (0, 0)

    cuda = load_pycuda()  # a host program with a context and a stream of its own
    context = cuda.Device(0).retain_primary_context()
    context.push()
    stream = cuda.Stream(1)
    device = PyCudaDevice(BUNDLE, context=context, stream=stream)
    assert device.engine_stream is stream
    sampler = GpuSampler(BUNDLE, "fp32", device, Engine())
    same(sampler, frame)
    frames_on_the_device(sampler, frame)
    sampler.close()
    assert state() == (0, 1)
    stream.synchronize()
    del stream, device, sampler
    context.detach()
    print("done")


if __name__ == "__main__":
    main()
