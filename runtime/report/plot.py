"""A figure for papers: score over frames with its certified band, and the pooled interval. SVG, PDF or PNG.

It takes matplotlib, an extra. The same log gives the same bytes: no date, no random names. Text stays text in SVG.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..errors import DependencyError, ParameterError
from ..install import pip_install

FORMATS = ("svg", "pdf", "png")

_WIDTH, _HEIGHT = 5.5, 2.6
_COLOURS = ("#17579e", "#a8480a")
_STYLE = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "svg.fonttype": "none",
    "svg.hashsalt": "biqa",
    "pdf.fonttype": 42,
}


def check_plot(name: str | None) -> None:
    """Raise ParameterError for a name that ends in no format, DependencyError where matplotlib is missing."""
    if name is None:
        return
    if Path(name).suffix.lower().removeprefix(".") not in FORMATS:
        raise ParameterError(f"{name}: a plot is a file that ends in {', '.join(f'.{end}' for end in FORMATS)}")
    _matplotlib()


def plot(log: Mapping[str, Any], format: str) -> bytes:
    """The figure of a log. Two files that were compared share it; stills of many files stand side by side."""
    matplotlib = _matplotlib()
    from matplotlib.figure import Figure

    frames = [[frame for frame in log["frames"] if frame["input"] == index] for index in range(len(log["inputs"]))]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        axes = figure.subplots()
        if max(map(len, frames)) == 1:
            _stills(axes, log, [mine[0] for mine in frames])
        else:
            compared = "decision" in log
            for index, mine in enumerate(frames):
                _clip(axes, log["inputs"][index], mine, index, several=len(frames) > 1, marked=compared)
            axes.set_xlabel("frame")
            if len(frames) > 1:
                axes.legend(frameon=False, fontsize=7)
        axes.set_ylabel(f"{log['inputs'][0]['certificate']['model']} score, certified")
        made = io.BytesIO()
        date = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
        figure.savefig(made, format=format, dpi=200, metadata=date[format])
    return made.getvalue()


def _clip(
    axes: Any, entry: Mapping[str, Any], frames: Sequence[Mapping[str, Any]], index: int, *, several: bool, marked: bool
) -> None:
    colour = _COLOURS[index] if marked or index < len(_COLOURS) else f"C{index % 10}"
    numbers = [frame["frame"] for frame in frames]
    score, lower, upper = _columns(frames)
    axes.fill_between(numbers, lower, upper, color=colour, alpha=0.18, linewidth=0)
    label = _plain(entry["path"]) if several else None
    axes.plot(numbers, score, color=colour, linewidth=1, linestyle="--" if index % 2 else "-", label=label)
    pooled = list(entry["pooled_metrics"].values())
    for side in pooled[1:]:
        if side["mean"] is not None:
            axes.axhline(side["mean"], color=colour if several else "#444444", linewidth=0.6, dashes=(4, 3))


def _stills(axes: Any, log: Mapping[str, Any], frames: Sequence[Mapping[str, Any]]) -> None:
    score, lower, upper = _columns(frames)
    places = range(len(frames))
    axes.vlines(places, lower, upper, color=_COLOURS[0], linewidth=4, alpha=0.3)
    axes.plot(places, score, "o", color=_COLOURS[0], markersize=3)
    few = len(frames) <= 20
    axes.set_xticks(places if few else [])
    if few:
        names = [_plain(Path(entry["path"]).name) for entry in log["inputs"]]
        axes.set_xticklabels(names, rotation=30, ha="right")
    axes.margins(x=max(0.05, 0.4 / len(frames)))


def _columns(frames: Sequence[Mapping[str, Any]]) -> tuple[list[float], ...]:
    """Scores and bounds; NaN where nothing is certified, which leaves a gap."""
    rows = [[math.nan if v is None else v for v in frame["metrics"].values()] for frame in frames]
    return tuple(list(column) for column in zip(*rows, strict=True))


def _plain(name: str) -> str:
    """A file name that matplotlib reads as no formula and no hidden label."""
    shown = "".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def _matplotlib() -> Any:
    try:
        import matplotlib
    except ImportError:
        raise DependencyError(f"matplotlib is not installed: {pip_install('plot')}") from None
    return matplotlib
