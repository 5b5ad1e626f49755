"""What a decoder says in its log alone: the slice whose checksum is wrong, and in whose place it makes up another.

FFV1 has a checksum a slice (RFC 9043, 4.9.3). FFmpeg's decoder compares it, logs the difference and goes on, whatever
``err_detect`` asks for. So its log is read while a file is looked through.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

ONLY_LOGGED = ("ffv1",)
"""Decoders that go on after such an error. They run in the thread that reads, so that its log is theirs."""

_lock = Lock()
_readers = 0
_level_before: int | None = None


@contextmanager
def logged_errors(av: Any, codec: str) -> Iterator[list[str]]:
    """Errors that the decoder ``codec`` logs in this thread within the block: filled at its end.

    PyAV's log level is one for the process: it is ERROR while any thread reads, and then what it was.
    """
    errors: list[str] = []
    if codec not in ONLY_LOGGED:
        yield errors
        return
    _raise_level(av)
    try:
        with av.logging.Capture(local=True) as lines:
            yield errors
        errors += [message.strip() for _, name, message in lines if name == codec]
    finally:
        _restore_level(av)


def _raise_level(av: Any) -> None:
    global _readers, _level_before
    with _lock:
        if _readers == 0:
            _level_before = av.logging.get_level()
            av.logging.set_level(av.logging.ERROR)
        _readers += 1


def _restore_level(av: Any) -> None:
    global _readers
    with _lock:
        _readers -= 1
        if _readers == 0:
            av.logging.set_level(_level_before)
