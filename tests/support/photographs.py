"""Pictures to train on in tests."""

from __future__ import annotations

import csv
from pathlib import Path

import skimage.data
from PIL import Image


def blurred_crops(folder: Path) -> Path:
    """Twelve 64×64 crops of a photograph, blurred more and more, with scores to match; the last two are val."""
    whole = Image.fromarray(skimage.data.astronaut())
    rows = []
    for index in range(12):
        crop = whole.crop((30 * index, 20 * index, 30 * index + 64, 20 * index + 64))
        small = crop.resize((64 // (1 + index // 3),) * 2).resize((64, 64))
        small.save(folder / f"{index}.png")
        rows.append((f"{index}.png", 1 - index / 12, "val" if index > 9 else "train"))
    with (folder / "scores.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "mos", "split"), *rows])
    return folder
