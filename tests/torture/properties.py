"""The properties of tests/**/test_properties.py, with more draws than ``make test`` makes."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import numpy as np

from tests.support.properties import EXAMPLES

from .case import SAFE, Case

MODULES = (
    "tests.runtime.bounds.test_properties",
    "tests.runtime.frames.test_properties",
    "tests.runtime.test_properties",
)


def _properties(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """As many properties as ``tries`` pays for. Draws are hypothesis' own, the same in every run."""
    found = [
        (name, function)
        for module in map(import_module, MODULES)
        for name, function in vars(module).items()
        if name.startswith("test_")
    ]
    for name, function in found[: -(-tries // EXAMPLES)]:
        try:
            function()
        except BaseException as error:
            yield f"{name}: {type(error).__name__}: {error}"
        yield from [SAFE] * EXAMPLES


CASES = [Case("properties of bounds, planes and noise", 13 * EXAMPLES, EXAMPLES, _properties)]
