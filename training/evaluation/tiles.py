"""Which noise and which tiles? Agreement with people, and the width that grey levels cost, of pairs cut into tiles.

    python -m training.evaluation.tiles --pairs 0.25=metric_0.25.safetensors,denoiser_0.25.safetensors \\
        --tiles 0 32 64 --scores biq2021/scores.csv --images biq2021/images --backbone mobilenet_v1_050.npz \\
        --cache runs/cache

Rows as in ``levels.py``: ``fold`` to choose by, ``val`` to report. A tile's score is the median of its ``--draws``
noisy copies, a photograph's the ``--aggregate`` of its tiles, a row for each; a tile of 0 is the whole frame.
``spread``: mean standard deviation of a tile's score over the noise. ``width_estimated``: for ℓ grey levels of 8 bits,
2·s·spread with s = ℓ·√(3T²)/(255σ), which is what an unlimited number of Gaussian scores would certify; "range" where
s > 4, which no affordable number of samples bounds. ``third`` says the width at one grey level as a share of the range
of scores, 5th to 95th percentile.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from tqdm import tqdm

from runtime.bounds.aggregates import AGGREGATES, TRIM, Aggregate
from runtime.frames.lattice import Lattice

from ..data.domain_cache import cached_domain
from ..data.photographs import read_scores
from ..networks import frozen_denoiser, frozen_metric
from ..recipes.levels import tiles_of
from ..smoothed_loss import Scorer
from .levels import agreement, as_lattice, chosen_rows
from .quick_look import noisy_copies

GREY_LEVELS = (0.5, 1.0, 2.0)
FARTHEST = 4.0
"""The largest s that a few ten thousand samples bound."""

Scores = NDArray[np.float64]


def tile_scores(network: nn.Module, frame: Lattice, sigma: float, tile: int, draws: int, seed: int) -> Scores:
    """draws×tiles; ``tile`` 0: draws×1. Raises ValueError where the tiles leave a part of the frame out."""
    copies = noisy_copies(frame, sigma, draws, seed)
    if tile:
        if any(side % tile for side in copies.shape[-2:]):
            raise ValueError(f"tiles of {tile} do not fill a frame of {frame.height}×{frame.width} on the domain")
        copies = tiles_of(copies, tile)
    with torch.inference_mode():
        parts = [network(part.contiguous(memory_format=torch.channels_last)) for part in torch.split(copies, 64)]
    return torch.cat(parts).view(draws, -1).double().numpy()


def figures(scores: Sequence[Scores], sigma: float, tile: int, aggregate: Aggregate) -> tuple[Scores, dict[str, Any]]:
    """(a score for each photograph, range, spread and estimated widths) of each one's draws×tiles."""
    whole = np.array([aggregate.of(np.median(each, axis=0)) for each in scores])
    spread = float(np.mean([each.std(axis=0, ddof=1).mean() for each in scores]))
    low, high = np.quantile(whole, (0.05, 0.95))
    made: dict[str, Any] = {"range": round(float(high - low), 2), "spread": round(spread, 3)}
    if tile:
        shifts = {levels: levels * math.sqrt(3) * tile / 255 / sigma for levels in GREY_LEVELS}
        made["width_estimated"] = {
            f"{levels:g}": round(2 * s * spread, 2) if s <= FARTHEST else "range" for levels, s in shifts.items()
        }
        made["third"] = round(2 * shifts[1.0] * spread / float(high - low), 3) if shifts[1.0] <= FARTHEST else None
    return whole, made


def evaluate(options: argparse.Namespace) -> list[dict[str, Any]]:
    """A row for each pair and tile."""
    photographs = read_scores(options.scores, options.images)
    rows = chosen_rows(photographs, options)
    domain = cached_domain(photographs, options.downscale, options.cache / "domain.npy")
    frames = [as_lattice(np.asarray(domain[row])) for row in rows]
    result = []
    for named in options.pairs:
        sigma, _, files = named.partition("=")
        metric, _, denoiser = files.partition(",")
        network = Scorer(frozen_metric(weights=Path(metric)), frozen_denoiser(weights=Path(denoiser))).eval()
        for tile in options.tiles:
            scores = [
                tile_scores(network, frame, float(sigma), tile, options.draws, seed)
                for seed, frame in enumerate(tqdm(frames, f"σ {sigma}, T {tile}", disable=None))
            ]
            for name in options.aggregate if tile else ["mean"]:
                aggregate = Aggregate(name, TRIM if name == "trimmed_mean" else 0.0)
                whole, made = figures(scores, float(sigma), tile, aggregate)
                agreed = agreement(whole, [photographs[row] for row in rows])
                srocc = {subset: part["srocc"] for subset, part in agreed.items()}
                row = {"pair": metric, "sigma": float(sigma), "tile": tile, "aggregate": str(aggregate)}
                result.append({**row, "rows": options.rows, "photographs": len(rows), "srocc": srocc, **made})
                print(json.dumps(result[-1]), flush=True)
            if options.json:
                options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training.evaluation.tiles", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", nargs="+", required=True, help="σ=metric.safetensors,denoiser.safetensors")
    parser.add_argument("--tiles", type=int, nargs="+", default=[0, 32, 64, 128], help="T; 0 for whole frames")
    parser.add_argument("--aggregate", choices=AGGREGATES, nargs="+", default=["mean"])
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True, help="mobilenet_v1_050.npz: finds near relatives")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--rows", choices=("val", "fold", "all-val", "test"), default="fold")
    parser.add_argument("--limit", type=int, help="photographs, evenly thinned")
    parser.add_argument("--draws", type=int, default=9)
    parser.add_argument("--downscale", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        evaluate(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
