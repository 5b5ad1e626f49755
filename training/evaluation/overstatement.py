"""How far a split that ignores near relatives flatters: one ridge head, folds at random against folds of whole scenes.

    python -m training.evaluation.overstatement --scores biq2021/scores.csv --images biq2021/images \\
        --backbone mobilenet_v1_050.npz --cache runs/cache

The features are those of ImageNet, frozen, so that nothing of them was learnt on these photographs; the head is fitted
anew for each of ``FOLDS`` folds of train, and the photographs of a fold are scored by the head that did not see it.
Prints SROCC by subset for both kinds of folds, and how many val photographs have a relative in train.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..data.photographs import read_scores
from ..data.relatives import unrelated
from ..networks import METRICS, UNDEFENDED_METRIC
from ..networks.mobilenet import BackboneMetric
from ..recipes.levels import LevelsConfig, read_material
from .correlation import srocc

FOLDS = 5
RIDGE = 300.0


def pooled_statistics(backbone: BackboneMetric, domain: NDArray[np.uint8], batch: int = 16) -> NDArray[np.float64]:
    """uint8 N×3×h×w → N×F."""
    rows = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(domain), batch), "statistics", disable=None):
            images = torch.from_numpy(domain[start : start + batch].astype(np.float32) / 255)
            rows.append(backbone.statistics(images.contiguous(memory_format=torch.channels_last)))
    return torch.cat(rows).double().numpy()


def out_of_fold(
    features: NDArray[np.float64], target: NDArray[np.float64], fold: NDArray[np.int64], ridge: float = RIDGE
) -> NDArray[np.float64]:
    """N predictions, each from a ridge solution that did not see its fold. ``features``: N×F."""
    predicted = np.empty(len(target))
    for number in np.unique(fold):
        kept, left = fold != number, fold == number
        mean, scale = features[kept].mean(0), features[kept].std(0) + 1e-3
        normal, centre = (features[kept] - mean) / scale, target[kept].mean()
        gram = normal @ normal.T + ridge * np.eye(len(normal))
        weights = normal.T @ np.linalg.solve(gram, target[kept] - centre)
        predicted[left] = (features[left] - mean) / scale @ weights + centre
    return predicted


def scene_folds(groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int64]:
    """N fold numbers: whole groups, the largest first, each to the smallest fold."""
    sizes = np.bincount(groups)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]
    fold_of, held = np.empty(len(sizes), np.int64), np.zeros(count, np.int64)
    for group in order:
        fold_of[group] = int(held.argmin())
        held[fold_of[group]] += sizes[group]
    return fold_of[groups]


def main(arguments: list[str] | None = None) -> int:
    program = "python -m training.evaluation.overstatement"
    parser = argparse.ArgumentParser(program, description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        photographs = read_scores(options.scores, options.images)
        backbone = METRICS[UNDEFENDED_METRIC].make()
        backbone.load_backbone(options.backbone)
        material = read_material(photographs, backbone, options.cache, LevelsConfig(ladders=0))
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    statistics = pooled_statistics(backbone, material.domain)
    split, subset = (np.array([getattr(p, name) for p in photographs]) for name in ("split", "subset"))
    mos = material.mos.astype(np.float64)
    alone = unrelated(material.groups, split == "train")
    result: dict[str, dict[str, float]] = {}
    for name in sorted(set(subset)):
        rows = np.flatnonzero((subset == name) & (split == "train"))
        val = (subset == name) & (split == "val")
        random = np.random.default_rng(1).permutation(len(rows)) % FOLDS
        scenes = scene_folds(np.unique(material.groups[rows], return_inverse=True)[1], FOLDS, 1)
        result[name] = {
            "train": len(rows),
            "scenes": len(np.unique(material.groups[rows])),
            "largest scene": int(np.bincount(material.groups[rows]).max()),
            "val": int(val.sum()),
            "val without a relative in train": int((val & alone).sum()),
            "srocc, folds at random": round(srocc(out_of_fold(statistics[rows], mos[rows], random), mos[rows]), 4),
            "srocc, folds of scenes": round(srocc(out_of_fold(statistics[rows], mos[rows], scenes), mos[rows]), 4),
        }
        print(name, json.dumps(result[name]), flush=True)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
