"""Near relatives among photographs: scenes taken again and again, which must stay on one side of a split.

A score learnt on one photograph of a scene is half known for the next one, so a random split flatters. Two photographs
are related if their features are alike (cosine ≥ ``ANYWHERE``), or alike enough (≥ ``NEARBY``) while their file
numbers lie within ``REACH`` of one another in one subset, because people number what they take in turn. A group is
what hangs together by such links: a connected component.

Features: the mean of the last map of an ImageNet backbone, standardised, projected on its first 128 principal
directions and divided by the root of their singular values, scaled to length 1.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from ..networks.mobilenet import BackboneMetric
from .photographs import Photograph

ANYWHERE, NEARBY, REACH = 0.80, 0.45, 10
"""Chosen by looking at pairs: at 0.8 all but some animals are one scene, and at 0.45 most neighbours in number are."""

_DIRECTIONS = 128
_BLOCK = 512


def backbone_features(backbone: BackboneMetric, domain: NDArray[np.uint8], batch: int = 32) -> NDArray[np.float32]:
    """uint8 N×3×h×w → N×C, the spatial mean of the last map."""
    backbone.eval()
    rows = []
    with torch.inference_mode():
        for start in range(0, len(domain), batch):
            images = torch.from_numpy(domain[start : start + batch].astype(np.float32) / 255)
            *_, (_, last) = backbone.maps(images.contiguous(memory_format=torch.channels_last))
            rows.append(last.mean((2, 3)))
    return torch.cat(rows).numpy()


def directions_of(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """N×C → N×D of length 1 each, whose inner products are the likeness of two photographs."""
    standard = (features - features.mean(0)) / (features.std(0) + 1e-3)
    _, singular, axes = np.linalg.svd(standard, full_matrices=False)
    kept = singular[:_DIRECTIONS] > 1e-4 * singular[0]
    projected = standard @ axes[:_DIRECTIONS][kept].T / np.sqrt(singular[:_DIRECTIONS][kept])
    length = np.linalg.norm(projected, axis=1, keepdims=True)
    return np.asarray(projected / np.maximum(length, 1e-12), np.float32)


def file_number(photograph: Photograph) -> int | None:
    """The last run of digits in the file's name."""
    digits = re.findall(r"\d+", photograph.path.stem)
    return int(digits[-1]) if digits else None


def related_groups(photographs: Sequence[Photograph], directions: NDArray[np.float32]) -> NDArray[np.int64]:
    """N group numbers from 0. ``directions``: N×D as :func:`directions_of` gives them."""
    numbers = [file_number(p) for p in photographs]
    place = np.array([-(10**9) - REACH * 2 * i if n is None else n for i, n in enumerate(numbers)], np.int64)
    subset = np.unique([p.subset for p in photographs], return_inverse=True)[1]
    firsts, seconds = [], []
    for start in range(0, len(photographs), _BLOCK):
        rows = slice(start, start + _BLOCK)
        alike = directions[rows] @ directions.T
        near = (np.abs(place[rows, None] - place[None]) <= REACH) & (subset[rows, None] == subset[None])
        first, second = np.nonzero((alike >= ANYWHERE) | (near & (alike >= NEARBY)))
        firsts.append(first + start)
        seconds.append(second)
    first, second = np.concatenate(firsts), np.concatenate(seconds)
    links = coo_matrix((np.ones(len(first), np.int8), (first, second)), shape=(len(photographs),) * 2)
    return np.asarray(connected_components(links, directed=False)[1], np.int64)


def folds(photographs: Sequence[Photograph], groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """N fold numbers 0 … count−1: whole groups, every subset spread evenly over the folds.

    Large groups first, each to the fold that holds the fewest of its subset; equal ones by a shuffle of ``seed``.
    """
    subset = np.unique([p.subset for p in photographs], return_inverse=True)[1]
    sizes = np.bincount(groups)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    members = np.split(np.argsort(groups, kind="stable"), np.cumsum(sizes)[:-1])
    held = np.zeros((count, int(subset.max()) + 1), np.int64)
    fold = np.empty(len(photographs), np.int64)
    for group in order:
        chosen = members[group]
        mix = np.bincount(subset[chosen], minlength=held.shape[1])
        target = int(np.argmin(held[:, int(mix.argmax())]))
        fold[chosen] = target
        held[target] += mix
    return fold


def unrelated(groups: NDArray[np.int64], trained: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """N booleans: the photographs of which no relative, nor they themselves, are among the ``trained``."""
    touched = np.bincount(groups[trained], minlength=int(groups.max()) + 1) > 0
    return np.asarray(~touched[groups])
