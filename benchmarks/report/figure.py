"""Figures as SVG, small and the same bytes from run to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt

matplotlib.use("svg")
plt.rcParams.update({"svg.hashsalt": "stochastic-biqa", "svg.fonttype": "none", "font.family": "sans-serif"})


def axes(across: str, up: str) -> tuple[Any, Any]:
    """A figure with one pair of axes, labelled."""
    figure, axis = plt.subplots(figsize=(6.4, 4), layout="constrained")
    axis.set_xlabel(across)
    axis.set_ylabel(up)
    axis.grid(alpha=0.3)
    return figure, axis


def save(figure: Any, path: Path) -> None:
    """Write without a date."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
