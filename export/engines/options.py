"""The options of an engine on the command line, the same for ``build`` and ``compile``: words → ``Request``s."""

from __future__ import annotations

import argparse
from pathlib import Path

from runtime.bundle.manifest import ENGINE_PRECISIONS, FLAVOURS, HARDWARE
from runtime.errors import ExportError

from .compile import CUDA, SMS, Request
from .tensorrt import BATCH, MAXIMUM, OPTIMUM


def size(text: str) -> tuple[int, int]:
    """``HEIGHTxWIDTH`` → (height, width)."""
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 384x512") from None


def _sm(text: str) -> str:
    number = text.lower().removeprefix("sm").removeprefix("_").replace(".", "")
    if not number.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is no compute capability, such as 89 or 8.9")
    return f"sm{number}"


def add_engine_options(command: argparse.ArgumentParser) -> None:
    """Add them to a command that has ``--target``."""
    sizes = " ".join(f"{height}x{width}" for height, width in (OPTIMUM, MAXIMUM))
    engines = command.add_argument_group("engines")
    engines.add_argument(
        "--precision",
        action="append",
        choices=ENGINE_PRECISIONS,
        help="graph to compile; repeatable (default fp16 if there)",
    )
    engines.add_argument(
        "--sm",
        action="append",
        type=_sm,
        metavar="CC",
        help="compute capability TensorRT-RTX compiles for, such as 89; repeatable (default this GPU's, else "
        f"{', '.join(sm.removeprefix('sm') for sm in SMS)})",
    )
    engines.add_argument("--engine-batch", type=int, metavar="N", help=f"noisy copies a call (default {BATCH})")
    engines.add_argument(
        "--sizes",
        type=size,
        nargs=3,
        metavar=("MIN", "BEST", "MAX"),
        help=f"HEIGHTxWIDTH of the engine's input, after the downscale (default the model's least, {sizes})",
    )
    engines.add_argument("--hardware", choices=HARDWARE, help="GPUs a TensorRT engine runs on (default same-gpu)")
    engines.add_argument(
        "--version-compatible", action="store_true", help="a TensorRT engine that later versions run as well"
    )
    engines.add_argument("--timing-cache", type=Path, metavar="FILE", help="keep TensorRT's timings between builds")


def requests_of(options: argparse.Namespace) -> list[Request]:
    """What to compile: a request a target. Raises ExportError for an option that no target has."""
    requests = [
        Request(CUDA)
        if target == CUDA
        else Request(
            flavour=target,
            precisions=options.precision,
            sms=options.sm if target == "tensorrt-rtx" else None,
            batch=options.engine_batch,
            sizes=tuple(options.sizes) if options.sizes else None,
            hardware=options.hardware if target == "tensorrt" else None,
            version_compatible=options.version_compatible and target == "tensorrt",
            timing_cache=options.timing_cache if target == "tensorrt" else None,
        )
        for target in dict.fromkeys(options.target or ())
        if target != "onnx"
    ]
    targets = {request.flavour for request in requests} - {CUDA}
    for option, value, target in (
        ("--sm", options.sm, "tensorrt-rtx"),
        ("--hardware", options.hardware, "tensorrt"),
        ("--version-compatible", options.version_compatible, "tensorrt"),
        ("--timing-cache", options.timing_cache, "tensorrt"),
        ("--precision", options.precision, None),
        ("--engine-batch", options.engine_batch, None),
        ("--sizes", options.sizes, None),
    ):
        if value and (target not in targets if target else not targets):
            wanted = target or " or ".join(FLAVOURS)
            raise ExportError(f"{option} is for --target {wanted}: name that target, or leave the option out")
    return requests
