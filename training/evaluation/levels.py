"""What each level of a family is worth: agreement with people, order within ladders, widths; the bare metric beside it.

    python -m training.evaluation.levels --family runs/levels/levels.safetensors --scores biq2021/scores.csv \\
        --images biq2021/images --backbone mobilenet_v1_050.npz --cache runs/cache --rows val --json levels.json

Rows: ``val``, those of the val photographs of which no relative was trained on; ``fold``, the fold of train that was
held out to choose by; ``all-val``, relatives and all, to say how far that flatters; ``test``, every photograph of the
table. SROCC and PLCC of the median of ``--draws`` noisy copies, under the runtime's integer noise.

Widths of ``scope_ranks`` at n = 1,000 and α = 0.001, ε on the source frame: measured from 1,000 copies of
``--measured`` photographs, and estimated for all of them from their spread and the quantiles of the deviations
(score − mean)/spread of all photographs together. The score's range is that from its 5th to its 95th percentile.

Ladders: the mean over photographs of Spearman's correlation between the score and minus the severity, 0 to 5.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from runtime.bounds.ranks import scope_ranks
from runtime.frames.lattice import Lattice, to_lattice

from ..data.domain_cache import cached_domain
from ..data.ladders import KINDS, RUNGS, build_ladders, sharpest
from ..data.photographs import Photograph, read_rgb, read_scores
from ..data.relatives import unrelated
from ..networks import METRICS, UNDEFENDED_METRIC, frozen_denoiser, frozen_metric
from ..networks.levelled import load_family, plain_pair
from ..recipes.levels import LevelsConfig, aggregate_tiles, read_material, tiles_of
from ..smoothed_loss import Scorer
from .correlation import plcc, srocc
from .quick_look import noisy_copies

__all__ = ["chosen_rows"]

ALPHA, SAMPLES = 0.001, 1000
EPSILONS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
_BATCH = 20

Scores = NDArray[np.float32]


def score_copies(network: nn.Module, copies: Tensor, tile: int, aggregate: str) -> Scores:
    """n clamped noisy copies → n scores; with a tile, of the aggregate of their tiles, what no tile holds cut off."""
    result = []
    for part in torch.split(copies, _BATCH):
        if tile:
            height, width = (side // tile * tile for side in part.shape[-2:])
            cut = tiles_of(part[..., :height, :width].contiguous(), tile)
            scores = aggregate_tiles(_scores(network, cut).view(len(part), -1), aggregate)
        else:
            scores = _scores(network, part)
        result.append(scores)
    return torch.cat(result).numpy()


def _scores(network: nn.Module, pictures: Tensor) -> Tensor:
    seen = network(pictures.contiguous(memory_format=torch.channels_last))
    scores: Tensor = seen if isinstance(seen, Tensor) else seen.scores
    return scores


def ranges_and_widths(draws: Scores, sigma: float, downscale: int) -> dict[str, Any]:
    """Of N×n scores: range, mean spread, and estimated mean width at n = 1,000 for each ε that it can bound."""
    medians, spreads = np.median(draws, axis=1), draws.std(axis=1, ddof=1)
    low, high = np.quantile(medians, (0.05, 0.95))
    # From the mean of n draws a draw strays less than from the expectation, by the root of (n − 1)/n.
    centred = (draws - draws.mean(axis=1, keepdims=True)) * np.sqrt(draws.shape[1] / (draws.shape[1] - 1))
    deviations = np.sort((centred / np.maximum(spreads[:, None], 1e-6)).reshape(-1))
    widths = {}
    for epsilon in EPSILONS:
        lower, upper = scope_ranks(SAMPLES, epsilon / downscale / sigma, ALPHA, "smoothed")
        if lower is not None and upper is not None:
            ends = np.quantile(deviations, ((lower - 0.5) / SAMPLES, (upper - 0.5) / SAMPLES))
            widths[f"{epsilon:g}"] = round(float((ends[1] - ends[0]) * spreads.mean()), 3)
    return {
        "range": round(float(high - low), 2),
        "spread": round(float(spreads.mean()), 4),
        "width_estimated": widths,
    }


def measured_widths(many: Scores, sigma: float, downscale: int) -> dict[str, float]:
    """ε → mean width of M×1,000 scores."""
    ordered = np.sort(many.astype(np.float64), axis=1)
    widths = {}
    for epsilon in EPSILONS:
        lower, upper = scope_ranks(many.shape[1], epsilon / downscale / sigma, ALPHA, "smoothed")
        if lower is not None and upper is not None:
            widths[f"{epsilon:g}"] = round(float((ordered[:, upper - 1] - ordered[:, lower - 1]).mean()), 3)
    return widths


def agreement(scores: NDArray[np.float64], photographs: Sequence[Photograph]) -> dict[str, dict[str, float]]:
    """{subset: SROCC, PLCC, pictures}; ``pooled`` is all; subsets of fewer than 10 are left out."""
    mos, subsets = np.array([p.mos for p in photographs]), np.array([p.subset for p in photographs])
    parts = {"pooled": np.ones(len(mos), bool)} | {name: subsets == name for name in sorted(set(subsets))}
    return {
        name: {
            "srocc": round(srocc(scores[chosen], mos[chosen]), 4),
            "plcc": round(plcc(scores[chosen], mos[chosen]), 4),
            "pictures": int(chosen.sum()),
        }
        for name, chosen in parts.items()
        if chosen.sum() >= 10
    }


def ladder_agreement(scores: NDArray[np.float64]) -> dict[str, float]:
    """{kind: mean Spearman} of P×kinds×(1 + rungs) scores, the pristine photograph first."""
    severity = -np.arange(RUNGS + 1)
    return {
        kind: round(float(np.mean([srocc(row, severity) if np.ptp(row) else 0.0 for row in scores[:, number]])), 3)
        for number, kind in enumerate(KINDS)
    }


def ladder_pictures(pristine: NDArray[np.uint8], rungs: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """P×kinds×(1 + rungs)×3×h×w: each ladder with its photograph before it."""
    first = np.broadcast_to(pristine[:, None, None], (len(rungs), len(KINDS), 1, *pristine.shape[1:]))
    return np.concatenate([first, rungs], axis=2)


def as_lattice(picture: NDArray[np.uint8]) -> Lattice:
    """A cached picture, uint8 3×h×w whole code values, on the lattice of 8 bits without a box."""
    return to_lattice(np.ascontiguousarray(picture.transpose(1, 2, 0)), downscale=1)


def evaluate_level(
    network: nn.Module, frames: Sequence[Lattice], sigma: float | None, draws: int, tile: int, aggregate: str
) -> Scores:
    """N×n scores; ``sigma`` None: one score of the clean picture each."""
    rows = []
    with torch.inference_mode():
        for seed, frame in enumerate(tqdm(frames, "scoring", disable=None)):
            if sigma is None:
                copies = torch.from_numpy(frame.values[None].astype(np.float32) / frame.steps)
            else:
                copies = noisy_copies(frame, sigma, draws, seed)
            rows.append(score_copies(network, copies, tile if sigma is not None else 0, aggregate))
    return np.stack(rows)


def chosen_rows(photographs: Sequence[Photograph], options: argparse.Namespace) -> list[int]:
    """The numbers of the photographs asked for, thinned evenly to the limit."""
    if options.rows == "test":
        rows = list(range(len(photographs)))
    elif options.rows == "all-val":
        rows = [i for i, p in enumerate(photographs) if p.split == "val"]
    else:
        backbone = METRICS[UNDEFENDED_METRIC].make()
        backbone.load_backbone(options.backbone)
        config = LevelsConfig(ladders=0)
        material = read_material(photographs, backbone, options.cache, config)
        if options.rows == "fold":
            rows = material.watch.tolist()
        else:
            trained = np.zeros(len(photographs), bool)
            trained[material.learn] = True
            alone = unrelated(material.groups, trained)
            rows = [i for i, p in enumerate(photographs) if p.split == "val" and alone[i]]
    if options.limit and len(rows) > options.limit:
        rows = [rows[i] for i in np.linspace(0, len(rows) - 1, options.limit).round().astype(int)]
    return rows


def evaluate(options: argparse.Namespace) -> dict[str, Any]:
    """The whole table, as {"bare" or σ: figures}."""
    photographs = read_scores(options.scores, options.images)
    chosen = [photographs[i] for i in chosen_rows(photographs, options)]
    if len(chosen) < 10:
        raise ValueError(f"{len(chosen)} photographs are too few to correlate anything: 10 are the least")
    frames = [to_lattice(read_rgb(p.path), downscale=options.downscale) for p in chosen]
    ladders: list[Lattice] = []
    if options.ladders:
        pristine, rungs = _held_out_ladders(photographs, options)
        whole = ladder_pictures(pristine, rungs).reshape(-1, *pristine.shape[1:])
        ladders = [as_lattice(picture) for picture in whole]
    networks: dict[str, tuple[nn.Module, float | None]] = {"bare": (frozen_metric(), None)}
    if options.metric and options.denoiser:
        pair = Scorer(frozen_metric(weights=options.metric), frozen_denoiser(weights=options.denoiser)).eval()
        networks[f"pair {options.sigma:g}"] = (pair, options.sigma)
    if options.family:
        family = load_family(options.family, options.width)
        for sigma in options.sigmas or family.sigmas:
            networks[f"{sigma:g}"] = (plain_pair(family, sigma, options.width), sigma)
    result: dict[str, Any] = {"rows": options.rows, "draws": options.draws, "photographs": len(chosen)}
    for name, (network, sigma) in networks.items():
        draws = evaluate_level(network, frames, sigma, options.draws, options.tile, options.aggregate)
        figures: dict[str, Any] = {"agreement": agreement(np.median(draws, axis=1).astype(float), chosen)}
        if sigma is not None:
            figures |= ranges_and_widths(draws, sigma, options.downscale)
            if options.measured:
                some = frames[:: max(1, len(frames) // options.measured)][: options.measured]
                many = evaluate_level(network, some, sigma, SAMPLES, options.tile, options.aggregate)
                figures["width_measured"] = measured_widths(many, sigma, options.downscale)
        if ladders:
            rungs_scores = evaluate_level(
                network, ladders, sigma, options.ladder_draws, options.tile, options.aggregate
            )
            shape = (-1, len(KINDS), RUNGS + 1)
            figures["ladders"] = ladder_agreement(np.median(rungs_scores, axis=1).astype(float).reshape(shape))
        result[name] = figures
        print(name, json.dumps(figures), flush=True)
        if options.json:
            options.json.write_text(json.dumps(result, indent=1) + "\n")
    return result


def _held_out_ladders(
    photographs: Sequence[Photograph], options: argparse.Namespace
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Ladders at the settings of ``KINDS`` from sharp photographs of the fold held out: pristine, rungs."""
    backbone = METRICS[UNDEFENDED_METRIC].make()
    backbone.load_backbone(options.backbone)
    material = read_material(photographs, backbone, options.cache, LevelsConfig(ladders=0))
    domain = cached_domain(photographs, options.downscale, options.cache / "domain.npy")
    rows = np.array([i for i in material.watch if photographs[i].subset == "ss03"])
    sharp = rows[sharpest([photographs[i] for i in rows], domain[rows], options.ladders)]
    path = options.cache / f"held-out-ladders-{options.ladders}.npy"
    rungs = build_ladders([photographs[i] for i in sharp], options.downscale, path, seed=2, shifted=False)
    return np.asarray(domain[sharp]), rungs


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training.evaluation.levels", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--family", type=Path, help="levels.safetensors")
    parser.add_argument("--metric", type=Path, help="of a plain pair, with --denoiser and --sigma, to set beside it")
    parser.add_argument("--denoiser", type=Path)
    parser.add_argument("--sigma", type=float, default=0.12)
    parser.add_argument("--sigmas", type=float, nargs="+", help="levels of the family; default all")
    parser.add_argument("--width", type=int, default=16, help="of the denoiser")
    parser.add_argument("--scores", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True, help="mobilenet_v1_050.npz: finds near relatives")
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--rows", choices=("val", "fold", "all-val", "test"), default="val")
    parser.add_argument("--limit", type=int, help="photographs, evenly thinned")
    parser.add_argument("--draws", type=int, default=25)
    parser.add_argument("--measured", type=int, default=0, help="photographs to measure widths of, 1,000 copies each")
    parser.add_argument("--ladders", type=int, default=0, help="photographs to make held-out ladders of")
    parser.add_argument("--ladder-draws", type=int, default=15)
    parser.add_argument("--tile", type=int, default=0)
    parser.add_argument("--aggregate", choices=("mean", "median"), default="mean")
    parser.add_argument("--downscale", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
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
