"""What a command writes: outputs that replace no input, intervals rounded outwards."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

from ..atomic import write_text
from ..bundle.manifest import MANIFEST
from ..errors import ParameterError
from ..files.file_frames import FileFrames
from ..results.log import InputLog
from ..results.pooled import Pooled


def check_outputs(*names: str | None, inputs: Sequence[Path | None], ndjson: bool = False) -> None:
    """Refuse outputs that cannot be written, or that would replace one of the ``inputs``, before any time is spent."""
    places = [name if name == "-" else os.path.abspath(name) for name in names if name is not None]
    if len(places) != len(set(places)) or ("-" in places and ndjson):
        raise ParameterError("two outputs go to the same place: give each output its own")
    for name in names:
        if name is not None and name != "-":
            _check_output(name)
            if any(path is not None and _replaces(name, path) for path in inputs):
                raise ParameterError(f"{name} is an input, which the output would replace: give another name")


def _replaces(name: str, path: Path) -> bool:
    """Is the output an input, or a file of a bundle that is one?"""
    if os.path.isfile(path / MANIFEST):
        return os.path.realpath(path) == os.path.dirname(os.path.realpath(name))
    return os.path.exists(path) and os.path.exists(name) and os.path.samefile(path, name)


def _check_output(name: str) -> None:
    path = Path(name)
    if not path.parent.is_dir():
        raise ParameterError(f"{name}: its folder does not exist: make it first")
    if path.is_dir():
        raise ParameterError(f'{name!r} is a directory: give the name of a file, or "-" for standard output')
    if path.is_symlink() or (path.exists() and not path.is_file()):  # a link would be replaced: /dev/stdout is one
        raise ParameterError(
            f'{name} is a link or not a regular file: give the name of one, or "-" for standard output'
        )
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ParameterError(f"{name}: its folder {path.parent} is not writable: choose another one")


def write_outputs(outputs: Mapping[str | None, str]) -> None:
    """Each text to its file or, for "-", to standard output; None is nowhere."""
    for name, text in outputs.items():
        if name == "-":
            sys.stdout.write(text)
        elif name is not None:
            write_text(Path(name), text)


def printed_interval(lower: float, upper: float, decimals: int) -> str:
    """Rounded outwards, so that what is printed is certified too."""
    return f"[{_rounded(lower, decimals, ROUND_FLOOR)}, {_rounded(upper, decimals, ROUND_CEILING)}]"


def _rounded(value: float, decimals: int, way: str) -> str:
    return str(Decimal(value).quantize(Decimal(1).scaleb(-decimals), way)) if math.isfinite(value) else str(value)


def decided_log(path: Path, subsample: int, frames: FileFrames, pooled: Pooled, bound: str | None) -> InputLog:
    """The certificates of a file at the look that decided."""
    certificates = list(zip(frames.numbers, pooled.certificates, strict=True))
    return InputLog(str(path), subsample, pooled.alpha, certificates, bound=bound, look=pooled.look)


def described(pooled: Pooled) -> str:
    """ "61.2043 [60.1, 62.3]  (mean of 30 frames, 960 of 15030 samples, ε=0.1, smoothed)", bounds rounded outwards."""
    first, count = pooled.certificates[0], len(pooled.certificates)
    what = "" if count == 1 else f"{pooled.pool} of {count} frames, "
    interval = printed_interval(pooled.lower, pooled.upper, 4)
    how = f"{what}{pooled.drawn} of {pooled.samples} samples, {first.scope}, {first.tampering_label}"
    return f"{pooled.score:.4f} {interval}  {how}"
