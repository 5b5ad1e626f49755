"""nvidia.py against a driver made of Python: what it says of two GPUs, of none, and of a driver that fails."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from runtime.errors import DeviceError
from runtime.samplers.gpu import nvidia as driver
from runtime.samplers.gpu.nvidia import Gpu, find_gpus, readable

GPUS = (("GPU A", 8, 9), ("GPU B", 12, 0))


class _Cuda:
    def __init__(self, gpus: tuple[tuple[str, int, int], ...], status: int) -> None:
        self.gpus, self.status = gpus, status

    def cuInit(self, flags: int) -> int:  # noqa: N802
        return self.status

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802
        count._obj.value = len(self.gpus)
        return 0

    def cuDriverGetVersion(self, version: Any) -> int:  # noqa: N802
        version._obj.value = 13010
        return 0

    def cuDeviceGet(self, device: Any, index: int) -> int:  # noqa: N802
        device._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = self.gpus[device.value][0].encode()
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, device: Any) -> int:  # noqa: N802
        value._obj.value = self.gpus[device.value][{75: 1, 76: 2}[attribute]]
        return 0

    def cuPointerGetAttribute(self, value: Any, attribute: int, address: Any) -> int:  # noqa: N802
        """Memory at 2⁴⁰ has its address on the device, at 2⁴¹ another one, elsewhere none."""
        assert attribute == 3
        value._obj.value = address.value if address.value == 1 << 40 else 77
        return 0 if address.value in (1 << 40, 1 << 41) else 1


class _Nvml:
    def nvmlInit_v2(self) -> int:  # noqa: N802
        return 0

    def nvmlShutdown(self) -> int:  # noqa: N802
        return 0

    def nvmlSystemGetDriverVersion(self, text: Any, size: int) -> int:  # noqa: N802
        text.value = b"580.65"
        return 0


def install(monkeypatch: pytest.MonkeyPatch, cuda: _Cuda | None, nvml: _Nvml | None) -> None:
    def load(name: str) -> Any:
        library = cuda if "cuda" in name else nvml
        if library is None:
            raise OSError(f"{name} not found")
        return library

    monkeypatch.setattr(driver.ctypes, "CDLL", load)
    assert ctypes.CDLL is load


def test_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, _Cuda(GPUS, 0), _Nvml())
    assert find_gpus() == [Gpu("GPU A", "sm89", "580.65", "13.1"), Gpu("GPU B", "sm120", "580.65", "13.1")]


def test_without_the_management_library(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, _Cuda(GPUS[:1], 0), None)
    assert find_gpus() == [Gpu("GPU A", "sm89", None, "13.1")]
    install(monkeypatch, _Cuda((), 0), None)
    assert find_gpus() == []


def test_memory_that_the_context_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, _Cuda(GPUS, 0), None)
    assert [readable(address) for address in (1 << 40, 1 << 41, 1 << 42)] == [True, False, False]


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, None, None)
    with pytest.raises(DeviceError, match="libcuda not found"):
        find_gpus()
    install(monkeypatch, _Cuda(GPUS, 100), None)
    with pytest.raises(DeviceError, match="cuInit answers 100"):
        find_gpus()
