"""The README's figure: how far an attack moves an undefended score, and how far it can move a certified one.

    python -m benchmarks.report.glance

Reads docs/evidence/robustness.json, which ``benchmarks.robustness`` measured, and writes docs/evidence/glance.svg. The
limit is certified up to ε = 0.2 (dashed) with the samples, α and scope of the trials, and at ε = 0.5 (the diamond) with
those of ``large_radius``: the two are not points of one curve.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .page import DOCS

RECORD = DOCS / "evidence" / "robustness.json"
FIGURE = DOCS / "evidence" / "glance.svg"
BARE, CERTIFIED = "none", "family"
RED, BLUE = "#c0392b", "#1f618d"
LARGEST = 0.5
"""Larger radii are left out: nothing is certified there."""


def curves(record: dict[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Name → (ε, points of 100): the bare metric attacked, the certified score attacked, its certified limit."""
    movement = [(float(e), row) for e, row in record["movement"].items() if float(e) <= LARGEST]
    large = record["large_radius"]
    limit = [(e, row["half_width"]) for e, row in movement if row["half_width"] is not None]
    return {
        "bare": [(e, row[BARE]) for e, row in movement],
        "attacked": [(e, row[CERTIFIED]) for e, row in movement],
        "limit": [*limit, (large["epsilon"], large["half_width"])],
    }


def draw(record: dict[str, Any], path: Path) -> None:
    """The figure as SVG."""
    from .figure import axes, save

    figure, axis = axes("size of the change, L2 norm ε on the frame", "movement of the score, points of 100")
    found = curves(record)
    frames = record["frames"]
    axis.plot(*zip(*found["bare"], strict=True), marker="o", color=RED)
    axis.plot(*zip(*found["attacked"], strict=True), marker="o", color=BLUE)
    *trials, large = found["limit"]
    across, limit = zip(*trials, strict=True)
    axis.fill_between(across, limit, color=BLUE, alpha=0.15, linewidth=0)
    axis.plot(across, limit, color=BLUE, linestyle="--")
    axis.plot(*large, marker="D", color=BLUE, fillstyle="none")
    for name, lift in (("bare", 0.0), ("limit", 1.0), ("attacked", -0.6)):
        radius, value = found[name][-1]
        axis.annotate(f"{value:.1f}", (radius, value + lift), (7, 0), textcoords="offset points", va="center")
    axis.annotate("undefended metric, attacked", (0.33, 19.5), ha="right", color=RED)
    axis.annotate("this score: certified not to move further", (0.2, 4.0), ha="left", color=BLUE)
    axis.annotate("this score, attacked", (0.29, -0.9), ha="left", color=BLUE)
    axis.set_xlim(0, LARGEST + 0.04)
    axis.set_ylim(-2, None)
    axis.set_title(f"mean over {frames} frames; white-box PGD, the larger of up and down", fontsize=9)
    save(figure, path)


def main() -> None:
    """Draw what was measured."""
    draw(json.loads(RECORD.read_text()), FIGURE)


if __name__ == "__main__":
    main()
