"""Many photographs under all defences, on all cores, with a checkpoint: the slow half of the evidence.

The scores of a defence are kept in one file, with the digest of the graph that gave them: a run that was killed goes
on with the photographs that are missing, and defences that have not changed are not scored again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime import Bundle, open_bundle
from runtime.atomic import whole_file
from runtime.frames import to_lattice
from runtime.samplers import OnnxSampler, usable_cores
from training.data import Photograph, read_rgb


@dataclass(frozen=True)
class Item:
    """A photograph to be scored. ``load``: a module-level function and its arguments that give uint8 H×W×3."""

    name: str
    load: Callable[..., NDArray[np.uint8]]
    arguments: tuple[object, ...]


def items_of(photographs: Sequence[Photograph], folder: Path) -> list[Item]:
    """Photographs of a folder, to be scored."""
    return [Item(str(p.path.relative_to(folder)), read_rgb, (p.path,)) for p in photographs]


@dataclass(frozen=True)
class Scores:
    """``none``: float32 N. ``smoothed``: defence → float32 N×n, noisy scores."""

    none: NDArray[np.float32]
    smoothed: dict[str, NDArray[np.float32]]


_open: dict[str, OnnxSampler] = {}


def _start(bundle: Path, sigma: float, precision: str) -> None:
    _open["it"] = OnnxSampler(_at(bundle, sigma), threads=1, precision=precision)
    _open["it"].sigma = sigma  # the graph does not know it


def _at(bundle: Path, sigma: float) -> Bundle:
    """A family at this level; any other bundle as it is."""
    opened = open_bundle(bundle)
    return opened.at(sigma) if opened.manifest.levels else opened


def _score(item: Item, count: int) -> NDArray[np.float32]:
    """1 + n scores: the clean one, then the noisy ones. The key is the item's name: public and repeatable."""
    sampler = _open["it"]
    lattice = to_lattice(item.load(*item.arguments), downscale=sampler.downscale)
    key = hashlib.sha256(item.name.encode()).digest()[:16]
    clean = np.array([sampler.clean_score(lattice)], np.float32)
    return np.concatenate([clean, sampler.scores(lattice, key, 0, count)])


def score_all(
    items: Sequence[Item], paths: dict[str, Path], sigma: float, count: int, folder: Path, title: str
) -> Scores:
    """Score every item ``count`` times under each smoothed defence, and once bare.

    ``paths``: defence → bundle, MS among them. ``sigma``: noise on the engine's domain. ``folder``: of the checkpoints,
    which are named after the ``title``.
    """
    rows = {
        defence: score_rows(
            items, bundle, sigma, count, folder / f"{title} {defence} {count}.npz".replace(" ", "-"),
            f"{title}, {defence}",
        )
        for defence, bundle in paths.items()
    }  # fmt: skip
    return Scores(rows["MS"][:, 0], {defence: made[:, 1:] for defence, made in rows.items()})


def score_rows(
    items: Sequence[Item], bundle: Path, sigma: float, count: int, cache: Path, title: str, precision: str = "fp32"
) -> NDArray[np.float32]:
    """float32 N×(1 + n) of one bundle: the clean score, then the noisy ones; of a family at the level ``sigma``.

    ``cache``: .npz that is read first and rewritten every few photographs.
    """
    opened = _at(bundle, sigma)
    identity = f"{opened.graph_digest(precision)} {opened.manifest.input.downscale} {sigma} {count}"
    known: dict[str, NDArray[np.float32]] = {}
    if cache.exists():
        with np.load(cache) as stored:
            if str(stored["identity"]) == identity:
                known = dict(zip(stored["names"].tolist(), stored["rows"], strict=True))
    missing = [item for item in items if item.name not in known]
    step = 100 if count < 200 else 4
    bar = tqdm(total=len(items), initial=len(items) - len(missing), desc=title, disable=None)
    with ProcessPoolExecutor(usable_cores(), initializer=_start, initargs=(bundle, sigma, precision)) as pool, bar:
        for start in range(0, len(missing), step):
            chunk = missing[start : start + step]
            for item, row in zip(chunk, pool.map(_score, chunk, [count] * len(chunk)), strict=True):
                known[item.name] = row
                bar.update()
            _save(cache, identity, known)
    return np.stack([known[item.name] for item in items])


def _save(cache: Path, identity: str, known: dict[str, NDArray[np.float32]]) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(cache) as file:
        np.savez(file, identity=identity, names=np.array(list(known)), rows=np.stack(list(known.values())))
