"""DLPack: an array of another library by its C description, read and never taken over.

``__dlpack__`` gives a capsule around one of two structs, named after what they hold: "dltensor", or from DLPack 1.0 on
"dltensor_versioned". Whoever takes the tensor over renames the capsule and calls the struct's deleter later on. Here it
is only looked at: the capsule keeps the array for as long as it is held, and lets go of it when it is dropped.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

CUDA = (2, 13)
"""``DLDeviceType`` of the memory of a GPU, and of CUDA memory that moves between it and the host."""

_VERSION = 1
"""The major version whose layout stands below. Another one may have another."""

_KINDS = {0: "i", 1: "u", 2: "f"}


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int32), ("id", ctypes.c_int32))


class _Type(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16))


class _Tensor(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("device", _Device),
        ("ndim", ctypes.c_int32),
        ("dtype", _Type),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    )


class _Versioned(ctypes.Structure):
    _fields_ = (
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("manager", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("tensor", _Tensor),
    )


@dataclass(frozen=True)
class Exported:
    """``strides``: bytes. ``capsule``: keeps the memory for as long as it is held."""

    address: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    strides: tuple[int, ...]
    device_type: int
    capsule: object


def device_type(array: object) -> int | None:
    """The ``DLDeviceType`` an array says it is on, None for what does not speak DLPack."""
    ask = getattr(array, "__dlpack_device__", None)
    return int(ask()[0]) if callable(ask) else None


def export(array: Any) -> Exported:
    """The description of an array. Raises ValueError for one that cannot be read, and what its owner raises."""
    try:
        capsule = array.__dlpack__(max_version=(_VERSION, 0))
    except TypeError:  # from before versions
        capsule = array.__dlpack__()
    tensor = _tensor(capsule)
    kind, size = _KINDS.get(tensor.dtype.code), tensor.dtype.bits // 8
    if kind is None or tensor.dtype.lanes != 1 or size * 8 != tensor.dtype.bits:
        raise ValueError(f"its DLPack type ({tensor.dtype.code}, {tensor.dtype.bits}) is not one of NumPy's")
    shape = tuple(tensor.shape[: tensor.ndim])
    strides = tensor.strides[: tensor.ndim] if tensor.strides else [prod(shape[i + 1 :]) for i in range(len(shape))]
    return Exported(
        address=(tensor.data or 0) + tensor.byte_offset,
        shape=shape,
        dtype=np.dtype(f"{kind}{size}"),
        strides=tuple(size * stride for stride in strides),
        device_type=tensor.device.type,
        capsule=capsule,
    )


def _tensor(capsule: object) -> _Tensor:
    name = _api("PyCapsule_GetName", ctypes.c_char_p, ctypes.py_object)(capsule)
    pointer = _api("PyCapsule_GetPointer", ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)
    if name == b"dltensor":
        return _Tensor.from_address(pointer(capsule, name))
    if name != b"dltensor_versioned":
        raise ValueError(f"its DLPack capsule is named {name!r}")
    versioned = _Versioned.from_address(pointer(capsule, name))
    if versioned.major != _VERSION:
        raise ValueError(f"it speaks DLPack {versioned.major}.{versioned.minor}, not {_VERSION}.x")
    return versioned.tensor  # type: ignore[no-any-return]


def _api(name: str, result: Any, *arguments: Any) -> Any:
    """A function of Python's C API."""
    return ctypes.PYFUNCTYPE(result, *arguments)((name, ctypes.pythonapi))
