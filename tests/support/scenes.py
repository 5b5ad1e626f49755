"""Made-up photographs of scenes, numbered as a camera numbers them, with scores that fall with blur."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

SCENES, SHOTS, SIDE = 12, 2, 128


def scenes(folder: Path) -> Path:
    """``SCENES`` patterns, each shot twice with another blur; every fifth scene is val."""
    rng = np.random.default_rng(5)
    rows = []
    for scene in range(SCENES):
        pattern = rng.uniform(0, 255, (SIDE // 8, SIDE // 8, 3)).repeat(8, 0).repeat(8, 1)
        for shot in range(SHOTS):
            width = 0.3 + 0.35 * ((scene + 5 * shot) % 7)
            name = f"made_{20 * scene + shot}.png"
            Image.fromarray(gaussian_filter(pattern, (width, width, 0)).astype(np.uint8)).save(folder / name)
            rows.append((name, "ss03", 1 - width / 3, "val" if scene % 5 == 4 else "train"))
    with (folder / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "subset", "mos", "split"), *rows])
    return folder
