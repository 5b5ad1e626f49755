"""The GPU kernels' source compiled for the host by g++, launched with the arguments a device would get."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

import runtime.samplers.gpu.kernels
from runtime.samplers.gpu.kernels import KERNELS

HERE = Path(__file__).parent / "kernels"
SOURCES = Path(runtime.samplers.gpu.kernels.__file__).parent
COMPILER = shutil.which("g++")
FLAGS = "-std=c++17 -O1 -Wall -Wextra -Werror -Wno-unknown-pragmas -ffp-contract=off -fno-strict-aliasing -fPIC -shared"

_TYPES = {"P": ctypes.c_void_p, "i": ctypes.c_int32, "I": ctypes.c_uint32, "Q": ctypes.c_uint64, "f": ctypes.c_float}
_GUARD, _SPOILT = 64, 0xA5


def compile_host(folder: Path) -> Host:
    """Build the library in ``folder``. Raises CalledProcessError where the source is not clean C++."""
    assert COMPILER is not None
    library = folder / "kernels.so"
    subprocess.run(
        [COMPILER, *FLAGS.split(), f"-I{SOURCES}", "-o", str(library), str(HERE / "host.cpp")], check=True, timeout=120
    )
    return Host(ctypes.CDLL(str(library)))


class Host:
    """The library of ``host.cpp``."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library

    def launch(self, name: str, grid: tuple[int, int], *arguments: Any, backwards: bool = False) -> None:
        """Run one kernel. Arrays are passed by address, as on the device; ``backwards``: last thread first."""
        kernel = KERNELS[name]
        plain = [argument.ctypes.data if isinstance(argument, np.ndarray) else argument for argument in arguments]
        values = [_TYPES[letter](value) for letter, value in zip(kernel.arguments, plain, strict=True)]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        shape = ((ctypes.c_uint * 2)(*grid), (ctypes.c_uint * 3)(*kernel.block))
        assert self._library.launch(name.encode(), *shape, int(backwards), pointers) == 0


class Output:
    """An array aligned like device memory, spoilt beforehand, between two guards that nothing may write to."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        length = int(np.prod(shape)) * np.dtype(dtype).itemsize
        room = np.full(length + 3 * _GUARD, _SPOILT, np.uint8)
        begin = _GUARD + -room.ctypes.data % _GUARD
        self._before, self._after = room[:begin], room[begin + length :]
        self.array = room[begin : begin + length].view(dtype).reshape(shape)

    def intact(self) -> bool:
        """Whether nothing was written outside the array."""
        return bool((self._before == _SPOILT).all() and (self._after == _SPOILT).all())


def aligned(values: np.ndarray) -> np.ndarray:
    """A copy aligned like device memory."""
    copy = Output(values.shape, values.dtype).array
    copy[...] = values
    return copy
