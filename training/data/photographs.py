"""Photographs with opinion scores: a folder of pictures and a CSV, read onto the engine's domain.

The CSV has a header with ``image`` (path below the folder) and ``mos`` (0 bad … 1 good; higher is
better), and optionally ``split`` (train, val, test) and ``subset``. Datasets in their authors' own folders are read by
``published_datasets.py``.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from runtime.errors import TrainingError

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
    """A score between ``worst`` and ``best`` on 0 … 1. Raises TrainingError for anything else, nan included."""
    try:
        value = float(score)
    except (TypeError, ValueError):
        raise TrainingError(f"the score of {picture} is {score!r}, not a number") from None
    if not worst <= value <= best:
        raise TrainingError(f"the score of {picture} is {value}, outside the scale of {worst} … {best}")
    return (value - worst) / (best - worst)


def read_table(table: Path) -> str:
    """The text of a table of scores. Raises TrainingError where it is not UTF-8."""
    try:
        return table.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise TrainingError(f"{table} is not UTF-8 text: {error}") from None


def csv_rows(table: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """(line number, row) of a CSV with a header.

    Raises TrainingError where one of ``columns`` is missing, or empty in a row.
    """
    reader = csv.DictReader(io.StringIO(read_table(table), newline=""))
    try:
        missing = set(columns) - set(reader.fieldnames or ())
        if missing:
            raise TrainingError(f"{table} has no column {', '.join(sorted(missing))}: found {reader.fieldnames}")
        rows = []
        for row in reader:
            empty = [column for column in columns if not row[column]]
            if empty:
                raise TrainingError(f"line {reader.line_num} of {table} has no {', '.join(empty)}")
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise TrainingError(f"line {reader.line_num} of {table} cannot be read: {error}") from None
    return rows


def check_pictures(photographs: list[Photograph], table: Path) -> list[Photograph]:
    """The photographs, if every picture is there. Raises TrainingError that names the first which is not."""
    absent = [p.path for p in photographs if not p.path.is_file()]
    if absent:
        raise TrainingError(f"{len(absent)} pictures of {table} are missing, the first is {absent[0]}")
    return photographs


def read_scores(table: Path, folder: Path) -> list[Photograph]:
    """The rows of an opinion-score CSV, in file order.

    Raises TrainingError where a column or a picture is missing, a score is not a number of 0 … 1 or a split not one of
    ``SPLITS``.
    """
    photographs = []
    for line, row in csv_rows(table, ("image", "mos")):
        picture, split = folder / row["image"], row.get("split") or "train"
        try:
            mos = opinion(row["mos"], 0, 1, picture)
        except ValueError as error:
            raise TrainingError(
                f"line {line} of {table}: {error}; mos is 0 (bad) … 1 (good): move the scores there by the ends of "
                "their scale, for 1 … 5 (mos - 1) / 4, for 0 … 100 mos / 100, and leave out pictures without a score"
            ) from None
        if split not in SPLITS:
            raise TrainingError(f"line {line} of {table} has {split!r} as split: use {', '.join(SPLITS)}")
        photographs.append(Photograph(picture, mos, split, row.get("subset") or "all"))
    return check_pictures(photographs, table)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """A picture file as uint8 H×W×3."""
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
