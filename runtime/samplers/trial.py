"""The smallest frame through a graph of unknown origin, within ``SECONDS`` and ``MOST_BYTES``, before it is opened.

A graph that passes ``bundle/graphs.py`` is a straight line, and may still ask for hours or all memory on a small frame:
one Expand does. So a bundle that does not ship is run once on its smallest frame, or on one of ``SIDE``, in a session
of its own: its memory comes from an arena with an end, and a timer stops it between two operators. A single operator is
not interrupted; what it can cost is bounded by the memory it is given. A graph whose least input is above ``LARGEST``
values is not tried: it takes no small frame.

The arena is ONNX Runtime's one for a process that asks for it, which no other session here does.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np

from ..bundle.manifest import InputContract
from ..errors import ModelError
from .checks import first_line

SECONDS = 30.0
MOST_BYTES = 2 << 30
SIDE = 64
LARGEST = 2**20


def try_graph(onnxruntime: Any, data: bytes, contract: InputContract, name: str) -> None:
    """Raise ModelError for a graph that needs more than the limits on a small frame, or fails on it."""
    height = contract.height or max(contract.minimum_height, SIDE)
    width = contract.width or max(contract.minimum_width, SIDE)
    count = contract.batch or 1
    if count * 3 * height * width > LARGEST:
        return
    _arena(onnxruntime)
    options, run = onnxruntime.SessionOptions(), onnxruntime.RunOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False
    options.intra_op_num_threads = 1
    options.log_severity_level = run.log_severity_level = 4
    inputs = {
        "lattice": np.full((count, 3, height, width), 0.5, np.float32),
        "unit": np.ones(1, np.float32),
    }
    frame = f"{width * contract.downscale}×{height * contract.downscale}"
    late = threading.Event()

    def stop() -> None:
        late.set()
        options.set_load_cancellation_flag(True)
        run.terminate = True

    try:
        with _deadline(stop):
            session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
            if sorted(i.name for i in session.get_inputs()) == sorted(inputs):
                session.run(None, inputs, run)
    except Exception as error:  # ONNX Runtime has no common base for its errors
        why = first_line(error)
        if late.is_set():
            why = f"it is not done after {SECONDS:g} s"
        elif "Available memory" in why or "bad_alloc" in why or "bad allocation" in why:
            why = f"it takes more than {MOST_BYTES / 2**30:g} GiB"
        raise ModelError(
            f"{name} cannot score a frame of {frame}: {why}; nothing was certified. Where the bundle is from someone "
            "else, do not use it; where it is yours, build a smaller network"
        ) from None


@contextmanager
def _deadline(stop: Callable[[], None]) -> Iterator[None]:
    timer = threading.Timer(SECONDS, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()


@cache
def _arena(onnxruntime: Any) -> None:
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    arena = {"max_mem": MOST_BYTES, "arena_extend_strategy": 1, "initial_chunk_size_bytes": 1 << 20}
    onnxruntime.create_and_register_allocator(memory, onnxruntime.OrtArenaCfg(arena))
