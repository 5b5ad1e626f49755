"""Photographs with opinion scores: a folder of pictures and a CSV, read onto the engine's domain.

The CSV has a header with ``image`` (path below the folder) and ``mos`` (0 bad … 1 good; higher is
better), and optionally ``split`` (train, val, test) and ``subset``. Datasets in their authors' own folders are read by
``datasets.py``.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.frames import lattice

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class Photograph:
    """One picture and what people thought of it.

    ``mos``: 0 bad … 1 good. ``split``: train, val or test. ``reference``: names the picture this one and others were
    made from, so that they can be kept on one side of a split; empty where a picture stands for itself.
    """

    path: Path
    mos: float
    split: str
    subset: str
    reference: str = ""


def opinion(score: Any, worst: float, best: float, picture: Path) -> float:
    """A score between ``worst`` and ``best`` on 0 … 1. Raises ValueError for anything else, nan included."""
    try:
        value = float(score)
    except (TypeError, ValueError):
        raise ValueError(f"the score of {picture} is {score!r}, not a number") from None
    if not worst <= value <= best:
        raise ValueError(f"the score of {picture} is {value}, outside the scale of {worst} … {best}")
    return (value - worst) / (best - worst)


def csv_rows(table: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV with a header.

    Raises ValueError where one of ``columns`` is missing, or empty in a row.
    """
    with table.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{table} has no column {', '.join(sorted(missing))}: found {reader.fieldnames}")
        rows = []
        for row in reader:
            empty = [column for column in columns if not row[column]]
            if empty:
                raise ValueError(f"line {reader.line_num} of {table} has no {', '.join(empty)}")
            rows.append((reader.line_num, row))
    return rows


def check_pictures(photographs: list[Photograph], table: Path) -> list[Photograph]:
    """The photographs, if every picture is there. Raises ValueError that names the first which is not."""
    absent = [p.path for p in photographs if not p.path.is_file()]
    if absent:
        raise ValueError(f"{len(absent)} pictures of {table} are missing, the first is {absent[0]}")
    return photographs


def read_scores(table: Path, folder: Path) -> list[Photograph]:
    """The rows of an opinion-score CSV, in file order.

    Raises ValueError where a column or a picture is missing, a score is not a number of 0 … 1 or a split not one of
    ``SPLITS``.
    """
    photographs = []
    for line, row in csv_rows(table, ("image", "mos")):
        picture, split = folder / row["image"], row.get("split") or "train"
        try:
            mos = opinion(row["mos"], 0, 1, picture)
        except ValueError as error:
            raise ValueError(
                f"line {line} of {table}: {error}; mos is 0 (bad) … 1 (good): move the scores there by the ends of "
                "their scale, for 1 … 5 (mos - 1) / 4, for 0 … 100 mos / 100, and leave out pictures without a score"
            ) from None
        if split not in SPLITS:
            raise ValueError(f"line {line} of {table} has {split!r} as split: use {', '.join(SPLITS)}")
        photographs.append(Photograph(picture, mos, split, row.get("subset") or "all"))
    return check_pictures(photographs, table)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as uint8 H×W×3."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def _middle(values: NDArray[np.int32], size: tuple[int, int], path: Path) -> NDArray[np.int32]:
    """The middle h×w of 3×H×W lattice values."""
    (height, width), (h, w) = values.shape[1:], size
    if height < h or width < w:
        raise ValueError(f"{path} is {(height, width)} on the domain, smaller than the size {size} asked for")
    top, left = (height - h) // 2, (width - w) // 2
    return values[:, top : top + h, left : left + w]


def cut_to(size: tuple[int, int] | None) -> str:
    """What :func:`read_domain` with this size adds to the description of a run: nothing for whole pictures."""
    return "" if size is None else f" cut to {size[0]}×{size[1]}"


def read_domain(
    photographs: Sequence[Photograph], downscale: int, *, size: tuple[int, int] | None = None, progress: bool = True
) -> NDArray[np.uint16]:
    """Every picture on the engine's domain: uint16 N×3×h×w sums of k² code values.

    ``size``: (h, w) on the domain, to cut the middle out of larger pictures. Raises ValueError for a smaller picture
    and, without a size, where pictures are not all of one.
    """
    from tqdm import tqdm

    if size is not None and min(size) < 1:
        raise ValueError(f"a size of {size} holds no picture")
    domain: NDArray[np.uint16] | None = None
    for index, photograph in enumerate(tqdm(photographs, "reading", disable=None if progress else True)):
        values = lattice(read_rgb(photograph.path), downscale=downscale).values
        if size is not None:
            values = _middle(values, size, photograph.path)
        if domain is None:
            domain = np.empty((len(photographs), *values.shape), np.uint16)
        if values.shape != domain.shape[1:]:
            raise ValueError(
                f"{photograph.path} is {values.shape[1:]} on the domain, the first picture {domain.shape[2:]}: "
                "--size cuts the middle out of all of them"
            )
        domain[index] = values
    if domain is None:
        raise ValueError("no pictures to read")
    return domain


@dataclass(frozen=True)
class TrainingSet:
    """The ``train`` rows on the engine's domain.

    ``domain``: uint16 N×3×h×w lattice values, ``steps`` of which make 1.0; ``mos``: float32 N; ``learn``, ``watch``:
    the pictures to train on, and those held back to choose by.
    """

    domain: NDArray[np.uint16]
    steps: int
    mos: NDArray[np.float32]
    learn: NDArray[np.int64]
    watch: NDArray[np.int64]


def held_back_split(
    photographs: Sequence[Photograph], share: float, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(learn, watch): the numbers of the photographs, of which a ``share`` is held back, the same for a seed.

    The share is of references where pictures have them, each with all that was made from it.
    """
    groups: dict[str | int, list[int]] = {}
    for number, photograph in enumerate(photographs):
        groups.setdefault(photograph.reference or number, []).append(number)
    members = list(groups.values())
    order = np.random.default_rng(seed).permutation(len(members))
    watch, learn = (
        np.array([number for group in part for number in members[group]], np.int64)
        for part in np.split(order, [round(share * len(members))])
    )
    return learn, watch


def read_training_set(
    photographs: Sequence[Photograph],
    *,
    downscale: int,
    held_back: float,
    seed: int,
    batch: int,
    size: tuple[int, int] | None = None,
) -> TrainingSet:
    """Read the ``train`` photographs; the other splits are never touched.

    Raises ValueError as :func:`read_domain`, and before reading where there are too few for a ``batch``.
    """
    chosen = [p for p in photographs if p.split == "train"]
    learn, watch = held_back_split(chosen, held_back, seed)
    if len(watch) < 3 or len(learn) < 3:
        raise ValueError(
            f"there are {len(chosen)} train pictures: a held-back share of {held_back} leaves {len(learn)} to "
            f"train on and {len(watch)} to choose by, and 3 of each are the least"
        )
    if not 1 <= batch <= len(learn):
        raise ValueError(
            f"a batch of {batch} cannot be drawn from {len(learn)} pictures to train on: use --batch 1 … {len(learn)}"
        )
    return TrainingSet(
        domain=read_domain(chosen, downscale, size=size),
        steps=255 * downscale**2,
        mos=np.array([p.mos for p in chosen], np.float32),
        learn=learn,
        watch=watch,
    )
