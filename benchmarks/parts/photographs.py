"""Scored photographs to measure on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data import Photograph, read_scores


def spread(scores: Path, images: Path, split: str, count: int) -> list[Photograph]:
    """At most ``count`` photographs of a split, evenly over its rows."""
    every = [photograph for photograph in read_scores(scores, images) if photograph.split == split]
    return [every[i] for i in np.linspace(0, len(every) - 1, min(count, len(every))).round().astype(int)]
