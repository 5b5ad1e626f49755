"""device="cuda": which route is open on this machine with this bundle, and all that stands in the way of it.

    a plan of the bundle that fits this GPU and an installed TensorRT or TensorRT-RTX   →  tensorrt.py
    else ONNX Runtime with its CUDA provider                                            →  onnx_cuda.py

Both take a GPU, PyCUDA, and the bundle's kernels. The precision does not depend on the machine: it names the function
that is certified, so it is the one asked for, else that of the narrowest graph in the bundle.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.util import find_spec

from ...bundle.manifest import FLAVOURS
from ...bundle.plans import Target, find_plan
from ...bundle.precisions import check_precision, narrowest
from ...bundle.store import Bundle
from ...errors import BundleError, DependencyError, DeviceError
from .kernels import add_kernels, choose_file, ptx_file, sources_of
from .loop import GpuSampler
from .nvidia import Gpu, find_gpus
from .onnx_cuda import PROVIDER, load_onnxruntime, open_onnx_cuda
from .pycuda import install_advice
from .tensorrt import open_tensorrt
from .tensorrt_modules import load_flavour


@dataclass(frozen=True)
class Route:
    """What would run: ``target`` and ``plan`` for TensorRT, neither for ONNX Runtime. ``missing``: why it cannot.

    ``provider``: tensorrt, tensorrt-rtx or CUDAExecutionProvider, None where none can be used.
    """

    precision: str
    gpu: Gpu | None
    provider: str | None
    target: Target | None
    plan: str | None
    missing: tuple[str, ...]


def find_route(bundle: Bundle, precision: str | None = None) -> Route:
    """Look at driver, packages and bundle; nothing is started.

    Raises ParameterError for a precision that no GPU runs, BundleError for one that the bundle lacks.
    """
    chosen = narrowest(bundle) if precision is None else precision
    check_precision(bundle, chosen, "cuda")
    gpu, missing = _gpu()
    if find_spec("pycuda") is None:
        missing.append(f"PyCUDA is not installed: {install_advice()}")
    if (why := _no_kernels(bundle, gpu)) is not None:
        missing.append(why)
    reasons = []
    for flavour in FLAVOURS:
        try:
            target, plan = _plan(bundle, chosen, flavour, gpu)
            return Route(chosen, gpu, flavour, target, plan, tuple(missing))
        except (DependencyError, DeviceError) as error:
            reasons.append(str(error))
    try:
        load_onnxruntime()
    except DependencyError as error:
        either = "; ".join((*reasons, str(error)))
        return Route(
            chosen, gpu, None, None, None, (*missing, f"no engine can be used, one of these would do: {either}")
        )
    return Route(chosen, gpu, PROVIDER, None, None, tuple(missing))


def open_route(bundle: Bundle, precision: str | None = None) -> GpuSampler:
    """A sampler on the GPU. Raises DeviceError naming every missing piece; the CPU is never used instead.

    Raises also what :func:`find_route` raises.
    """
    route = find_route(bundle, precision)
    if route.missing or route.gpu is None:
        pieces = ". ".join(f"({number}) {piece}" for number, piece in enumerate(route.missing, 1))
        raise DeviceError(f"device 'cuda' cannot be used, and nothing is run elsewhere instead. Missing: {pieces}")
    if route.target is not None and route.plan is not None:
        return open_tensorrt(bundle, route.precision, route.plan, route.target)
    return open_onnx_cuda(bundle, route.precision, {"gpu": route.gpu.name, "sm": route.gpu.sm})


def _gpu() -> tuple[Gpu | None, list[str]]:
    """The GPU that would be used, or why there is none."""
    try:
        gpus = find_gpus()
    except DeviceError as error:
        return None, [str(error)]
    return (gpus[0], []) if gpus else (None, ["the NVIDIA driver is here, but shows no GPU"])


def _no_kernels(bundle: Bundle, gpu: Gpu | None) -> str | None:
    """Why the bundle's kernels cannot be used on this GPU, or on any where it is not known."""
    files, compiler = bundle.manifest.files, bundle.manifest.made_with.get("nvrtc", "")
    for module in sources_of(bundle.manifest.input.tile):
        if not _has_kernel(files, module, gpu):
            which = f"{module} kernel" if gpu is None else f"{module} kernel for {gpu.sm}"
            return f"{bundle.path} has no {which}: {add_kernels(bundle.path)}"
    if gpu is not None and _major(gpu.cuda) < _major(compiler):
        return (
            f"the bundle's kernels were compiled for CUDA {compiler}, this driver runs CUDA up to {gpu.cuda}: install "
            f"a newer driver from nvidia.com/drivers, or compile them with nvidia-cuda-nvrtc {_major(gpu.cuda)}"
        )
    return None


def _has_kernel(files: Collection[str], module: str, gpu: Gpu | None) -> bool:
    if gpu is None:
        return ptx_file(module) in files
    try:
        choose_file(files, module, gpu.capability)
    except BundleError:
        return False
    return True


def _major(version: str) -> int:
    number = version.split(".")[0]
    return int(number) if number.isdigit() else 0


def _plan(bundle: Bundle, precision: str, flavour: str, gpu: Gpu | None) -> tuple[Target, str]:
    """What would run a plan, and the plan. Raises DependencyError without the flavour, DeviceError without a plan."""
    version = load_flavour(flavour).__version__
    if gpu is None:
        raise DeviceError(f"{flavour} {version} is installed, and takes an engine that was compiled for your GPU")
    target = Target(flavour, version, gpu.sm, gpu.name)
    return target, find_plan(bundle, target, precision)
