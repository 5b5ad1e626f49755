"""Which precisions a device runs, and which graph of a bundle that is: the same words on every device.

ONNX Runtime has no fp16 kernels for CPUs: it would run that graph in fp32, which is another function. No GPU engine
runs the int8 graph.
"""

from __future__ import annotations

from ..errors import BundleError, ParameterError
from .manifest import ENGINE_PRECISIONS, GRAPHS
from .store import Bundle

DEVICE_PRECISIONS = {"cpu": ("fp32", "int8"), "cuda": ENGINE_PRECISIONS}
"""Device → what it runs."""


def narrowest(bundle: Bundle) -> str:
    """The precision of the narrowest graph a bundle has: what a GPU runs where nobody says another."""
    return [name for name in ENGINE_PRECISIONS if GRAPHS[name] in bundle.manifest.files][-1]


def check_precision(bundle: Bundle, precision: str, device: str) -> str:
    """The file of the graph that a device runs in this precision.

    Raises ParameterError for a precision that is none, or that the device does not run; BundleError where the bundle
    has no such graph.
    """
    if precision not in DEVICE_PRECISIONS[device]:
        elsewhere = [name for name, runs in DEVICE_PRECISIONS.items() if precision in runs]
        there = f"; {precision} is for device {elsewhere[0]!r}" if elsewhere else ""
        runs = " or ".join(DEVICE_PRECISIONS[device])
        raise ParameterError(f"precision on device {device!r} is {runs}, not {precision!r}{there}")
    graph = GRAPHS[precision]
    if graph not in bundle.manifest.files:
        raise BundleError(
            f"{bundle.path} has no {graph}: build it again with --{precision} added to its `biqa build …`, or take fp32"
        )
    return graph
