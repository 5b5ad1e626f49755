"""Frames of other libraries in device memory: host memory between guards, described as PyCUDA, CuPy and others do."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from runtime.frames import dlpack
from tests.support.kernel_host import Output


class CudaArray:
    """A copy of an H×W×3 frame with ``__cuda_array_interface__``. ``padding``: bytes after each row.

    ``says``: what else the interface says, or instead.
    """

    def __init__(self, frame: np.ndarray, *, padding: int = 0, **says: Any) -> None:
        height, width, _ = frame.shape
        packed = width * 3 * frame.itemsize
        self._memory = Output((height, packed + padding), np.uint8)
        self.pixels = np.ndarray(
            frame.shape, frame.dtype, self._memory.array, strides=(packed + padding, 3 * frame.itemsize, frame.itemsize)
        )
        self.pixels[:] = frame
        self.address = self.pixels.ctypes.data
        self._says = says

    def intact(self) -> bool:
        return self._memory.intact()

    def __len__(self) -> int:
        return len(self.pixels)

    def __iter__(self) -> Any:
        raise AssertionError("a frame, not a clip of its rows")

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.pixels.shape,
            "typestr": self.pixels.dtype.str,
            "data": (self.address, True),
            "strides": self.pixels.strides,
            "version": 3,
            **self._says,
        }


class DLPackArray:
    """The same through DLPack alone. ``device``: the type and number it says it is on."""

    def __init__(self, frame: np.ndarray, device: tuple[int, int] = (2, 0)) -> None:
        self.pixels, self.device = frame, device
        self.address = frame.ctypes.data

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.device

    def __dlpack__(self, **options: Any) -> Any:
        capsule = self.pixels.__dlpack__(**options)
        dlpack._tensor(capsule).device.type = self.device[0]
        return capsule


class LaterDLPackArray(DLPackArray):
    """Of a DLPack that is not there yet."""

    def __dlpack__(self, **options: Any) -> Any:
        capsule = super().__dlpack__(**options)
        start = ctypes.addressof(dlpack._tensor(capsule)) - dlpack._Versioned.tensor.offset
        dlpack._Versioned.from_address(start).major = 2
        return capsule


class OldDLPackArray(DLPackArray):
    """From before DLPack 1.0: no versions, no read-only flag."""

    def __dlpack__(self) -> Any:  # type: ignore[override]
        return super().__dlpack__()
