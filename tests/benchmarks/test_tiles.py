"""The figures of tiles: measured on a model whose score is known, and what stands on the page."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch")

from benchmarks import tiles
from tests.support.clips import photograph
from tests.support.tiny import tile_bundle, tiny_bundle
from training.data import Photograph


def test_figures_of_a_brightness(tmp_path: Path) -> None:
    """Darker photographs score less; wider tampering gives wider intervals; whole frames bound small distances only."""
    shown = []
    for dimmed in range(1, 9):
        path = tmp_path / f"{dimmed}.png"
        Image.fromarray((photograph()[:64, :96] // dimmed).astype(np.uint8)).save(path)
        shown.append(Photograph(path, 1 / dimmed, "val", "ours"))
    bundles = tile_bundle(tmp_path / "tiles", tile=8).path, tiny_bundle(tmp_path / "whole").path
    tiles._start(*bundles, 101)
    rows = [tiles._measure(one) for one in shown]
    made = tiles.figures(rows, np.array([one.mos for one in shown]), 100.0)
    assert made["srocc"] == 1
    widths = {name: row["mean"] for name, row in made["widths"].items()}
    assert widths["0.5 grey levels"] < widths["1 grey levels"] <= widths["2 grey levels"] <= 100
    assert widths["L2 0.1"] < widths["L2 0.5"]
    assert list(made["whole_frames"]) == ["L2 0.1", "L2 0.25"]
    page = tiles.page(made, "A trial.")
    assert page.startswith("A trial. SROCC 1.000")
    assert page.count("\n| ") == 1 + 1 + len(tiles.ASKED)


def test_a_bundle_of_whole_frames_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    Image.fromarray(photograph()[:32, :32].astype(np.uint8)).save(path)
    tiles._open.clear()
    tiles._start(tiny_bundle(tmp_path / "whole").path, None, 11)
    with pytest.raises(TypeError, match="biqa build --tile"):
        tiles._measure(Photograph(path, 1.0, "val", "ours"))
