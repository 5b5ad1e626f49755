"""What stands between the device loop and a GPU: how TensorRT, ONNX Runtime and PyCUDA are driven, call by call."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import DependencyError, DeviceError, ModelError
from runtime.bundle.manifest import MODEL
from runtime.bundle.plans import Target
from runtime.bundle.store import file_entry, write_bundle
from runtime.samplers.gpu import onnx_cuda, tensorrt
from runtime.samplers.gpu import pycuda as pycuda_driver
from runtime.samplers.gpu.kernels import KERNELS
from runtime.samplers.gpu.tensorrt_modules import load_flavour, make_logger
from tests.support.gpu_bundle import PLAN, VERSION, gpu_bundle
from tests.support.tiny import graph


class _Trt:
    """A TensorRT that notes what it is asked. ``refuse``: the name of a call that fails, with a word in the log."""

    __version__ = VERSION
    float32 = "fp32"

    class ILogger:
        ERROR = 1

    def __init__(self, *, rtx: bool, refuse: str = "", ends: tuple[str, ...] = ("lattice", "unit", "score")) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.refuse, self.ends = refuse, ends
        if rtx:
            self.DynamicShapesKernelSpecializationStrategy = SimpleNamespace(EAGER="eager", LAZY="lazy")

    def Runtime(self, logger: Any) -> Any:  # noqa: N802
        self.logger = logger
        self.runtime = SimpleNamespace(
            engine_host_code_allowed=False, deserialize_cuda_engine=lambda data: self._do("deserialize", data, self)
        )
        return self.runtime

    def _do(self, name: str, given: Any, result: Any = True) -> Any:
        self.calls.append((name, given))
        if name == self.refuse:
            self.logger.log(2, "a warning")
            self.logger.log(1, f"{name} went wrong")
            return None
        return result

    num_io_tensors = property(lambda self: len(self.ends))

    def get_tensor_name(self, index: int) -> str:
        return self.ends[index]

    def get_tensor_dtype(self, name: str) -> str:
        return "fp32"

    def create_runtime_config(self) -> Any:
        self.config = SimpleNamespace(dynamic_shapes_kernel_specialization_strategy="lazy")
        return self.config

    def create_execution_context(self, *config: Any) -> Any:
        return self._do("context", config, self)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.batch = shape[0]
        return bool(self._do("shape", (name, shape)))

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return (1,) if self.refuse == "scores" else (self.batch,)

    def set_tensor_address(self, name: str, address: int) -> bool:
        return bool(self._do("address", (name, address)))

    def execute_async_v3(self, handle: int) -> bool:
        return bool(self._do("execute", handle))


def _engine(trt: _Trt, path: Path, **key: Any) -> tensorrt.TensorRTEngine:
    bundle = gpu_bundle(path, "fp32", **key)
    return tensorrt.TensorRTEngine(trt, bundle, PLAN, Target("tensorrt-rtx", VERSION, "sm89", "GPU A"))


def test_names_are_those_of_tensorrt() -> None:
    """What the engine asks of TensorRT exists under that name, where one of them is installed."""
    try:
        trt = load_flavour("tensorrt-rtx")
    except DependencyError as error:
        pytest.skip(str(error))
    names = {
        trt.Runtime: ("engine_host_code_allowed", "deserialize_cuda_engine"),
        trt.ICudaEngine: ("num_io_tensors", "get_tensor_name", "get_tensor_dtype", "create_runtime_config",
                          "create_execution_context"),
        trt.IExecutionContext: ("set_input_shape", "set_tensor_address", "get_tensor_shape", "execute_async_v3"),
        trt.IRuntimeConfig: ("dynamic_shapes_kernel_specialization_strategy",),
        trt.DynamicShapesKernelSpecializationStrategy: ("EAGER",),
    }  # fmt: skip
    assert [name for kind, wanted in names.items() for name in wanted if not hasattr(kind, name)] == []
    logger = make_logger(trt)
    logger.log(trt.ILogger.WARNING, "a warning")
    logger.log(trt.ILogger.ERROR, "an error")
    assert logger.errors == ["an error"]


def test_names_are_those_of_onnx_runtime() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.use_deterministic_compute = True
    onnxruntime.RunOptions().add_run_config_entry("disable_synchronize_execution_providers", "1")
    session = onnxruntime.InferenceSession(graph(), options, providers=["CPUExecutionProvider"])
    assert callable(onnxruntime.preload_dlls)
    lattice, unit, score = np.ones((2, 3, 8, 8), np.float32), np.ones(1, np.float32), np.zeros(2, np.float32)
    binding = session.io_binding()
    binding.bind_input("lattice", "cpu", 0, np.float32, [2, 3, 8, 8], lattice.ctypes.data)
    binding.bind_input("unit", "cpu", 0, np.float32, [1], unit.ctypes.data)
    binding.bind_output("score", "cpu", 0, np.float32, [2], score.ctypes.data)
    session.run_with_iobinding(binding, onnxruntime.RunOptions())
    assert score.tolist() == [100, 100]


@pytest.mark.parametrize("rtx", [True, False])
def test_tensorrt_is_driven(tmp_path: Path, rtx: bool) -> None:
    trt = _Trt(rtx=rtx)
    engine = _engine(trt, tmp_path / "b")
    assert engine.batch == 8
    assert engine.record == {"provider": "tensorrt-rtx", "version": f"tensorrt-rtx {VERSION}", "plan": PLAN}
    engine.bind(30, 40, [1000, 2000], 3000, 4000)
    for slot in (0, 1):
        engine.run(slot, SimpleNamespace(handle=77))
    assert [call for call in trt.calls if call[0] != "context"] == [
        ("deserialize", b"plan fp32"), ("shape", ("lattice", (8, 3, 30, 40))), ("address", ("unit", 3000)),
        ("address", ("score", 4000)), ("address", ("lattice", 1000)), ("execute", 77),
        ("address", ("lattice", 2000)), ("execute", 77),
    ]  # fmt: skip
    assert trt.runtime.engine_host_code_allowed is False
    engine.close()


def test_rtx_kernels_are_made_before_the_first_run(tmp_path: Path) -> None:
    """In the background they would change the function that is certified between two samples."""
    trt = _Trt(rtx=True)
    _engine(trt, tmp_path / "b")
    assert ("context", (trt.config,)) in trt.calls
    assert trt.config.dynamic_shapes_kernel_specialization_strategy == "eager"


def test_a_version_compatible_plan_may_bring_its_runtime(tmp_path: Path) -> None:
    trt = _Trt(rtx=False)
    _engine(trt, tmp_path / "b", version_compatible=True)
    assert trt.runtime.engine_host_code_allowed is True


@pytest.mark.parametrize(
    ("refuse", "error", "said"),
    [
        ("deserialize", DeviceError, rf"tensorrt-rtx {VERSION} refuses {PLAN}: deserialize went wrong$"),
        ("context", DeviceError, r"cannot run engines/.*: context went wrong"),
        ("shape", ModelError, "cannot run this frame: shape went wrong"),
        ("address", ModelError, "cannot run this frame: address went wrong"),
        ("execute", ModelError, "cannot run this frame: execute went wrong"),
        ("scores", ModelError, r"scores of shape \(1,\) for a batch of 8"),
    ],
)
def test_what_tensorrt_refuses_is_said(tmp_path: Path, refuse: str, error: type[Exception], said: str) -> None:
    def run() -> None:
        engine = _engine(_Trt(rtx=True, refuse=refuse), tmp_path / "b")
        engine.bind(30, 40, [1000, 2000], 3000, 4000)
        engine.run(0, SimpleNamespace(handle=77))

    with pytest.raises(error, match=said):
        run()


def test_other_ends_and_sizes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"inputs and outputs \['lattice', 'score'\]"):
        _engine(_Trt(rtx=True, ends=("lattice", "score")), tmp_path / "a")
    engine = _engine(_Trt(rtx=True), tmp_path / "b")
    engine.check_size(1080, 1920)
    with pytest.raises(DeviceError, match=r"does not take 1921×1080: it takes 8×8 to 1920×1080, .* `biqa compile"):
        engine.check_size(1080, 1921)


def test_a_damaged_plan_does_not_reach_tensorrt(tmp_path: Path) -> None:
    bundle = gpu_bundle(tmp_path / "b", "fp32")
    (bundle.path / PLAN).write_bytes(b"PLAN fp32")
    trt = _Trt(rtx=True)
    with pytest.raises(ValueError, match="size or SHA-256 differs"):
        tensorrt.TensorRTEngine(trt, bundle, PLAN, Target("tensorrt-rtx", VERSION, "sm89"))
    assert trt.calls == []


class _Onnxruntime:
    """An onnxruntime that notes what it is asked; ``provider`` is the one its sessions end up with."""

    __version__ = "1.32.0"

    def __init__(self, provider: str) -> None:
        self.provider = provider
        self.SessionOptions = self.RunOptions = lambda: SimpleNamespace(
            add_run_config_entry=lambda key, value: self.said.append((key, value))
        )
        self.said: list[Any] = []

    def preload_dlls(self) -> None:
        print("Failed to load libcudnn.so.9")

    def InferenceSession(self, data: bytes, options: Any, providers: Any) -> Any:  # noqa: N802
        if data == graph(factor=0):
            raise RuntimeError("bad graph\nat length")
        self.options, self.asked = options, providers
        return SimpleNamespace(
            get_providers=lambda: [self.provider],
            get_inputs=lambda: [SimpleNamespace(name="unit"), SimpleNamespace(name="lattice")],
            io_binding=lambda: SimpleNamespace(
                bind_input=lambda *given: self.said.append(given), bind_output=lambda *given: self.said.append(given)
            ),
            run_with_iobinding=lambda binding, options: self.said.append("run"),
        )


def test_onnx_runtime_is_driven(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ort = _Onnxruntime("CUDAExecutionProvider")
    engine = onnx_cuda.OnnxCudaEngine(ort, gpu_bundle(tmp_path / "b"), "fp32", SimpleNamespace(handle=77))
    ((provider, options),) = ort.asked
    assert provider == "CUDAExecutionProvider"
    assert (options["user_compute_stream"], options["use_tf32"]) == ("77", "0")
    assert options["cudnn_conv_algo_search"] == "HEURISTIC"
    assert ort.options.use_deterministic_compute is True
    assert ort.said == [("disable_synchronize_execution_providers", "1")]
    engine.bind(30, 40, [1000, 2000], 3000, 4000)
    shape = [engine.batch, 3, 30, 40]
    assert ort.said[1:4] == [
        ("lattice", "cuda", 0, np.float32, shape, 1000), ("unit", "cuda", 0, np.float32, [1], 3000),
        ("score", "cuda", 0, np.float32, [engine.batch], 4000),
    ]  # fmt: skip
    assert ort.said[4] == ("lattice", "cuda", 0, np.float32, shape, 2000)
    engine.run(1, None)
    assert ort.said[-1] == "run"
    engine.close()
    assert capsys.readouterr().out == ""


def test_onnx_runtime_does_not_go_on_with_the_cpu(tmp_path: Path) -> None:
    stream, bundle = SimpleNamespace(handle=77), gpu_bundle(tmp_path / "b")
    with pytest.raises(DeviceError, match=r"would use CPUExecutionProvider instead; .*cudnn.*libcudnn\.so\.9"):
        onnx_cuda.OnnxCudaEngine(_Onnxruntime("CPUExecutionProvider"), bundle, "fp32", stream)
    harmless = graph(factor=0)
    manifest = replace(bundle.manifest, files={MODEL: file_entry(harmless)})
    broken = write_bundle(bundle.path, manifest, {MODEL: harmless})
    with pytest.raises(DeviceError, match=r"cannot run model.onnx on CUDA: bad graph$"):
        onnx_cuda.OnnxCudaEngine(_Onnxruntime("CUDAExecutionProvider"), broken, "fp32", stream)


def test_onnx_runtime_without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(DependencyError, match=r"has no CUDAExecutionProvider: pip uninstall onnxruntime"):
        onnx_cuda.load_onnxruntime()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(DependencyError, match="onnxruntime-gpu cannot be used"):
        onnx_cuda.load_onnxruntime()


class _PyCuda(ModuleType):
    """A ``pycuda.driver`` that notes what it is asked, with the names of version 2026.1 that are used and no others."""

    class Error(Exception):
        pass

    def __init__(self, *, broken: str = "") -> None:
        super().__init__("pycuda.driver")
        self.calls: list[tuple[Any, ...]] = []
        self.broken = broken
        self.device_attribute = SimpleNamespace(
            MAX_THREADS_PER_MULTIPROCESSOR=1536, MAX_REGISTERS_PER_MULTIPROCESSOR=65536,
            MAX_SHARED_MEMORY_PER_MULTIPROCESSOR=102400, MULTIPROCESSOR_COUNT=10,
        )  # fmt: skip
        self.event_flags = SimpleNamespace(DISABLE_TIMING=2)
        self.Context = SimpleNamespace(synchronize=lambda: self.calls.append(("wait for all",)))
        device = SimpleNamespace(compute_capability=lambda: (8, 9), get_attribute=lambda value: value)
        self.context = SimpleNamespace(
            push=lambda: self.calls.append(("push",)), pop=lambda: self.calls.append(("pop",)),
            get_device=lambda: device, detach=lambda: None,
        )  # fmt: skip

    def init(self) -> None:
        if self.broken == "init":
            raise self.Error("cuInit failed: no device\nand more")

    def Device(self, number: int) -> Any:  # noqa: N802
        assert number == 0
        return SimpleNamespace(retain_primary_context=lambda: self.context)

    def module_from_buffer(self, data: bytes) -> Any:
        return SimpleNamespace(get_function=lambda name: _Function(self, name, data))

    def Stream(self, flags: int) -> Any:  # noqa: N802
        assert flags == 1
        return SimpleNamespace(
            synchronize=lambda: None, wait_for_event=lambda event: self.calls.append(("wait", event))
        )

    def Event(self, flags: int) -> Any:  # noqa: N802
        assert flags == 2
        return SimpleNamespace(record=lambda stream: self.calls.append(("record", stream)))

    def mem_alloc(self, size: int) -> Any:
        return _Allocation(self, size)

    def pagelocked_empty(self, count: int, dtype: Any) -> Any:
        return SimpleNamespace(base=SimpleNamespace(free=lambda: self.calls.append(("unpin",))))

    def memcpy_htod_async(self, address: int, values: Any, stream: Any) -> None:
        self.calls.append(("up", address))

    def memcpy_dtoh_async(self, values: Any, address: int, stream: Any) -> None:
        self.calls.append(("down", address))

    def Memcpy2D(self) -> Any:  # noqa: N802
        return _Rows(self.calls)


class _Rows:
    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self.set_src_device = lambda address: calls.append(("rows", address))
        self.set_dst_host = lambda rows: calls.append(("to", rows.shape))
        self._calls = calls

    def __call__(self, stream: Any) -> None:
        self._calls.append((self.src_pitch, self.dst_pitch, self.width_in_bytes, self.height))  # type: ignore[attr-defined]


class _Function:
    num_regs, shared_size_bytes = 40, 30736

    def __init__(self, cuda: _PyCuda, name: str, data: bytes) -> None:
        self.cuda, self.name, self.data = cuda, name, data

    def prepare(self, arguments: str) -> _Function:
        assert arguments == KERNELS[self.name].arguments
        return self

    def prepared_async_call(self, grid: Any, block: Any, stream: Any, *arguments: Any) -> None:
        self.cuda.calls.append(("launch", self.name, self.data, grid, block, arguments))


class _Allocation:
    def __init__(self, cuda: _PyCuda, size: int) -> None:
        self.cuda, self.size = cuda, size

    def __int__(self) -> int:
        return 4096 + self.size

    def free(self) -> None:
        self.cuda.calls.append(("free", self.size))


@contextmanager
def _installed(monkeypatch: pytest.MonkeyPatch, cuda: _PyCuda) -> Iterator[None]:
    package = ModuleType("pycuda")
    package.driver = cuda  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pycuda", package)
    monkeypatch.setitem(sys.modules, "pycuda.driver", cuda)
    registered: list[Any] = []
    monkeypatch.setattr(pycuda_driver.atexit, "register", registered.append)
    pycuda_driver._primary_context.cache_clear()
    yield
    pycuda_driver._primary_context.cache_clear()


def test_pycuda_is_driven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda = _PyCuda()
    with _installed(monkeypatch, cuda):
        device = pycuda_driver.PyCudaDevice(gpu_bundle(tmp_path / "b"))
        assert cuda.calls == [("push",), ("pop",)]
        assert device.resident("noise_f32") == 30
        cuda.calls.clear()
        with device.current():
            address = device.allocate(64)
            device.upload(address, np.zeros(1), device.noise_stream)
            device.launch("gather_scores", (1, 1), (1, 2, 3, 4), device.engine_stream)
            event = device.event()
            device.record(event, device.noise_stream)
            device.wait(device.engine_stream, event)
            pinned = device.allocate_pinned(4, np.float32)
            device.download(pinned, address, device.engine_stream)
            device.free(pinned)
            device.free(address)
            device.allocate(128)
            device.synchronize_all()
            device.download_rows(np.empty((5, 7, 3), np.uint16), 8192, 64, device.noise_stream)
        device.close()
    assert [call for call in cuda.calls if call[0] not in ("record", "wait")] == [
        ("push",), ("up", 4160), ("launch", "gather_scores", b"cubin", (1, 1), (256, 1, 1), (1, 2, 3, 4)),
        ("down", 4160), ("unpin",), ("free", 64), ("wait for all",), ("rows", 8192), ("to", (5, 7, 3)), (64, 42, 42, 5),
        ("pop",), ("push",), ("free", 128), ("pop",),
    ]  # fmt: skip


def test_a_callers_context_and_stream(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda, theirs = _PyCuda(), _PyCuda()
    stream = SimpleNamespace(handle=5)
    with _installed(monkeypatch, cuda):
        device = pycuda_driver.PyCudaDevice(gpu_bundle(tmp_path / "b"), context=theirs.context, stream=stream)
    assert device.engine_stream is stream
    assert device.noise_stream is not stream
    assert theirs.calls == [("push",), ("pop",)]
    assert cuda.calls == []


def test_a_gpu_that_does_not_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with (
        _installed(monkeypatch, _PyCuda(broken="init")),
        pytest.raises(DeviceError, match=r"the GPU cannot be used: cuInit failed: no device$"),
    ):
        pycuda_driver.PyCudaDevice(gpu_bundle(tmp_path / "b"))
    monkeypatch.setitem(sys.modules, "pycuda.driver", None)
    monkeypatch.setitem(sys.modules, "pycuda", None)
    with pytest.raises(DependencyError, match=r"PyCUDA cannot be used .*: pip install"):
        pycuda_driver.load_pycuda()


def test_an_engine_that_is_refused_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    cuda, bundle = _PyCuda(), gpu_bundle(tmp_path / "b", "fp32")
    monkeypatch.setattr(tensorrt, "load_flavour", lambda flavour: _Trt(rtx=True, refuse="deserialize"))
    monkeypatch.setattr(onnx_cuda, "load_onnxruntime", lambda: _Onnxruntime("CPUExecutionProvider"))
    closed: list[Any] = []
    monkeypatch.setattr(pycuda_driver.PyCudaDevice, "close", lambda self: closed.append(self))
    with _installed(monkeypatch, cuda):
        monkeypatch.setattr(cuda, "Stream", lambda flags: SimpleNamespace(handle=77))
        with pytest.raises(DeviceError, match="refuses"):
            tensorrt.open_tensorrt(bundle, "fp32", PLAN, Target("tensorrt-rtx", VERSION, "sm89", "GPU A"))
        with pytest.raises(DeviceError, match="would use CPUExecutionProvider"):
            onnx_cuda.open_onnx_cuda(bundle, "fp32", {})
    assert len(closed) == 2
    assert cuda.calls.count(("push",)) == cuda.calls.count(("pop",))
