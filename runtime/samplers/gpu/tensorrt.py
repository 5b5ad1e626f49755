"""TensorRT and TensorRT-RTX behind one interface: a compiled plan as the engine of the device loop.

TensorRT-RTX finishes its kernels on the GPU, when a frame's size first comes. It would do so beside the running
engine and change over when they are ready; two samples of one frame could then be scored by different arithmetic, and
the certificate is one of *one* function. So all of them are made before the first run. Nothing of it is stored on disk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...bundle.plans import Target, mismatch, read_plan, rebuild_command
from ...bundle.store import Bundle
from ...errors import DeviceError, ModelError
from .loop import GpuSampler
from .pycuda import PyCudaDevice
from .tensorrt_modules import load_flavour, make_logger

_ENDS = ("lattice", "unit", "score")


class TensorRTEngine:
    """A plan that was read by ``engines.read_plan``, so one that fits. See ``gpu.Engine``.

    ``trt``: the module of its flavour. Made and used within a CUDA context. Raises DeviceError where TensorRT refuses
    the plan or its ends are others.
    """

    def __init__(self, trt: Any, bundle: Bundle, name: str, target: Target) -> None:
        self._key = key = bundle.manifest.engines[name]
        self._bundle, self._name, self._target = bundle, name, target
        self.batch = key.profile.batch
        self.record: Mapping[str, Any] = {
            "provider": target.flavour,
            "version": f"{target.flavour} {target.version}",
            "plan": name,
        }
        self._logger = make_logger(trt)
        self._runtime = trt.Runtime(self._logger)
        if key.version_compatible:  # such a plan brings its own runtime, which is code to be loaded
            self._runtime.engine_host_code_allowed = True
        self._engine = self._runtime.deserialize_cuda_engine(read_plan(bundle, name, target))
        if self._engine is None:
            raise DeviceError(f"{target.flavour} {target.version} refuses {name}: {self._said()}")
        ends = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        if sorted(ends) != sorted(_ENDS) or any(self._engine.get_tensor_dtype(end) != trt.float32 for end in ends):
            raise DeviceError(
                f"{name} has the inputs and outputs {ends}, not fp32 {', '.join(_ENDS)}: compile it again"
            )
        self._context = self._create_context(trt)
        if self._context is None:
            raise DeviceError(f"{target.flavour} {target.version} cannot run {name}: {self._said()}")

    def _create_context(self, trt: Any) -> Any:
        strategies = getattr(trt, "DynamicShapesKernelSpecializationStrategy", None)
        if strategies is None:  # full TensorRT has no kernels left to make
            return self._engine.create_execution_context()
        config = self._engine.create_runtime_config()
        config.dynamic_shapes_kernel_specialization_strategy = strategies.EAGER
        return self._engine.create_execution_context(config)

    def check_size(self, height: int, width: int) -> None:
        precision = self._key.precision
        reason = mismatch(self._key, self._bundle, self._target, precision, height=height, width=width)
        if reason is not None:
            command = rebuild_command(self._bundle, self._target, precision)
            raise DeviceError(
                f"{self._name} does not take {width}×{height}: {reason}. Compile one that does with `{command}`"
            )

    def bind(self, height: int, width: int, inputs: Sequence[int], unit: int, score: int) -> None:
        self._inputs = tuple(inputs)
        self._check(self._context.set_input_shape("lattice", (self.batch, 3, height, width)))
        self._check(self._context.set_tensor_address("unit", unit))
        self._check(self._context.set_tensor_address("score", score))
        shape = tuple(self._context.get_tensor_shape("score"))
        if shape != (self.batch,):
            raise ModelError(f"the engine gives scores of shape {shape} for a batch of {self.batch}")

    def run(self, slot: int, stream: Any) -> None:
        # An address holds for the runs enqueued after it was set; those before keep theirs.
        self._check(self._context.set_tensor_address("lattice", self._inputs[slot]))
        self._check(self._context.execute_async_v3(stream.handle))

    def _check(self, done: bool) -> None:
        if not done:
            raise ModelError(f"{self.record['version']} cannot run this frame: {self._said()}")

    def _said(self) -> str:
        """TensorRT's errors since the last time."""
        said = "; ".join(self._logger.errors) or "it gives no reason"
        self._logger.errors.clear()
        return said

    def close(self) -> None:
        self._context = self._engine = self._runtime = None


def open_tensorrt(
    bundle: Bundle, precision: str, name: str, target: Target, *, context: Any = None, stream: Any = None
) -> GpuSampler:
    """A sampler on the plan ``name`` of a bundle, which ``engines.find_plan`` found for ``target``.

    ``context``, ``stream``: PyCUDA's, the caller's own to keep; by default the GPU's primary context and a stream of
    its own. Raises DependencyError, DeviceError or BundleError, and then holds nothing.
    """
    trt = load_flavour(target.flavour)
    device = PyCudaDevice(bundle, context=context, stream=stream)
    try:
        with device.current():
            engine = TensorRTEngine(trt, bundle, name, target)
        return GpuSampler(bundle, precision, device, engine, {"gpu": target.gpu, "sm": target.sm})
    except BaseException:
        device.close()
        raise
