"""How far can the score be moved, with the metric bare and with each defence, and does any attack leave the interval?

    python -m benchmarks.robustness --scores biq2021/scores.csv --images biq2021/images --kodak kodak24

Frames are centre squares of 256×256 of real photographs. The attacker knows the networks, and for the defences the
noise level; he differentiates the mean over fresh noisy copies. ε is the L2 radius on the source frame, RGB in [0, 1].
Certificates are of scope "reported" from the runtime; a trial is broken where the next reported score of the attacked
frame, a median of fresh noisy copies, lies outside the interval of the untouched frame. Attacked scores are those of
the PyTorch networks; the runtime has the same ones as an ONNX graph.
Writes docs/evidence/robustness.json, both figures, and a section of docs/attacks.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

import export
from export.networks import DENOISERS, METRICS
from runtime import Certifier, __version__
from runtime.frames import to_lattice
from runtime.samplers import usable_cores
from training.data import read_rgb, read_scores

from .parts.attacks import Score, expectation, nes, pgd, random_direction, universal
from .parts.defences import MAIN_METRIC, PAIRS, SHIPPED, SIGMA, SMOOTHED, bundle_path, networks_of
from .report.glance import FIGURE as GLANCE
from .report.glance import draw as draw_glance
from .report.page import DOCS, table, write_section

DEFENCES = tuple(defence for defence in SMOOTHED[MAIN_METRIC] if defence != "joint")
"""Of two that were trained together the one that ships."""
SIZE, DOWNSCALE = 256, 2
ALPHA, SAMPLES = 0.01, 61
CERTIFIED = (0.05, 0.1, 0.15, 0.2)
BEYOND = (0.5, 1.0, 2.0, 4.0)
SIGNS = (1, -1)
STEPS, ADAPTIVE_STEPS, COPIES = 40, 8, 4
BLACK_BOX = (0.1, 0.2)
COMPARED = (0.2, 0.5, 4.0)
"""Radii at which the defences that do not ship are attacked too, up and down as the others."""
LARGE_EPSILON, LARGE_ALPHA, LARGE_SAMPLES = 0.5, 0.001, 4001
"""A large certified radius, to set the movement of the bare metric against: scope "smoothed"."""
NES_STEPS, NES_PAIRS = 8, 6
UNIVERSAL_STEPS, UNIVERSAL_BATCH, UNIVERSAL_PICTURES = 60, 8, 64
FRAMES = 16


def centre(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The centre square. Raises ValueError for a smaller frame."""
    top, left = (frame.shape[0] - SIZE) // 2, (frame.shape[1] - SIZE) // 2
    if top < 0 or left < 0:
        raise ValueError(f"a frame of {frame.shape[1]}×{frame.shape[0]} is smaller than {SIZE}×{SIZE}")
    return np.ascontiguousarray(frame[top : top + SIZE, left : left + SIZE])


def engine_picture(frame: NDArray[np.uint8]) -> Tensor:
    """The frame on the engine's domain, 3×h×w in [0, 1]."""
    picture = to_lattice(frame, downscale=DOWNSCALE)
    return torch.from_numpy(picture.values.astype(np.float32) / picture.steps)


def networks() -> tuple[nn.Module, dict[str, Score]]:
    """The bare metric, and defence → f, the function whose median is reported; none holds gradients."""
    functions: dict[str, Score] = {}
    for defence in DEFENCES:
        metric, denoiser = networks_of(MAIN_METRIC, defence)
        functions[defence] = metric if denoiser is None else _chain(metric, denoiser)
    return export.load_metric(MAIN_METRIC).module, functions


def _chain(metric: nn.Module, denoiser: nn.Module) -> Score:
    return lambda pictures: metric(denoiser(pictures).clamp(0, 1))


def reported(score: Score, picture: Tensor, generator: torch.Generator, samples: int = SAMPLES) -> float:
    """The median of fresh noisy scores of one frame."""
    with torch.inference_mode():
        noisy = [
            score(
                (picture + SIGMA * torch.randn((min(8, samples - s), *picture.shape), generator=generator)).clamp(0, 1)
            )
            for s in range(0, samples, 8)
        ]
    return float(torch.cat(noisy).median())


