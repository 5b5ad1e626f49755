"""How far do changes too small to see, and patches, move the score of tiles and the bare metric? Does any get out?

    python -m benchmarks.tile_robustness --scores biq2021/scores.csv --images biq2021/images

Frames are whole photographs of ``val``, 512×512. The attacker knows the networks and the noise level; against the tile
model he differentiates the mean over fresh noisy copies (EOT, Athalye et al. 2018, arXiv 1707.07397). What he hands in
is a file: code values of 8 bits, each of them changed by 1 or by 2 at most, or one 64×64 rectangle filled at will.

- FGSM: one step along the sign of the gradient (Goodfellow et al. 2015, arXiv 1412.6572); PGD: many smaller ones;
- universal: one pattern for all frames, learned from photographs that are not attacked;
- patch: PGD inside a rectangle, where four tiles meet and within one tile; and a white one.

Every frame is certified first, at n = ``SAMPLES`` and α = ``ALPHA`` for each claim. A trial has left its interval where
the attacked frame's score, from ``FRESH`` fresh samples, lies outside. The scores are those of the bundle's graph.
Writes docs/evidence/tile_robustness.json and a section of docs/attacks.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

import export
from runtime import Bundle, Certifier, Tampering, TileCertificate, __version__, open_bundle
from runtime.frames import to_lattice
from runtime.samplers import OnnxSampler, usable_cores
from training.data import read_rgb, read_scores
from training.recipes.levels import tiles_of

from .parts.attacks import Score, expectation
from .parts.defences import MAIN_METRIC
from .parts.photographs import spread
from .report.page import DOCS, table, write_section

ALPHA, SAMPLES, FRESH = 0.001, 501, 61
LEVELS = (1, 2)
PATCH = 64
SIGNS = (1, -1)
STEPS, ADAPTIVE_STEPS, PATCH_STEPS, COPIES = 20, 8, 12, 4
UNIVERSAL_STEPS, UNIVERSAL_BATCH, UNIVERSAL_PICTURES = 40, 4, 48
FRAMES = 12

Frame = NDArray[np.uint8]
Patterns = dict[str, Tensor]
"""Whom it is against → signs on the domain, 3×h×w, that raise the score."""

_PATCHED = f"{PATCH}×{PATCH} patch"


def on_domain(frame: Frame, downscale: int) -> Tensor:
    """3×h×w in [0, 1]."""
    lattice = to_lattice(frame, downscale=downscale)
    return torch.from_numpy(lattice.values.astype(np.float32) / lattice.steps)


def networks(bundle: Bundle) -> tuple[nn.Module, Score]:
    """The bare metric, and the mean score of the tiles of N frames on the domain."""
    manifest = bundle.manifest
    assert manifest.denoiser is not None
    metric = export.load_metric(manifest.metric.name).module
    denoiser = export.load_denoiser(manifest.denoiser.name)
    assert denoiser is not None
    tile = manifest.input.tile
    assert tile is not None
    clean: nn.Module = denoiser.module

    def score(pictures: Tensor) -> Tensor:
        tiles = tiles_of(pictures, tile)
        scores: Tensor = metric(clean(tiles).clamp(0, 1))
        return scores.view(len(pictures), -1).mean(1)

    return export.load_metric(MAIN_METRIC).module, score


def _gradient(score: Score, picture: Tensor) -> Tensor:
    picture = picture.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(score(picture[None].clamp(0, 1)).sum(), picture)
    return gradient


def signs(score: Score, picture: Tensor, reach: float, way: int, steps: int) -> Tensor:
    """PGD of L∞ radius ``reach``, one step of it being FGSM: signs on the domain, and 0 where it stayed."""
    delta = torch.zeros_like(picture)
    pace = reach if steps == 1 else 2.5 * reach / steps
    for _ in range(steps):
        gradient = _gradient(score, picture + delta)
        delta = (delta + way * pace * gradient.sign()).clamp(-reach, reach)
    return delta.sign()


def moved_by(frame: Frame, pattern: Tensor, levels: int, downscale: int) -> Frame:
    """The file that is handed in: every code value changed by ``levels`` as the signs on the domain say."""
    step = pattern.numpy().astype(np.int64).transpose(1, 2, 0).repeat(downscale, 0).repeat(downscale, 1)
    changed: Frame = np.clip(frame.astype(np.int64) + levels * step, 0, 255).astype(np.uint8)
    assert np.abs(changed.astype(int) - frame).max() <= levels
    return changed


def filled(score: Score, frame: Frame, corner: tuple[int, int], way: int, downscale: int) -> Frame:
    """The file with a rectangle of ``PATCH`` at ``corner`` (row, column) that PGD has filled."""
    top, left = corner
    side = PATCH // downscale
    picture = on_domain(frame, downscale)
    inside = np.s_[:, top // downscale : top // downscale + side, left // downscale : left // downscale + side]
    picture[inside] = 0.5
    for step in range(PATCH_STEPS):
        gradient = _gradient(score, picture)[inside]
        pace = 0.5 if step < PATCH_STEPS // 2 else 0.1
        picture[inside] = (picture[inside] + way * pace * gradient.sign()).clamp(0, 1)
    rectangle = (255 * picture[inside]).round().numpy().astype(np.uint8).transpose(1, 2, 0)
    changed: Frame = frame.copy()
    changed[top : top + PATCH, left : left + PATCH] = rectangle.repeat(downscale, 0).repeat(downscale, 1)
    return changed


def attempts(
    frame: Frame, bare: nn.Module, tiles: Score, patterns: Patterns, contract: Any, generator: torch.Generator
) -> list[tuple[str, str, Frame]]:
    """(tampering, attack, file handed in)."""
    k, picture = contract.downscale, on_domain(frame, contract.downscale)
    adaptive = expectation(tiles, contract.sigma, COPIES, generator)
    made = []
    for levels in LEVELS:
        asked, reach = f"{levels} grey level{'s' if levels > 1 else ''}", levels / 255
        for way in SIGNS:
            for name, score, steps in (
                ("FGSM, bare metric", bare, 1), ("FGSM, adaptive", adaptive, 1),
                ("PGD, bare metric", bare, STEPS), ("PGD, adaptive", adaptive, ADAPTIVE_STEPS),
            ):  # fmt: skip
                made.append((asked, name, moved_by(frame, signs(score, picture, reach, way, steps), levels, k)))
            for against, pattern in patterns.items():
                made.append((asked, f"universal, {against}", moved_by(frame, way * pattern, levels, k)))
    tile = contract.tile * k
    where = {"where four tiles meet": 2 * tile - PATCH // 2, "within a tile": tile + (tile - PATCH) // 2}
    for place, corner in where.items():
        for way in SIGNS:
            made.append((_PATCHED, f"PGD, adaptive, {place}", filled(adaptive, frame, (corner, corner), way, k)))
            made.append((_PATCHED, f"PGD, bare metric, {place}", filled(bare, frame, (corner, corner), way, k)))
        white = frame.copy()
        white[corner : corner + PATCH, corner : corner + PATCH] = 255
        made.append((_PATCHED, f"white, {place}", white))
    return made


def attack_frame(job: tuple[int, Path, Path, Patterns]) -> dict[str, Any]:
    """Certificates of a frame, and every trial: tampering, attack, its score, and how far it moved the bare metric."""
    number, path, where, patterns = job
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1000 + number)
    bundle = open_bundle(where)
    contract = bundle.manifest.input
    bare, tiles = networks(bundle)
    frame = read_rgb(path)
    with Certifier(where, alpha=ALPHA, samples=SAMPLES, levels=1.0, public_seed=number, threads=1) as certifier:
        certificate = certifier.certify(frame)
    assert isinstance(certificate, TileCertificate)
    claims = {_PATCHED: certificate.claims(Tampering(patch=(PATCH, PATCH)))[0]}
    for levels in LEVELS:
        claims[f"{levels} grey level{'s' if levels > 1 else ''}"] = certificate.levels(levels)
    sampler = OnnxSampler(bundle, threads=1)
    aggregate = sampler.aggregate
    assert aggregate is not None
    with torch.inference_mode():
        before = bare(on_domain(frame, contract.downscale)[None]).item()
    trials = []
    tried = attempts(frame, bare, tiles, patterns, contract, generator)
    for index, (asked, attack, attacked) in enumerate(tried):
        lattice = to_lattice(attacked, downscale=contract.downscale)
        key = (1_000_000 * (number + 1) + index).to_bytes(16, "little")
        score = aggregate.of(np.median(sampler.scores(lattice, key, 0, FRESH).astype(float), axis=0))
        with torch.inference_mode():
            moved = abs(bare(on_domain(attacked, contract.downscale)[None]).item() - before)
        trials.append([asked, attack, score, moved])
    sampler.close()
    return {
        "frame": number,
        "score": certificate.score,
        "intervals": {asked: [claim.lower, claim.upper] for asked, claim in claims.items()},
        "trials": trials,
    }


def universal_patterns(pictures: Tensor, bare: nn.Module, tiles: Score, sigma: float) -> Patterns:
    """Signs that raise the score of all frames at once: sign steps of a mean gradient, half a level each."""
    generator = torch.Generator().manual_seed(7)
    against: dict[str, Callable[[Tensor], Tensor]] = {
        "bare metric": bare,
        "adaptive": expectation(tiles, sigma, 1, generator),
    }
    made = {}
    for name, score in against.items():
        delta = torch.zeros_like(pictures[0])
        for _ in range(UNIVERSAL_STEPS):
            chosen = pictures[torch.randperm(len(pictures), generator=generator)[:UNIVERSAL_BATCH]]
            moving = delta.clone().requires_grad_()
            (gradient,) = torch.autograd.grad(score((chosen + moving).clamp(0, 1)).sum(), moving)
            delta = (delta + gradient.sign() / 2 / 255).clamp(-2 / 255, 2 / 255)
        made[name] = delta.sign()
    return made


def summary(frames: list[dict[str, Any]], full: float) -> dict[str, Any]:
    """By tampering: half-width, mean over frames of the farthest move of each attack, trials, and those outside.

    ``full``: the width of the whole range of scores; an interval as wide certifies nothing.
    """
    made: dict[str, Any] = {}
    for asked in frames[0]["intervals"]:
        widths = np.array([frame["intervals"][asked][1] - frame["intervals"][asked][0] for frame in frames])
        attacks: dict[str, Any] = {}
        for attack in dict.fromkeys(a for t, a, _, _ in frames[0]["trials"] if t == asked):
            tiles, bare, trials, outside = [], [], 0, 0
            for frame in frames:
                lower, upper = frame["intervals"][asked]
                of_it = [(score, moved) for t, a, score, moved in frame["trials"] if (t, a) == (asked, attack)]
                tiles.append(max(abs(score - frame["score"]) for score, _ in of_it))
                bare.append(max(moved for _, moved in of_it))
                trials += len(of_it)
                outside += sum(not lower <= score <= upper for score, _ in of_it)
            attacks[attack] = {
                "tiles": round(float(np.mean(tiles)), 3),
                "tiles_most": round(max(tiles), 3),
                "bare": round(float(np.mean(bare)), 3),
                "trials": trials,
                "outside": outside,
            }
        made[asked] = {
            "half_width": round(float(widths.mean()) / 2, 3),
            "nothing": round(float((widths >= full).mean()), 3),
            "attacks": attacks,
        }
    return made


def page(record: dict[str, Any]) -> str:
    """The Markdown section."""
    rows = []
    trials = outside = 0
    for asked, made in record["tamperings"].items():
        half = "the whole range" if made["nothing"] == 1 else f"{made['half_width']:.2f}"
        for attack, row in made["attacks"].items():
            trials, outside = trials + row["trials"], outside + row["outside"]
            cells = [f"{row['bare']:.2f}", f"{row['tiles']:.2f}", f"{row['tiles_most']:.2f}", half]
            rows.append([asked, attack, *cells, f"{row['outside']} of {row['trials']}"])
    header = ["tampering", "attack", "bare metric", "tiles", "tiles, most", "certified ±", "outside"]
    return (
        f"{record['frames']} photographs, {trials} trials: {outside} left the certified interval (n = {SAMPLES}, "
        f"α = {ALPHA} a claim). Mean movement in points of 100, the larger of up and down, of the bare metric on whole "
        f"frames and of the tile model:\n\n{table(header, rows)}"
    )


def main() -> None:
    """Attack, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="CSV with columns image, mos, split, subset")
    parser.add_argument("--images", type=Path, required=True, help="folder the image column is relative to")
    parser.add_argument(
        "--bundle", type=Path, default=Path("tiles"), help="of our networks; default the one that ships"
    )
    parser.add_argument("--frames", type=int, default=FRAMES, help=f"default {FRAMES}")
    parser.add_argument("--trial", action="store_true", help="write nothing")
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    contract, score = bundle.manifest.input, bundle.manifest.score
    bare, tiles = networks(bundle)
    rows = read_scores(options.scores, options.images)
    learn = [p.path for p in rows if p.split == "train"][:UNIVERSAL_PICTURES]
    pictures = torch.stack([on_domain(read_rgb(path), contract.downscale) for path in learn])
    patterns = universal_patterns(pictures, bare, tiles, contract.sigma)
    shown = spread(options.scores, options.images, "val", options.frames)
    jobs = [(i, photograph.path, options.bundle, patterns) for i, photograph in enumerate(shown)]
    with ProcessPoolExecutor(usable_cores()) as pool:
        frames = list(tqdm(pool.map(attack_frame, jobs), "attacking", total=len(jobs), disable=None))
    low, high = score.range or (0.0, np.inf)
    record = {
        "version": __version__,
        "graph": bundle.digest,
        "alpha": ALPHA,
        "samples": SAMPLES,
        "fresh_samples": FRESH,
        "frames": len(frames),
        "tamperings": summary(frames, high - low),
    }
    print(page(record))
    if not options.trial:
        (DOCS / "evidence" / "tile_robustness.json").write_text(json.dumps(record, indent=1) + "\n")
        write_section(DOCS / "attacks.md", "tiles", page(record))


if __name__ == "__main__":
    main()
