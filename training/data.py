"""Photographs with opinion scores: a folder of pictures and a CSV, read onto the engine's domain.

The CSV has a header with ``image`` (path below the folder) and ``mos`` (0 bad … 1 good; higher is
better), and optionally ``split`` (train, val) and ``subset``.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.frames import lattice

Progress = Callable[[Sequence["Photograph"]], "Sequence[Photograph]"]


@dataclass(frozen=True)
class Photograph:
    """One picture and what people thought of it."""

    path: Path
    mos: float
    split: str
    subset: str


def read_scores(table: Path, folder: Path) -> list[Photograph]:
    """The rows of an opinion-score CSV, in file order.

    Raises ValueError where a column or a picture is missing or a score is not a number.
    """
    with table.open(newline="") as file:
        rows = csv.DictReader(file)
        missing = {"image", "mos"} - set(rows.fieldnames or ())
        if missing:
            raise ValueError(f"{table} has no column {', '.join(sorted(missing))}: found {rows.fieldnames}")
        photographs = [
            Photograph(
                folder / row["image"], float(row["mos"]), row.get("split") or "train", row.get("subset") or "all"
            )
            for row in rows
        ]
    absent = [p.path for p in photographs if not p.path.is_file()]
    if absent:
        raise ValueError(f"{len(absent)} pictures of {table} are missing, the first is {absent[0]}")
    return photographs


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as uint8 H×W×3."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def read_domain(photographs: Sequence[Photograph], downscale: int, *, progress: bool = True) -> NDArray[np.uint16]:
    """Every picture on the engine's domain: uint16 N×3×h×w sums of k² code values. Pictures must be of one size."""
    from tqdm import tqdm

    domain: NDArray[np.uint16] | None = None
    for index, photograph in enumerate(tqdm(photographs, "reading", disable=None if progress else True)):
        values = lattice(read_rgb(photograph.path), downscale=downscale).values
        if domain is None:
            domain = np.empty((len(photographs), *values.shape), np.uint16)
        if values.shape != domain.shape[1:]:
            raise ValueError(
                f"{photograph.path} is {values.shape[1:]} on the domain, the first picture {domain.shape[2:]}"
            )
        domain[index] = values
    if domain is None:
        raise ValueError("no pictures to read")
    return domain
