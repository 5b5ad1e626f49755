"""What libbiqa does, called by ``biqa.c``: numbers, addresses and strings in, a tuple of numbers and strings out.

Errors become the errno of ``biqa.h`` and a message; nothing is raised into C but what cannot be foreseen.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

import runtime
from runtime import Conversion
from runtime.bounds import Scope
from runtime.frames import HDR, STEP, Layout, Tags, conversion_for
from runtime.noise import read_secret

ABI = 1
"""``BIQA_ABI`` of the header that this module serves."""

PUBLIC_SEED = 1
ABSTAINED, ASSUMED = 1, 2

_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (runtime.BundleError, errno.EBADMSG),
    (runtime.DeviceError, errno.ENODEV),
    (runtime.DependencyError, errno.ENOSYS),
    (runtime.ModelError, errno.EIO),
    (runtime.ParameterError, errno.EINVAL),
    (runtime.FrameError, errno.EINVAL),
    (runtime.ConversionError, errno.EINVAL),
    (MemoryError, errno.ENOMEM),
    (KeyboardInterrupt, errno.EINTR),
)

_TRANSFERS = {"sdr": None, "pq": HDR[16], "hlg": HDR[18]}

Answer = tuple[int, str, str, float, float, float, float, float, int, int, int, int, str, str]
"""errno, message, record; score, lower, upper, epsilon, alpha; samples, drawn, failed samples, flags; two digests."""


def create(
    abi: int,
    model: bytes | None,
    device: bytes | None,
    scope: bytes | None,
    epsilon: float,
    alpha: float,
    samples: int,
    threads: int,
    secret: bytes | None,
    secret_file: bytes | None,
    public_seed: int,
    flags: int,
    levels: float = 0.0,
    patch_width: int = 0,
    patch_height: int = 0,
    sigma: float = 0.0,
) -> tuple[int, str, Host | None]:
    """errno, message and the host of one handle. Zero and None stand for the defaults, as ``biqa_config`` says."""
    try:
        if abi != ABI:
            raise runtime.DependencyError(
                f"libbiqa speaks version {abi} of the C ABI and the installed stochastic-biqa {runtime.__version__} "
                f"version {ABI}: build libbiqa again from its sources"
            )
        if flags & ~PUBLIC_SEED:
            raise runtime.ParameterError(f"flags {flags:#x} of biqa_config are not known: use BIQA_PUBLIC_SEED or 0")
        if secret is not None and secret_file is not None:
            raise runtime.ParameterError("give a secret or a secret file, not both")
        certifier = runtime.Certifier(
            None if model is None else os.fsdecode(model),
            device=_text(device) or "cpu",
            epsilon=epsilon or None,
            sigma=sigma or None,
            levels=levels or None,
            patch=(patch_width, patch_height) if patch_width or patch_height else None,
            alpha=alpha or None,
            samples=samples or None,
            scope=cast(Scope, _text(scope) or "smoothed"),
            secret=secret if secret_file is None else read_secret(Path(os.fsdecode(secret_file))),
            public_seed=public_seed if flags & PUBLIC_SEED else None,
            threads=threads or None,
        )
    except BaseException as error:
        return *_told(error), None
    return 0, "", Host(certifier)


class Host:
    """One handle: a certifier, asked with addresses of the caller's memory, which is copied before anything else."""

    def __init__(self, certifier: runtime.Certifier) -> None:
        self._certifier = certifier

    def certify_rgb(self, address: int, stride: int, width: int, height: int, bit_depth: int) -> Answer:
        """Interleaved R, G, B; ``stride`` in bytes, negative where rows are stored bottom-up."""

        def certify() -> runtime.Certificate:
            rows = _rows("the frame", address, stride, 3 * width, height, bit_depth)
            return self._certifier.certify(rows.reshape(height, width, 3), bit_depth=bit_depth)

        return _answer(certify)

    def certify_yuv(
        self,
        addresses: tuple[int, int, int],
        strides: tuple[int, int, int],
        width: int,
        height: int,
        bit_depth: int,
        subsampling: bytes | None,
        matrix: bytes | None,
        range: bytes | None,
        chroma_location: bytes | None,
        transfer: bytes | None,
    ) -> Answer:
        """Planes Y, U, V or G, B, R; None where the stream does not say."""

        def certify() -> runtime.Certificate:
            said = (_text(word) for word in (subsampling, matrix, range, chroma_location, transfer))
            conversion = _conversion(width, height, bit_depth, *said)
            down, right = STEP[conversion.subsampling]
            sizes = ((width, height), *[(-(-width // right), -(-height // down))] * 2)
            planes = [
                _rows(f"plane {index}", address, stride, columns, rows, bit_depth)
                for index, (address, stride, (columns, rows)) in enumerate(zip(addresses, strides, sizes, strict=True))
            ]
            return self._certifier.certify_planes(planes, conversion)

        return _answer(certify)

    def close(self) -> None:
        """Release the engine."""
        self._certifier.close()


class _Memory:
    """The caller's memory, read-only, as NumPy's array interface (version 3) describes it."""

    def __init__(self, address: int, shape: tuple[int, int], strides: tuple[int, int], typestr: str) -> None:
        self.__array_interface__ = {
            "version": 3,
            "data": (address, True),
            "shape": shape,
            "strides": strides,
            "typestr": typestr,
        }


def _rows(what: str, address: int, stride: int, columns: int, rows: int, bit_depth: int) -> NDArray[Any]:
    """A copy, rows×columns, uint8 at 8 bits and uint16 beyond. Raises FrameError for what cannot be a plane."""
    if address == 0:
        raise runtime.FrameError(f"{what} is NULL")
    if columns < 1 or rows < 1:
        raise runtime.FrameError(f"{what} is empty: its rows have {columns} samples, and there are {rows}")
    if not 8 <= bit_depth <= 16:
        raise runtime.FrameError(f"bit_depth is 8 … 16, not {bit_depth}")
    kind = np.dtype(np.uint8 if bit_depth == 8 else np.uint16)
    row = columns * kind.itemsize
    if abs(stride) < row and rows > 1:
        raise runtime.FrameError(f"the stride of {what} is {stride} bytes, and its rows have {row}")
    if (rows - 1) * abs(stride) + row >= 1 << 63:
        raise runtime.FrameError(f"{what} is larger than memory: {rows} rows, stride {stride}")
    return np.array(_Memory(address, (rows, columns), (stride, kind.itemsize), kind.str))


def _conversion(
    width: int,
    height: int,
    bit_depth: int,
    subsampling: str | None,
    matrix: str | None,
    range: str | None,
    chroma_location: str | None,
    transfer: str | None,
) -> Conversion:
    """As of a video file that says the same."""
    if subsampling is None:
        raise runtime.ConversionError(f"subsampling is not set: it is one of {', '.join(STEP)}")
    if transfer not in (None, *_TRANSFERS):
        raise runtime.ConversionError(f"transfer {transfer!r} is not known: use {', '.join(_TRANSFERS)}, or NULL")
    layout = Layout("planar", subsampling, bit_depth, rgb=matrix == "rgb")
    tags = Tags(matrix, range, _TRANSFERS[transfer or "sdr"], chroma_location)
    return conversion_for("the frame", layout, width, height, tags)


def _answer(certify: Callable[[], runtime.Certificate]) -> Answer:
    try:
        certificate = certify()
        record = certificate.to_dict()
        assumed = bool((record["conversion"] or {}).get("assumed"))
        return (
            *(0, "", json.dumps(record, allow_nan=False)),
            *(certificate.score, certificate.lower, certificate.upper, certificate.epsilon, certificate.alpha),
            *(certificate.samples, certificate.drawn, certificate.failed_samples),
            ABSTAINED * certificate.abstained | ASSUMED * assumed,
            *(certificate.provenance.frame_sha256, certificate.scores_sha256),
        )
    except BaseException as error:
        return *_told(error), "", 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, 0, 0, "", ""


def _told(error: BaseException) -> tuple[int, str]:
    """errno and message, which C can hold: no NUL, no lone surrogate of a path."""
    code = next((code for kind, code in _CODES if isinstance(error, kind)), None)
    message = str(error) or type(error).__name__
    if code is None:
        code, message = errno.EIO, f"unforeseen {type(error).__name__}: {message}"
    return code, message.replace("\0", "\\0").encode("utf-8", "backslashreplace").decode()


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("utf-8", "backslashreplace")
