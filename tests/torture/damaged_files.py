"""Damaged pictures and clips, made by code: refused, or the same pixels; nothing crashes the reader or hangs it.

Files are read in another process with a time limit. A change that no checksum covers may pass, and is counted as
unseen; a cut file, or any change where checksums cover every byte of pixels, may not.
"""

from __future__ import annotations

import functools
import hashlib
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from tests.support.clips import photograph, write_clip
from tests.support.pictures import damage, saved

from .case import SAFE, UNSEEN, Case

LIMIT = 60.0
"""Seconds for one file of a few frames: a hang."""
DAMAGES = ("zeros", "flips", "dropped", "cut")
_SIDE = 96


def _picture(format: str, **options: object) -> bytes:
    return saved(photograph()[:_SIDE, :_SIDE], format=format, **options)


def _clip(name: str, codec: str, pix_fmt: str = "yuv420p", **options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = write_clip(Path(folder) / name, frames=6, codec=codec, pix_fmt=pix_fmt, options=options)
        return path.read_bytes()


FILES: dict[str, tuple[Callable[[], bytes], bool]] = {
    "picture.png": (lambda: _picture("PNG"), True),
    "picture.tif": (lambda: _picture("TIFF", compression="tiff_adobe_deflate"), True),
    "picture.jpg": (lambda: _picture("JPEG", quality=90), False),
    "progressive.jpg": (lambda: _picture("JPEG", quality=90, progressive=True), False),
    "picture.webp": (lambda: _picture("WEBP", quality=80), False),
    "picture.avif": (lambda: _picture("AVIF", quality=80), False),
    "picture.gif": (lambda: _picture("GIF"), False),
    "picture.bmp": (lambda: _picture("BMP"), False),
    "h264.mp4": (lambda: _clip("c.mp4", "libx264", preset="ultrafast"), False),
    "h264.mkv": (lambda: _clip("c.mkv", "libx264", preset="ultrafast"), False),
    "hevc.mov": (lambda: _clip("c.mov", "libx265", preset="ultrafast", **{"x265-params": "log-level=error"}), False),
    "vp9.webm": (lambda: _clip("c.webm", "libvpx-vp9", deadline="realtime", **{"cpu-used": "8"}), False),
    "ffv1.mkv": (lambda: _clip("c.mkv", "ffv1", slicecrc="1", level="3"), True),
    "mjpeg.avi": (lambda: _clip("c.avi", "mjpeg", "yuvj420p"), False),
}
"""Name → how to make it, and whether checksums cover all pixels."""


@functools.cache
def whole(name: str) -> bytes:
    """The undamaged file."""
    return FILES[name][0]()


def read(name: str, data: bytes) -> str:
    """What the frames of a file hash to, or "refused". Other errors are raised: they are bugs."""
    from runtime import BiqaError, FileFrames

    hashed = hashlib.sha256()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(data)
        try:
            frames = FileFrames(path)
            hashed.update(b"%d frames" % len(frames))
            for frame in frames:
                parts = frame[0] if isinstance(frame, tuple) else (frame,)
                for part in parts:
                    hashed.update(np.ascontiguousarray(part).tobytes())
        except BiqaError:
            return "refused"
    return hashed.hexdigest()


class Reader:
    """Reads files in a process of its own, a new one after each crash or hang."""

    def __init__(self) -> None:
        self._pool = self._fresh()

    @staticmethod
    def _fresh() -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __call__(self, name: str, data: bytes) -> str:
        """As :func:`read`, or what went wrong, in words."""
        try:
            return self._pool.submit(read, name, data).result(LIMIT)
        except BrokenProcessPool:
            self._pool = self._fresh()
            return f"{name}: the process crashed"
        except TimeoutError:
            for process in list(self._pool._processes.values()):
                process.kill()
            self._pool = self._fresh()
            return f"{name}: no end in {LIMIT:.0f} s"
        except Exception as error:
            return f"{name}: {type(error).__name__}: {error}"

    def close(self) -> None:
        self._pool.shutdown()


def _damaged(tries: int, rng: np.random.Generator) -> Iterator[str]:
    reader, names = Reader(), list(FILES)
    right = {name: reader(name, whole(name)) for name in names[:tries]}
    for index in range(tries):
        name = names[index % len(names)]
        kind = DAMAGES[index // len(names) % len(DAMAGES)]
        found = reader(name, damage(whole(name), rng, kind))
        if found in ("refused", right[name]):
            yield SAFE
        elif len(found) != 64:
            yield found
        elif FILES[name][1] or kind == "cut":
            yield f"{name}: {kind} passed with other frames"
        else:
            yield UNSEEN
    reader.close()


CASES = [Case("damaged pictures and clips", 1400, 14, _damaged)]
