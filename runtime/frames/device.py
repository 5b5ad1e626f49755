"""A frame in the memory of a GPU: what its owner says of it → address and pitch, or a FrameError that says what to do.

``__cuda_array_interface__`` (version 2 or 3) is asked for first: PyCUDA's GPUArray, CuPy, PyTorch, JAX and Numba have
it. Else DLPack (dlpack.py). Nothing is copied, read or kept here.

**Streams.** Version 3 may name the stream that the pixels are written on; version 2 has no word for it, PyTorch says
nothing, and PyCUDA says "none" whatever is enqueued. So a sampler waits for all work of its CUDA context before it
reads, which holds whichever stream it was; the name is only checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import index
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from ..errors import FrameError
from . import dlpack
from .lattice import DeviceFrame, check_layout

COPY = "pass a host copy, array.get() or tensor.cpu().numpy()"
"""What always helps."""

_VERSIONS = (2, 3)
_LARGEST_PITCH = 2**31 - 1
"""Bytes: of the kernels' arguments, and of CUDA's copies of rows."""


class CudaArray(Protocol):
    """An array that describes itself by the CUDA array interface."""

    @property
    def __cuda_array_interface__(self) -> Mapping[str, Any]: ...


class DLPackArray(Protocol):
    """An array that describes itself by DLPack."""

    def __dlpack__(self) -> Any: ...

    def __dlpack_device__(self) -> tuple[Any, Any]: ...


DeviceArray = CudaArray | DLPackArray
"""An H×W×3 array in the memory of a GPU."""


def is_device_frame(frame: object) -> bool:
    """Whether a frame says that it is in the memory of an NVIDIA GPU."""
    if isinstance(frame, np.ndarray):
        return False
    try:
        device = dlpack.device_type(frame)
        return hasattr(frame, "__cuda_array_interface__") if device is None else device in dlpack.CUDA
    except Exception:  # an array that has an interface and refuses it: ``device_frame`` says why
        return True


def device_frame(frame: Any) -> DeviceFrame:
    """Where the pixels of an H×W×3 array of uint8 or uint16 lie. Raises FrameError for any other."""
    try:
        interface = frame.__cuda_array_interface__
    except Exception as error:  # none, or one that PyTorch refuses, of a type it has no word for say
        return _from_dlpack(frame, error)
    return _from_interface(interface, frame)


def _from_interface(interface: Mapping[str, Any], owner: object) -> DeviceFrame:
    version, stream = interface.get("version"), interface.get("stream")
    if version not in _VERSIONS:
        raise FrameError(f"the frame has version {version!r} of the CUDA array interface, 2 and 3 are known: {COPY}")
    if interface.get("mask") is not None:
        raise FrameError("the frame in device memory is masked, and every pixel is scored: fill it in first")
    if stream is not None and (isinstance(stream, bool) or not isinstance(stream, int) or stream == 0):
        raise FrameError(
            f"the frame names stream {stream!r}, which the CUDA array interface forbids: 1 is the legacy default "
            "stream, 2 the one of the thread, others by their handle"
        )
    try:
        address, strides = index(interface["data"][0]), interface.get("strides")
        layout = tuple(map(index, interface["shape"])), np.dtype(interface["typestr"])
        given = None if strides is None else tuple(map(index, strides))
    except (KeyError, TypeError, ValueError) as error:
        raise FrameError(f"the frame's CUDA array interface is incomplete or no such ({error!r}): {COPY}") from None
    return _located(address, *layout, given, owner)


def _from_dlpack(frame: Any, refused: Exception) -> DeviceFrame:
    try:
        if not hasattr(frame, "__dlpack__"):
            raise refused
        found = dlpack.export(frame)
        if found.device_type not in dlpack.CUDA:
            raise ValueError(f"it is on DLPack device type {found.device_type}, no NVIDIA GPU")
    except Exception as error:  # the owner's, of any kind
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise FrameError(f"the frame in device memory cannot be described ({reason}): {COPY}") from error
    return _located(found.address, found.shape, found.dtype, found.strides, found.capsule)


def _located(
    address: int, shape: tuple[int, ...], dtype: np.dtype[Any], strides: tuple[int, ...] | None, owner: object
) -> DeviceFrame:
    check_layout(shape, dtype)
    _, width, channels = shape
    size = dtype.itemsize
    packed = (width * channels * size, channels * size, size)
    given = packed if strides is None else strides
    # A dimension of one element has no neighbour to be a stride away: whatever is said of it is passed over.
    found = tuple(want if count == 1 else said for count, want, said in zip(shape, packed, given, strict=False))
    if found[1:] != packed[1:] or not packed[0] <= found[0] <= _LARGEST_PITCH or found[0] % size:
        raise FrameError(
            f"the pixels of the frame in device memory are not packed (shape {shape}, strides {given} bytes): only "
            "rows may be padded; make a copy on the device, cupy.ascontiguousarray(frame) or tensor.contiguous()"
        )
    if address <= 0 or address % size:
        raise FrameError(f"the frame in device memory has no usable address ({address}): {COPY}")
    return DeviceFrame(address, shape, dtype, found[0], owner)


@runtime_checkable
class DeviceReader(Protocol):
    """What a sampler has as well that reads frames in device memory: those of ``Lattice.device``."""

    def host_copy(self, frame: DeviceFrame) -> NDArray[Any]:
        """The pixels, for the hash and the noise key. Raises FrameError for memory that it cannot read."""
        ...
