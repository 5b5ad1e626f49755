"""scoring.py goes on where it was stopped, and scores a defence again only where its graph has changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.parts.scoring import Item, score_all
from tests.support.tiny import tiny_bundle

LEVELS = (51, 102, 153)


def grey(level: int) -> NDArray[np.uint8]:
    return np.full((32, 32, 3), level, np.uint8)


ITEMS = [Item(f"grey {level}", grey, (level,)) for level in LEVELS]


def test_what_is_known_of_a_defence_is_kept_until_its_graph_changes(tmp_path: Path) -> None:
    paths = {defence: tiny_bundle(tmp_path / defence).path for defence in ("MS", "joint")}
    kept = tmp_path / "kept"

    def score() -> tuple[list[float], list[float]]:
        made = score_all(ITEMS, paths, 0.05, 8, kept, "trial run")
        assert made.smoothed["joint"].shape == (3, 8)
        return made.none.tolist(), [float(np.median(row)) for row in made.smoothed["joint"]]

    bare, smoothed = score()
    assert np.allclose(bare, (20, 40, 60), atol=1e-4)
    assert np.allclose(smoothed, (20, 40, 60), atol=1)

    for file in kept.iterdir():  # as if stopped after two pictures, of which one was scored 7
        with np.load(file) as stored:
            rows = stored["rows"][:2]
            rows[0] = 7
            np.savez(file, identity=stored["identity"], names=stored["names"][:2], rows=rows)
    again_bare, again_smoothed = score()
    assert again_bare == [7, *bare[1:]]
    assert again_smoothed == [7, *smoothed[1:]]

    tiny_bundle(paths["joint"], extra="nan")
    bare_then, smoothed_then = score()
    assert bare_then == again_bare
    assert np.isnan(smoothed_then).all()
