"""Commands that other packages answer: found by the entry points ``biqa.commands``, loaded when they are asked for.

So ``biqa`` builds and trains as well, and ``runtime`` still imports neither ``export`` nor ``training``. An entry point
is a function of the words from the command's own name on, and returns the exit status.
"""

from __future__ import annotations

from importlib import metadata

from ..errors import DependencyError
from ..install import pip_install

GROUP = "biqa.commands"

HELP = {
    "build": "export a PyTorch metric, check it and write a bundle",
    "compile": "add GPU kernels and engines to a bundle",
    "inspect": "what a bundle holds",
    "verify": "check a bundle's files, graph and parity again",
    "triton": "write a model repository of Triton Inference Server",
    "calibrate": "add a curve from a model's points to a scale of your own opinions",
    "train": "train the metric, the denoiser, or both",
}
"""A line each: reading it from the command itself would import PyTorch."""

_EXTRAS = {"export": "export", "training": "train"}
"""Package → the extra that brings what it imports."""


def other_commands() -> dict[str, metadata.EntryPoint]:
    """Name → entry point, in the order of ``HELP``, those of unknown packages after it."""
    found = {point.name: point for point in metadata.entry_points(group=GROUP)}
    return {name: found[name] for name in (*HELP, *sorted(found.keys() - HELP.keys())) if name in found}


def run_other(point: metadata.EntryPoint, words: list[str]) -> int:
    """Load the command and run it. Raises DependencyError where a package it imports is not installed."""
    package = point.module.partition(".")[0]
    try:
        command = point.load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if package not in _EXTRAS or missing in (*_EXTRAS, "runtime"):
            raise
        raise DependencyError(
            f"biqa {point.name} takes {missing}, which is not installed: {pip_install(_EXTRAS[package])}"
        ) from None
    status: int = command(words)
    return status
