"""Ctrl-C while a command opens its engine: it waits for the end of that.

In the middle of loading a library of C code KeyboardInterrupt comes out as an ImportError, which would say that the
library is missing. A matter of commands: in a host of another language Ctrl-C is the host's.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def later_interrupt() -> Iterator[None]:
    """Ctrl-C within the block is handled at its end.

    Nothing changes in another thread than the main one, which gets none, or where somebody else handles it.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield
        return
    pressed: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, place: pressed.append((number, place)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if pressed:
            signal.default_int_handler(*pressed[0])
