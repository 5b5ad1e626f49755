"""libbiqa through ctypes: what a host in another language does. Also a program: ``cabi.py LIB MODEL FRAMES`` certifies
frames, good ones and bad ones, and prints the resident memory in bytes after a fifth of them and after all."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHARS, DOUBLE, LONG, WORD, ADDRESS = ctypes.c_char_p, ctypes.c_double, ctypes.c_int64, ctypes.c_uint64, ctypes.c_void_p


class Config(ctypes.Structure):
    _fields_ = [
        *[("struct_size", WORD), ("model", CHARS), ("device", CHARS), ("scope", CHARS), ("epsilon", DOUBLE)],
        *[("alpha", DOUBLE), ("samples", LONG), ("threads", LONG), ("secret", CHARS), ("secret_size", WORD)],
        *[("secret_file", CHARS), ("public_seed", LONG), ("flags", WORD), ("levels", DOUBLE)],
        *[("patch_width", LONG), ("patch_height", LONG), ("sigma", DOUBLE)],
    ]


class Planes(ctypes.Structure):
    _fields_ = [
        *[("struct_size", WORD), ("data", ADDRESS * 3), ("stride", LONG * 3), ("width", LONG), ("height", LONG)],
        *[("bit_depth", LONG), ("subsampling", CHARS), ("matrix", CHARS), ("range", CHARS)],
        *[("chroma_location", CHARS), ("transfer", CHARS)],
    ]


class Result(ctypes.Structure):
    _fields_ = [
        *[("struct_size", WORD), ("score", DOUBLE), ("lower", DOUBLE), ("upper", DOUBLE), ("epsilon", DOUBLE)],
        *[("alpha", DOUBLE), ("samples", LONG), ("drawn", LONG), ("failed_samples", LONG), ("flags", WORD)],
        *[("frame_sha256", ctypes.c_char * 72), ("scores_sha256", ctypes.c_char * 72)],
    ]


def load(path: Path) -> Any:
    """The library with the types of its functions."""
    library = ctypes.CDLL(str(path))
    library.biqa_create.argtypes = [ADDRESS, ctypes.POINTER(ADDRESS)]
    library.biqa_certify_rgb.argtypes = [ADDRESS, ADDRESS, LONG, LONG, LONG, LONG, ADDRESS]
    library.biqa_certify_yuv.argtypes = [ADDRESS, ADDRESS, ADDRESS]
    library.biqa_destroy.argtypes, library.biqa_destroy.restype = [ADDRESS], None
    for name, arguments in (("biqa_error", [ADDRESS]), ("biqa_record", [ADDRESS]), ("biqa_version", [])):
        getattr(library, name).argtypes, getattr(library, name).restype = arguments, CHARS
    return library


class CallError(Exception):
    """errno and message of a call."""


class Handle:
    """A certifier of libbiqa. ``config``: fields of biqa_config."""

    def __init__(self, library: Any, **config: Any) -> None:
        self.library = library
        self.address = ADDRESS()
        given = Config(**{"struct_size": ctypes.sizeof(Config), **config})
        code = library.biqa_create(ctypes.byref(given), ctypes.byref(self.address))
        if code:
            assert self.address.value is None
            raise CallError(-code, library.biqa_error(None).decode())

    def rgb(self, frame: NDArray[Any], bit_depth: int, **fields: int) -> Result:
        height, width, _ = frame.shape
        result = Result(**{"struct_size": ctypes.sizeof(Result), **fields})
        pixels = frame.ctypes.data
        return self._checked(
            self.library.biqa_certify_rgb(
                *(self.address, pixels, frame.strides[0], width, height, bit_depth, ctypes.byref(result))
            ),
            result,
        )

    def yuv(self, planes: list[NDArray[Any]], bit_depth: Any, **fields: Any) -> Result:
        given = Planes(
            **{
                "struct_size": ctypes.sizeof(Planes),
                "data": (ADDRESS * 3)(*(plane.ctypes.data for plane in planes)),
                "stride": (LONG * 3)(*(plane.strides[0] for plane in planes)),
                "width": planes[0].shape[1],
                "height": planes[0].shape[0],
                "bit_depth": bit_depth,
                **fields,
            }
        )
        result = Result(struct_size=ctypes.sizeof(Result))
        code = self.library.biqa_certify_yuv(self.address, ctypes.byref(given), ctypes.byref(result))
        return self._checked(code, result)

    def record(self) -> str:
        record: str = self.library.biqa_record(self.address).decode()
        return record

    def destroy(self) -> None:
        self.library.biqa_destroy(self.address)

    def _checked(self, code: int, result: Result) -> Result:
        message = self.library.biqa_error(self.address).decode()
        if code:
            assert np.isnan(result.score) or result.struct_size < 16
            raise CallError(-code, message)
        assert message == ""
        return result


def resident() -> int:
    """Resident memory of this process in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def main(library: str, model: str, frames: int) -> None:
    handle = Handle(load(Path(library)), model=model.encode(), samples=13, epsilon=0.01, alpha=0.5, threads=1)
    generator = np.random.default_rng(0)
    for index in range(frames):
        frame = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
        handle.rgb(frame, 8)
        planes = [frame[:, :, 0], frame[::2, ::2, 1], frame[::2, ::2, 2]]
        handle.yuv([np.ascontiguousarray(plane) for plane in planes], 8, subsampling=b"4:2:0")
        try:
            handle.rgb(frame, 99)
        except CallError:
            pass
        else:
            raise AssertionError
        if index + 1 in (frames // 5, frames):
            print(resident())
    handle.destroy()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
