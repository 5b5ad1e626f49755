"""``pyiqa:<name>`` → the bare architecture of a pyiqa metric, where pyiqa is installed.

pyiqa wraps each network in a model that asserts on every call that its input lies in [0, 1] and moves it to
a device of its choice. Neither can be part of a graph, and the fused graph clamps anyway: only the wrapped
network, ``.net``, is taken. Whether it crops at random is found by ``checks.py`` like any network's.

pyiqa and the weights it fetches have licences of their own (PolyForm-Noncommercial for the package); the
bundle says so and none of it is part of this project.
"""

from __future__ import annotations

import importlib
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from torch import device, nn

from runtime.bundle.manifest import ScoreContract
from runtime.errors import DependencyError, ExportError

PREFIX = "pyiqa:"
LICENCE = "PolyForm-Noncommercial-1.0.0 (pyiqa); weights: see pyiqa"


def build_pyiqa(name: str) -> tuple[nn.Module, ScoreContract, str]:
    """The network of a no-reference metric of pyiqa, its score contract and pyiqa's version.

    Raises DependencyError without pyiqa, ExportError for a name it does not have, a metric that needs a
    reference image, and one it cannot build.
    """
    try:
        pyiqa: Any = importlib.import_module("pyiqa")
    except ImportError as error:
        raise DependencyError(
            f"{PREFIX}{name} needs pyiqa ({error}): pip install pyiqa (its licence forbids commercial use)"
        ) from None
    known = pyiqa.list_models(metric_mode="NR")
    if name not in known:
        raise ExportError(f"pyiqa has no no-reference metric {name!r}: it has {', '.join(known)}")
    try:
        model = pyiqa.create_metric(name, device=device("cpu"))
    except Exception as error:
        raise ExportError(f"pyiqa cannot build {name}: {type(error).__name__}: {error}") from error
    try:
        released = version("pyiqa")
    except PackageNotFoundError:
        released = "unstated"
    low, high = _range(model.score_range)
    return model.net, ScoreContract(low, high, higher_is_better=not model.lower_better), released


def _range(text: str | None) -> tuple[float | None, float | None]:
    """pyiqa's ``"0, 1"``; its ``"~0, ~1"`` is a habit, not a bound, and counts as unknown."""
    try:
        low, high = (float(part) for part in (text or "").split(","))
    except ValueError:
        return None, None
    return low, high
