"""Photographs on the engine's domain, and which of them are held back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.errors import TrainingError
from runtime.frames.lattice import to_lattice

from .photographs import Photograph, read_rgb


def _middle(values: NDArray[Any], size: tuple[int, int], path: Path) -> NDArray[Any]:
    """The middle h×w of 3×H×W lattice values."""
    (height, width), (h, w) = values.shape[1:], size
    if height < h or width < w:
        raise TrainingError(f"{path} is {(height, width)} on the domain, smaller than the size {size} asked for")
    top, left = (height - h) // 2, (width - w) // 2
    return values[:, top : top + h, left : left + w]


def cut_to(size: tuple[int, int] | None) -> str:
    """What :func:`read_domain` with this size adds to the description of a run: nothing for whole pictures."""
    return "" if size is None else f" cut to {size[0]}×{size[1]}"


def read_domain(
    photographs: Sequence[Photograph], downscale: int, *, size: tuple[int, int] | None = None, progress: bool = True
) -> NDArray[np.uint16]:
    """Every picture on the engine's domain: uint16 N×3×h×w sums of k² code values.

    ``size``: (h, w) on the domain, to cut the middle out of larger pictures. Raises TrainingError for a smaller picture
    and, without a size, where pictures are not all of one.
    """
    from tqdm import tqdm

    if size is not None and min(size) < 1:
        raise TrainingError(f"a size of {size} holds no picture")
    domain: NDArray[np.uint16] | None = None
    for index, photograph in enumerate(tqdm(photographs, "reading", disable=None if progress else True)):
        values = to_lattice(read_rgb(photograph.path), downscale=downscale).values
        if size is not None:
            values = _middle(values, size, photograph.path)
        if domain is None:
            domain = np.empty((len(photographs), *values.shape), np.uint16)
        if values.shape != domain.shape[1:]:
            raise TrainingError(
                f"{photograph.path} is {values.shape[1:]} on the domain, the first picture {domain.shape[2:]}: "
                "--size cuts the middle out of all of them"
            )
        domain[index] = values
    if domain is None:
        raise TrainingError("no pictures to read")
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

    Raises TrainingError as :func:`read_domain`, and before reading where there are too few for a ``batch``.
    """
    chosen = [p for p in photographs if p.split == "train"]
    learn, watch = held_back_split(chosen, held_back, seed)
    if len(watch) < 3 or len(learn) < 3:
        raise TrainingError(
            f"there are {len(chosen)} train pictures: a held-back share of {held_back} leaves {len(learn)} to "
            f"train on and {len(watch)} to choose by, and 3 of each are the least"
        )
    if not 1 <= batch <= len(learn):
        raise TrainingError(
            f"a batch of {batch} cannot be drawn from {len(learn)} pictures to train on: use --batch 1 … {len(learn)}"
        )
    return TrainingSet(
        domain=read_domain(chosen, downscale, size=size),
        steps=255 * downscale**2,
        mos=np.array([p.mos for p in chosen], np.float32),
        learn=learn,
        watch=watch,
    )
