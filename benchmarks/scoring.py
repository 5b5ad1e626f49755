"""Many pictures under all defences, on all cores, with a checkpoint: the slow half of the evidence.

A picture's scores are kept in one file below the output folder, named by what was scored and how; a run that was
killed goes on with the pictures that are missing.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime.frames import lattice
from runtime.samplers.onnx import OnnxSampler

from .defences import samplers


@dataclass(frozen=True)
class Item:
    """A picture to be scored. ``load``: a module-level function and its arguments that give uint8 H×W×3."""

    name: str
    load: Callable[..., NDArray[np.uint8]]
    arguments: tuple[object, ...]


@dataclass(frozen=True)
class Scores:
    """``none``: float32 N. ``smoothed``: defence → float32 N×n, noisy scores."""

    none: NDArray[np.float32]
    smoothed: dict[str, NDArray[np.float32]]


_open: dict[str, OnnxSampler] = {}


def _start(paths: dict[str, Path], sigma: float) -> None:
    _open.update(samplers(paths))
    for sampler in _open.values():
        sampler.sigma = sigma  # the graph does not know it


def _score(item: Item, count: int) -> NDArray[np.float32]:
    """1 + Dn scores: the clean one, then n noisy ones a defence. The key is the item's name: public and repeatable."""
    pictures = {k: lattice(item.load(*item.arguments), downscale=k) for k in {s.downscale for s in _open.values()}}
    key = hashlib.sha256(item.name.encode()).digest()[:16]
    clean = _open["MS"].clean_score(pictures[_open["MS"].downscale])
    noisy = [_open[d].scores(pictures[_open[d].downscale], key, 0, count) for d in _open]
    return np.concatenate([np.array([clean], np.float32), *noisy])


def score_all(
    items: Iterable[Item], paths: dict[str, Path], sigma: float, count: int, cache: Path, title: str
) -> Scores:
    """Score every item ``count`` times under each smoothed defence, and once bare.

    ``paths``: defence → bundle, MS among them. ``sigma``: noise on the engine's domain. ``cache``: .npz that is read
    first and rewritten every hundred pictures.
    """
    items = list(items)
    identity = hashlib.sha256(
        b"".join((path / "manifest.json").read_bytes() for _, path in sorted(paths.items()))
        + f"{sigma} {count}".encode()
    ).hexdigest()
    known: dict[str, NDArray[np.float32]] = {}
    if cache.exists():
        with np.load(cache) as stored:
            if str(stored["identity"]) == identity:
                known = dict(zip(stored["names"].tolist(), stored["rows"], strict=True))
    missing = [item for item in items if item.name not in known]
    workers = os.cpu_count() or 1
    bar = tqdm(total=len(items), initial=len(items) - len(missing), desc=title, disable=None)
    with ProcessPoolExecutor(workers, initializer=_start, initargs=(paths, sigma)) as pool, bar:
        for start in range(0, len(missing), 100):
            chunk = missing[start : start + 100]
            for item, row in zip(chunk, pool.map(_score, chunk, [count] * len(chunk)), strict=True):
                known[item.name] = row
                bar.update()
            _save(cache, identity, known)
    rows = np.stack([known[item.name] for item in items])
    noisy = rows[:, 1:].reshape(len(items), len(paths), count)
    return Scores(rows[:, 0], {defence: noisy[:, i] for i, defence in enumerate(paths)})


def _save(cache: Path, identity: str, known: dict[str, NDArray[np.float32]]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial = cache.with_suffix(".partial.npz")
    np.savez(partial, identity=identity, names=np.array(list(known)), rows=np.stack(list(known.values())))
    os.replace(partial, cache)
