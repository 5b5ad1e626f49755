"""Pictures whose order is known: pristine photographs, spoilt step by step as ``training.data.ladders`` does.

Truth is the severity, 0 (pristine) to 5: within one kind a good score falls with it for every photograph. Severities
of different kinds were not matched by people, so a correlation pooled over kinds is an indication, no more.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from training.data import KINDS

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Rung:
    """A photograph at ``severity`` 1 … 5 of a ``kind`` of fault, or kind "pristine" at 0; ``seed`` for its noise."""

    path: Path
    kind: str
    severity: int
    seed: tuple[int, ...]


def rungs(folder: Path, limit: int | None = None) -> list[Rung]:
    """The PNG photographs of a folder, each pristine and at every step of every kind. Raises ValueError if none."""
    paths = sorted(folder.glob("*.png"))[:limit]
    if not paths:
        raise ValueError(f"{folder} holds no PNG photographs")
    ladder = []
    for number, path in enumerate(paths):
        ladder.append(Rung(path, "pristine", 0, (number,)))
        for order, (kind, (_, settings)) in enumerate(KINDS.items()):
            ladder += [Rung(path, kind, step + 1, (number, order, step)) for step in range(len(settings))]
    return ladder


def make_rung(rung: Rung) -> Picture:
    """uint8 H×W×3, cropped to even sizes, which H.264 needs."""
    whole = np.asarray(Image.open(rung.path).convert("RGB"))
    picture = whole[: whole.shape[0] // 2 * 2, : whole.shape[1] // 2 * 2]
    if rung.severity == 0:
        return picture
    spoil, settings = KINDS[rung.kind]
    return spoil(picture, settings[rung.severity - 1], np.random.default_rng(rung.seed))