def attack_frame(job: tuple[int, NDArray[np.uint8], Path, dict[str, Tensor]]) -> dict[str, Any]:
    """Everything about one frame: certificates, and the score after each attack."""
    number, frame, bundle, directions = job
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(1000 + number)
    metric, functions = networks()
    picture = engine_picture(frame)
    result: dict[str, Any] = {"frame": number, "intervals": {}, "trials": [], "moved": {}}

    bare = metric(picture[None]).item()
    clean = {d: reported(f, picture, generator) for d, f in functions.items()}
    options: dict[str, Any] = {"alpha": ALPHA, "samples": SAMPLES, "scope": "reported", "sigma": SIGMA}
    with Certifier(bundle, public_seed=number, threads=1, **options) as certifier:
        certificate = certifier.certify(frame)
    for epsilon in CERTIFIED:  # each a claim of its own at α, not one curve of them at α together
        ((_, *bounds),) = certificate.curve([epsilon])
        result["intervals"][f"{epsilon:g}"] = bounds

    shipped = functions[SHIPPED]
    for epsilon in (*CERTIFIED, *BEYOND):
        radius = epsilon / DOWNSCALE  # on the engine's domain
        certified = epsilon in CERTIFIED
        moved: dict[str, float] = {}
        attempts: dict[str, Tensor] = {}
        for sign in SIGNS:
            way = "up" if sign > 0 else "down"
            attempts[f"PGD on the bare metric, {way}"] = delta = pgd(
                lambda x: metric(x.clamp(0, 1)), picture, radius, sign, STEPS
            )
            moved["none"] = max(moved.get("none", 0.0), abs(metric((picture + delta).clamp(0, 1)[None]).item() - bare))
            for defence, function in functions.items():
                if defence != SHIPPED and epsilon not in COMPARED:
                    continue
                adaptive = expectation(function, SIGMA, COPIES, generator)
                delta = pgd(adaptive, picture, radius, sign, ADAPTIVE_STEPS)
                if defence == SHIPPED:
                    attempts[f"adaptive PGD, {way}"] = delta
                else:
                    score = reported(function, picture + delta, generator)
                    moved[defence] = max(moved.get(defence, 0.0), abs(score - clean[defence]))
            for name, direction in directions.items():
                attempts[f"universal, {name}, {way}"] = sign * radius * direction
        if epsilon in BLACK_BOX:
            for sign in SIGNS:
                attempts[f"NES, {'up' if sign > 0 else 'down'}"] = nes(
                    expectation(shipped, SIGMA, COPIES, generator), picture, radius, sign,
                    steps=NES_STEPS, pairs=NES_PAIRS, generator=generator,
                )  # fmt: skip
        attempts["random direction"] = random_direction(picture, radius, generator)
        if not certified:  # only the strongest kind, for the figure
            attempts = {name: delta for name, delta in attempts.items() if name.startswith("adaptive")}
        for name, delta in attempts.items():
            assert delta.norm().item() <= radius * (1 + 1e-5)
            score = reported(shipped, picture + delta, generator)
            if name.startswith("adaptive"):
                moved[SHIPPED] = max(moved.get(SHIPPED, 0.0), abs(score - clean[SHIPPED]))
            if certified:
                result["trials"].append([f"{epsilon:g}", name, score])
        result["moved"][f"{epsilon:g}"] = moved
    return result


def large_half_width(job: tuple[NDArray[np.uint8], Path]) -> float:
    """Half the certified width of one frame at the large radius."""
    frame, bundle = job
    options: dict[str, Any] = {
        "epsilon": LARGE_EPSILON, "alpha": LARGE_ALPHA, "samples": LARGE_SAMPLES, "sigma": SIGMA,
    }  # fmt: skip
    with Certifier(bundle, public_seed=1, threads=1, **options) as certifier:
        certificate = certifier.certify(frame)
    return (certificate.upper - certificate.lower) / 2


def against_large(frames: list[dict[str, Any]], half_widths: list[float]) -> dict[str, Any]:
    """How many half-widths of the large radius the bare metric was moved within that radius, frame by frame."""
    ratios = [
        frame["moved"][f"{LARGE_EPSILON:g}"]["none"] / half for frame, half in zip(frames, half_widths, strict=True)
    ]
    return {
        "epsilon": LARGE_EPSILON,
        "alpha": LARGE_ALPHA,
        "samples": LARGE_SAMPLES,
        "half_width": round(float(np.mean(half_widths)), 4),
        "ratio_mean": round(float(np.mean(ratios)), 4),
        "ratio_largest": round(max(ratios), 4),
        "frames_over_ten": sum(ratio >= 10 for ratio in ratios),
    }


