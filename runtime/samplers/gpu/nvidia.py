"""The NVIDIA driver, asked through its own C library: which GPUs are here, what memory they read. No package needed.

``libcuda`` is part of the driver, not of CUDA. No context is made, so asking costs no GPU memory.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from dataclasses import dataclass

from ...errors import DeviceError

_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR
_DEVICE_POINTER = 3  # CU_POINTER_ATTRIBUTE_DEVICE_POINTER
_NAME_BYTES = 256
_WINDOWS = platform.system() == "Windows"


@dataclass(frozen=True)
class Gpu:
    """A GPU: its ``name``, compute capability ``sm`` (sm89 for 8.9), the ``driver``'s version where it can be told,
    and the newest ``cuda`` the driver runs."""

    name: str
    sm: str
    driver: str | None
    cuda: str

    @property
    def capability(self) -> tuple[int, int]:
        """(major, minor) of the compute capability."""
        return divmod(int(self.sm.removeprefix("sm")), 10)


def find_gpus() -> list[Gpu]:
    """The GPUs of this machine. Raises DeviceError saying what is missing: the driver, or a GPU it can use."""
    cuda = _libcuda()

    def ask(function: str, *arguments: object) -> None:
        if (status := getattr(cuda, function)(*arguments)) != 0:
            raise DeviceError(f"the NVIDIA driver is here, but {function} answers {status}: no GPU can be used")

    ask("cuInit", 0)
    count, version = ctypes.c_int(), ctypes.c_int()
    ask("cuDeviceGetCount", ctypes.byref(count))
    ask("cuDriverGetVersion", ctypes.byref(version))
    newest = f"{version.value // 1000}.{version.value % 1000 // 10}"
    driver = _driver_version()
    return [_gpu(index, ask, driver, newest) for index in range(count.value)]


def readable(address: int) -> bool:
    """Whether kernels of the current CUDA context may read device memory at just this address.

    Asked beforehand because a kernel that reads what it may not, memory of another GPU or context, ends its context for
    the whole process: no later call succeeds.
    """
    found = ctypes.c_uint64()
    ask = _libcuda().cuPointerGetAttribute
    return ask(ctypes.byref(found), _DEVICE_POINTER, ctypes.c_uint64(address)) == 0 and found.value == address


def _libcuda() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("nvcuda.dll" if _WINDOWS else "libcuda.so.1")
    except OSError:
        raise DeviceError("no NVIDIA driver is here (libcuda not found): install it from nvidia.com/drivers") from None


def _gpu(index: int, ask: Callable[..., None], driver: str | None, newest: str) -> Gpu:
    device, major, minor = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
    name = ctypes.create_string_buffer(_NAME_BYTES)
    ask("cuDeviceGet", ctypes.byref(device), index)
    ask("cuDeviceGetName", name, _NAME_BYTES, device)
    ask("cuDeviceGetAttribute", ctypes.byref(major), _MAJOR, device)
    ask("cuDeviceGetAttribute", ctypes.byref(minor), _MINOR, device)
    return Gpu(name.value.decode(errors="replace"), f"sm{major.value}{minor.value}", driver, newest)


def _driver_version() -> str | None:
    """The driver's own version from its management library, None where that is missing."""
    text = ctypes.create_string_buffer(_NAME_BYTES)
    try:
        nvml = ctypes.CDLL("nvml.dll" if _WINDOWS else "libnvidia-ml.so.1")
    except OSError:
        return None
    if nvml.nvmlInit_v2() != 0:
        return None
    try:
        failed = nvml.nvmlSystemGetDriverVersion(text, _NAME_BYTES)
    finally:
        nvml.nvmlShutdown()
    return None if failed else text.value.decode(errors="replace")
