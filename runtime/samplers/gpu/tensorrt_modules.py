"""TensorRT and TensorRT-RTX → their Python modules, imported only when asked for.

Both have one API. Full TensorRT compiles on the GPU it will run on and knows every data-centre GPU; TensorRT-RTX
compiles anywhere, for the GeForce and RTX GPUs of compute capability 7.5 to 12.1.
"""

from __future__ import annotations

import importlib
from typing import Any

from ...bundle.manifest import FLAVOURS
from ...errors import DependencyError
from ...install import pip_install

MODULE_NAMES = dict(zip(FLAVOURS, (("tensorrt",), ("tensorrt_rtx", "tensorrt_rtx_bindings")), strict=True))
"""Flavour → names its module goes by; NVIDIA's RTX wheels come with and without the package around the bindings."""


def install_advice(flavour: str) -> str:
    """How to get a flavour. Full TensorRT is not on the public index."""
    if flavour == "tensorrt":
        return "install TensorRT 10 or later for your CUDA from NVIDIA (developer.nvidia.com/tensorrt)"
    return pip_install("rtx")


def load_flavour(flavour: str) -> Any:
    """The module of a flavour. Raises DependencyError with how to install it, or why it cannot be loaded."""
    reason = "it is not installed"
    for name in MODULE_NAMES[flavour]:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name:
                reason = str(error)
        except (ImportError, OSError, RuntimeError) as error:  # its libraries are missing or need another driver
            reason = f"{type(error).__name__}: {error}"
    raise DependencyError(f"{flavour} cannot be used, {reason}: {install_advice(flavour)}")


def make_logger(trt: Any) -> Any:
    """A logger for a module of ``load_flavour``: it keeps ``errors`` for the exception and drops the rest."""

    class Logger(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity <= trt.ILogger.ERROR:
                self.errors.append(message)

    return Logger()