def universal_directions(pictures: Tensor) -> dict[str, Tensor]:
    """Against the bare metric and against the shipped function, from frames that are not attacked later."""
    metric, functions = networks()
    generator = torch.Generator().manual_seed(7)
    smoothed = expectation(functions[SHIPPED], SIGMA, 1, generator)
    options = {"steps": UNIVERSAL_STEPS, "batch": UNIVERSAL_BATCH, "generator": generator}
    return {
        "bare metric": universal(lambda x: metric(x.clamp(0, 1)), pictures, 1, **options),  # type: ignore[arg-type]
        "adaptive": universal(smoothed, pictures, 1, **options),  # type: ignore[arg-type]
    }


def summary(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """Trials, broken certificates with what α allows on average, frames with any, and movement against ε.

    Trials of one frame share the scores that its intervals come from, so they are not independent: what α allows is
    an expectation, which dependence leaves as it is, and the frames with a broken trial are counted beside it.
    """
    trials: dict[str, dict[str, int]] = {}
    total = broken = broken_frames = 0
    for frame in frames:
        before = broken
        for epsilon, name, score in frame["trials"]:
            lower, upper = frame["intervals"][epsilon]
            row = trials.setdefault(name, {"trials": 0, "broken": 0})
            out = not lower <= score <= upper
            row["trials"] += 1
            row["broken"] += out
            total, broken = total + 1, broken + out
        broken_frames += broken > before
    movement = {}
    for epsilon in (f"{e:g}" for e in (*CERTIFIED, *BEYOND)):
        moved = {d: [f["moved"][epsilon][d] for f in frames if d in f["moved"][epsilon]] for d in ("none", *DEFENCES)}
        halves = [
            (f["intervals"][epsilon][1] - f["intervals"][epsilon][0]) / 2 for f in frames if epsilon in f["intervals"]
        ]
        movement[epsilon] = {
            name: round(float(np.mean(values)), 4) if values else None
            for name, values in {**moved, "half_width": halves}.items()
        }
    return {
        "frames": len(frames),
        "trials": total,
        "broken": broken,
        "expected_at_most": round(ALPHA * total, 1),
        "broken_frames": broken_frames,
        "by_attack": trials,
        "movement": movement,
    }


def page(record: dict[str, Any]) -> str:
    """The Markdown section."""
    movement = [
        [e, *("–" if row[k] is None else f"{row[k]:.2f}" for k in ("none", *DEFENCES, "half_width"))]
        for e, row in record["movement"].items()
    ]
    large = record["large_radius"]
    attacks = [[name, str(row["trials"]), str(row["broken"])] for name, row in record["by_attack"].items()]
    return "\n\n".join(
        [
            f"{record['frames']} frames, {record['trials']} trials at ε ≤ {CERTIFIED[-1]}: {record['broken']} broken "
            f"certificates, where α = {ALPHA} allows {record['expected_at_most']} on average. "
            f"{record['broken_frames']} of the {record['frames']} frames have any. Trials of one frame share the "
            "scores that its intervals come from, so they are not independent, and no limit that assumes it is given.",
            "The attacks run the PyTorch networks, and so do the attacked scores; the intervals come from the runtime, "
            "which has the same networks as an ONNX graph.",
            "Mean movement of the score in points of 100 under white-box PGD, the larger of up and down (bare: through "
            "the metric; defences: adaptive, reported score), and the mean certified half-width:",
            table(["ε", "none", *DEFENCES, f"certified ± ({SHIPPED})"], movement),
            f"No interval is given above ε = {CERTIFIED[-1]}, as n = {SAMPLES} cannot bound it. With n = "
            f"{large['samples']:,} at α = {large['alpha']} (scope smoothed) the certified half-width at ε = "
            f"{large['epsilon']} is {large['half_width']:.2f}. Within that radius the bare metric was moved by "
            f"{large['ratio_mean']:.1f} times as much on average, by {large['ratio_largest']:.1f} times at most, and "
            f"by ten times or more on {large['frames_over_ten']} of the frames.",
            table(["attack", "trials", "broken"], attacks),
            "![Score movement against ε](evidence/robustness.svg)",
        ]
    )


def draw(record: dict[str, Any], path: Path) -> None:
    """Movement against ε, with the certified half-width, as SVG."""
    from .report.figure import axes, save

    figure, axis = axes("L2 radius ε on the source frame", "movement of the score, points of 100")

    def measured(name: str) -> tuple[list[float], list[float]]:
        points = [(float(e), row[name]) for e, row in record["movement"].items() if row[name] is not None]
        return [e for e, _ in points], [value for _, value in points]

    for defence in ("none", *DEFENCES):
        axis.plot(*measured(defence), marker="o", label=defence)
    axis.plot(*measured("half_width"), color="black", linestyle="--", label=f"certified ± ({SHIPPED})")
    axis.set_xscale("log")
    axis.legend()
    save(figure, path)


def run_header(frames: list[Path], learn: list[Path], bundle: Path) -> str:
    """One line that says what the trials of a checkpoint depend on: those of another line are not used."""

    def digests(files: list[Path]) -> list[list[str]]:
        return [[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files]

    parts = {name for pair in PAIRS[MAIN_METRIC].values() for name in pair}
    weights = [entry.weights for entries in (METRICS, DENOISERS) for name, entry in entries.items() if name in parts]
    return json.dumps(
        {
            "manifest": (bundle / "manifest.json").read_text(),
            "weights": digests(weights),
            "domain": [SIZE, DOWNSCALE, SIGMA],
            "certificates": [ALPHA, SAMPLES, CERTIFIED],
            "radii": [BEYOND, COMPARED, BLACK_BOX, SIGNS],
            "attacks": [STEPS, ADAPTIVE_STEPS, COPIES, NES_STEPS, NES_PAIRS, UNIVERSAL_STEPS, UNIVERSAL_BATCH],
            "frames": digests(frames),
            "universal": hashlib.sha256(json.dumps(digests(learn)).encode()).hexdigest(),
        }
    )


def main() -> None:
    """Attack, write the record, the figure and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="CSV with columns image, mos, split")
    parser.add_argument("--images", type=Path, required=True, help="folder the image column is relative to")
    parser.add_argument("--kodak", type=Path, required=True, help="folder of pristine PNG photographs")
    parser.add_argument(
        "--frames", type=int, default=FRAMES, help=f"fewer: a trial run, nothing written; default {FRAMES}"
    )
    parser.add_argument("--work", type=Path, default=Path("build/evidence"), help="bundles and checkpoints")
    options = parser.parse_args()
    rows = read_scores(options.scores, options.images)
    sources = sorted(options.kodak.glob("*.png")) + [p.path for p in rows if p.split == "val"]
    paths = sources[: options.frames]
    learn = [p.path for p in rows if p.split == "train"][:UNIVERSAL_PICTURES]
    bundle = bundle_path(options.work / "bundles", MAIN_METRIC, SHIPPED)
    directions = universal_directions(torch.stack([engine_picture(centre(read_rgb(path))) for path in learn]))
    checkpoint = options.work / "robustness.jsonl"
    done: dict[int, dict[str, Any]] = {}
    header = run_header(sources[: max(options.frames, FRAMES)], learn, bundle)
    if checkpoint.exists():
        first, *lines = checkpoint.read_text().splitlines()
        if first == header:
            done = {made["frame"]: made for made in map(json.loads, lines)}
    if not done:
        checkpoint.write_text(header + "\n")
    jobs = [(i, centre(read_rgb(path)), bundle, directions) for i, path in enumerate(paths) if i not in done]
    with ProcessPoolExecutor(usable_cores()) as pool, checkpoint.open("a") as log:
        for made in tqdm(pool.map(attack_frame, jobs), "attacking", total=len(jobs), disable=None):
            done[made["frame"]] = made
            log.write(json.dumps(made) + "\n")
            log.flush()
    frames = [done[i] for i in range(len(paths))]
    with ProcessPoolExecutor(usable_cores()) as pool:
        wide = pool.map(large_half_width, [(centre(read_rgb(path)), bundle) for path in paths])
        half_widths = list(tqdm(wide, "certifying the large radius", total=len(paths), disable=None))
    record = {
        "version": __version__, "alpha": ALPHA, "samples": SAMPLES, "sigma": SIGMA, "scope": "reported",
        **summary(frames), "large_radius": against_large(frames, half_widths),
    }  # fmt: skip
    print(page(record))
    if options.frames >= FRAMES:
        (DOCS / "evidence").mkdir(exist_ok=True)
        (DOCS / "evidence" / "robustness.json").write_text(json.dumps(record, indent=1) + "\n")
        draw(record, DOCS / "evidence" / "robustness.svg")
        draw_glance(record, GLANCE)
        write_section(DOCS / "attacks.md", "robustness", page(record))


if __name__ == "__main__":
    main()
