"""What each noise level of a family is worth: agreement with people, order within ladders, and how far it certifies.

    python -m benchmarks.frontier --scores biq2021/scores.csv --images biq2021/images \\
        --backbone mobilenet_v1_050.npz --cache build/training-cache --live clive --kodak kodak24 \\
        --measured levels.measured.json

Agreement: SROCC and PLCC of the median of 9 noisy scores on the val photographs of which no relative was trained on,
and on LIVE In the Wild, on which nothing was trained or chosen; the published method (DMS-IQA, σ = 0.12) and the bare
metric beside them. Ladders: Kodak photographs, Spearman's correlation within each ladder. Widths: from 1,000 noisy
scores of val photographs of 512×512, at the ranks that the runtime takes; of the int8 graph, which a CPU runs faster,
unless --precision says fp32. Time: of a certificate of 501 samples on this machine.

Writes docs/evidence/frontier.json and .svg, the table of docs/evidence.md, and with --measured what `biqa build` puts
into the bundle, by which the runtime chooses a level.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from runtime import __version__, open_bundle
from runtime.bounds import scope_least_samples, scope_ranks
from runtime.bundle import Measured
from runtime.frames import to_lattice
from runtime.samplers import OnnxSampler
from training.data import KINDS, Photograph, read_rgb, read_scores
from training.evaluation import plcc, srocc
from training.evaluation.levels import chosen_rows

from .parts.defences import MAIN_METRIC, bundle_path
from .parts.scoring import Item, items_of, score_rows
from .parts.spoilt_pictures import make_rung, rungs
from .report.page import DOCS, table, write_section

ALPHA, SAMPLES, DRAWS = 0.001, 1000, 9
CERTIFICATE = 501
EPSILONS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
Z = (-2.5, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5)
NARROW = 5.0
"""Width in points up to which the picture draws a level's line full."""
PUBLISHED, PUBLISHED_SIGMA = "DMS-IQA", 0.12
UNDEFENDED = "MS"
"""Whose graph without noise is the bare metric: the others' denoise."""
RECORD = DOCS / "evidence" / "frontier.json"

Rows = NDArray[np.float32]


def agreement(medians: NDArray[np.float64], photographs: Sequence[Photograph]) -> dict[str, Any]:
    """SROCC and PLCC, pooled and by subset."""
    truth = np.array([p.mos for p in photographs])
    subsets = np.array([p.subset for p in photographs])
    parts = {"pooled": np.ones(len(truth), bool)} | {name: subsets == name for name in sorted(set(subsets))}
    return {
        name: {
            "photographs": int(some.sum()),
            "srocc": round(srocc(medians[some], truth[some]), 4),
            "plcc": round(plcc(medians[some], truth[some]), 4),
        }
        for name, some in parts.items()
        if some.sum() >= 10
    }


def ladder_order(medians: dict[str, float], names: Sequence[str]) -> dict[str, float]:
    """Kind → mean over photographs of Spearman's correlation of score and minus severity, pristine first."""
    result = {}
    for kind, (_, settings) in KINDS.items():
        rows = [
            [medians[f"{name}-pristine-0"], *(medians[f"{name}-{kind}-{s + 1}"] for s in range(len(settings)))]
            for name in names
        ]
        severity = -np.arange(len(settings) + 1)
        result[kind] = round(
            float(np.mean([srocc(np.array(row), severity) if np.ptp(row) else 0.0 for row in rows])), 3
        )
    return result


def widths(noisy: Rows, sigma: float, downscale: int) -> dict[str, dict[str, float]]:
    """ε → mean and largest width of the certificates of N×1,000 noisy scores; radii they cannot bound are left out."""
    ordered = np.sort(noisy.astype(np.float64), axis=1)
    result = {}
    for epsilon in EPSILONS:
        lower, upper = scope_ranks(noisy.shape[1], epsilon / downscale / sigma, ALPHA, "smoothed")
        if lower is not None and upper is not None:
            wide = ordered[:, upper - 1] - ordered[:, lower - 1]
            result[f"{epsilon:g}"] = {"mean": round(float(wide.mean()), 3), "largest": round(float(wide.max()), 3)}
    return result


def offsets(noisy: Rows) -> tuple[float, ...]:
    """The scores' quantiles of levels Φ(z), less their median, on average over the rows."""
    quantiles = np.quantile(noisy.astype(np.float64), ndtr(np.array(Z)), axis=1)
    mean = (quantiles - np.median(noisy, axis=1)).mean(axis=1)
    return tuple(round(float(v), 4) for v in np.maximum.accumulate(mean))


def least_samples(sigma: float, downscale: int) -> dict[str, int | None]:
    """ε → the least n with a bound."""
    return {f"{e:g}": scope_least_samples(e / downscale / sigma, ALPHA, "smoothed") for e in EPSILONS}


def seconds(bundle: Path, sigma: float, path: Path, precision: str) -> float:
    """A certificate's time on one 512×512 photograph: of 32 samples, times their number."""
    sampler = OnnxSampler(open_bundle(bundle).at(sigma), precision=precision)
    lattice = to_lattice(read_rgb(path), downscale=sampler.downscale)
    times = []
    for start in range(0, 64, 32):  # the first opens the engine
        began = time.perf_counter()
        sampler.scores(lattice, bytes(16), start, 32)
        times.append(time.perf_counter() - began)
    sampler.close()
    return round(times[-1] / 32 * CERTIFICATE, 2)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The whole record."""
    photographs = read_scores(options.scores, options.images)
    chosen = [photographs[i] for i in chosen_rows(photographs, options)]
    rated = items_of(chosen, options.images)
    strangers = [p for p in read_scores(options.live / "scores.csv", options.live / "images") if p.split == "test"]
    live_items = items_of(strangers, options.live)
    some = rated[:: max(1, len(rated) // options.pictures)][: options.pictures]
    ladder = rungs(options.kodak, options.ladders)
    names = sorted({r.path.stem for r in ladder})
    steps = [Item(f"{r.path.stem}-{r.kind}-{r.severity}", make_rung, (r,)) for r in ladder]
    bundle = open_bundle(options.bundle)
    downscale = bundle.manifest.input.downscale

    def scored(kind: str, items: Sequence[Item], path: Path, sigma: float, count: int, precision: str) -> Rows:
        title = f"{path.name} {sigma:g} {kind} {precision}"
        return score_rows(items, path, sigma, count, options.work / f"{title}.npz".replace(" ", "-"), title, precision)

    def figures(path: Path, sigma: float, precision: str) -> dict[str, Any]:
        opinions = scored("opinions", rated, path, sigma, DRAWS, "fp32")
        live = scored("live", live_items, path, sigma, DRAWS, "fp32")
        rows = scored("rungs", steps, path, sigma, DRAWS, "fp32")
        noisy = scored("widths", some, path, sigma, options.samples, precision)[:, 1:]
        medians = np.median(opinions[:, 1:].astype(np.float64), axis=1)
        order = dict(zip((i.name for i in steps), np.median(rows[:, 1:], axis=1).tolist(), strict=True))
        low, high = np.quantile(medians, (0.05, 0.95))
        return {
            "agreement": agreement(medians, chosen),
            "live": agreement(np.median(live[:, 1:].astype(np.float64), axis=1), strangers)["pooled"],
            "range": [round(float(low), 2), round(float(high), 2)],
            "ladders": ladder_order(order, names),
            "widths": widths(noisy, sigma, downscale),
            "least_samples": least_samples(sigma, downscale),
            "offsets": offsets(noisy),
        }

    levels = {}
    for sigma in options.sigmas or bundle.sigmas:
        levels[f"{sigma:g}"] = figures(options.bundle, sigma, options.precision)
        times = {p: seconds(options.bundle, sigma, chosen[0].path, p) for p in ("fp32", "int8")}
        levels[f"{sigma:g}"]["seconds"] = times
        print(f"{sigma:g}", json.dumps(levels[f"{sigma:g}"]), flush=True)
    undefended = bundle_path(options.work / "bundles", MAIN_METRIC, UNDEFENDED)
    bare, bare_live = (
        scored(f"bare-{kind}", items, undefended, PUBLISHED_SIGMA, 1, "fp32")[:, 0].astype(np.float64)
        for kind, items in (("opinions", rated), ("live", live_items))
    )
    published = figures(bundle_path(options.work / "bundles", MAIN_METRIC, PUBLISHED), PUBLISHED_SIGMA, "fp32")
    return {
        "version": __version__,
        "alpha": ALPHA,
        "samples": options.samples,
        "precision": options.precision,
        "photographs": len(chosen),
        "pictures": len(some),
        "ladders": len(names),
        "bare": agreement(bare, chosen),
        "bare_live": agreement(bare_live, strangers)["pooled"],
        "published": published,
        "levels": levels,
    }


def measured_table(record: dict[str, Any], weights: Path) -> dict[str, Any]:
    """What ``export.family`` reads: of each level the figures that the runtime chooses by."""
    levels = {
        sigma: asdict(
            Measured(
                rated=row["agreement"]["pooled"]["photographs"],
                srocc=row["agreement"]["pooled"]["srocc"],
                plcc=row["agreement"]["pooled"]["plcc"],
                low=row["range"][0],
                high=row["range"][1],
                pictures=record["pictures"],
                z=Z,
                offsets=tuple(row["offsets"]),
            )
        )
        for sigma, row in record["levels"].items()
    }
    return {"weights_sha256": hashlib.sha256(weights.read_bytes()).hexdigest(), "levels": levels}


def page(record: dict[str, Any]) -> str:
    """The Markdown tables."""
    rows = {**record["levels"], f"{PUBLISHED}, {PUBLISHED_SIGMA:g}": record["published"]}

    def cell(row: dict[str, Any], epsilon: str) -> str:
        if epsilon in row["widths"]:
            return f"{row['widths'][epsilon]['mean']:.1f} (n ≥ {row['least_samples'][epsilon]})"
        least = row["least_samples"][epsilon]
        return "–" if least is None or least > 10**6 else f"– (n ≥ {least})"

    bare, bare_live = record["bare"]["pooled"], record["bare_live"]
    agreement_table = table(
        ["σ", "SROCC", "PLCC", "LIVE: SROCC", "range of scores", "s, fp32", "s, int8"],
        [["bare metric", f"{bare['srocc']:.3f}", f"{bare['plcc']:.3f}", f"{bare_live['srocc']:.3f}", "–", "–", "–"]]
        + [
            [
                name,
                f"{row['agreement']['pooled']['srocc']:.3f}",
                f"{row['agreement']['pooled']['plcc']:.3f}",
                f"{row['live']['srocc']:.3f}",
                f"{row['range'][0]:.0f} … {row['range'][1]:.0f}",
                *(f"{row['seconds'][p]:.1f}" if "seconds" in row else "–" for p in ("fp32", "int8")),
            ]
            for name, row in rows.items()
        ],
    )
    ladder_table = table(
        ["σ", *rows], [[kind, *(f"{row['ladders'][kind]:.2f}" for row in rows.values())] for kind in KINDS]
    )
    told = EPSILONS[:-1]  # a page takes seven columns; nothing certifies the last
    width_table = table(
        ["σ", *(f"ε = {e:g}" for e in told)],
        [[name, *(cell(row, f"{e:g}") for e in told)] for name, row in rows.items()],
    )
    return (
        f"Agreement on {record['photographs']} val photographs without a relative in training, and on "
        f"{bare_live['photographs']} of LIVE In the Wild, on which nothing was trained or chosen; seconds of a "
        f"certificate of {CERTIFICATE} samples of 512×512 on two cores:\n\n{agreement_table}\n\n"
        f"Spearman's correlation within ladders of {record['ladders']} Kodak photographs:\n\n{ladder_table}\n\n"
        f"Mean width in points at n = {record['samples']} on {record['pictures']} photographs of 512×512 "
        f"({record['precision']}, the published method in fp32), and the least n with a bound:\n\n{width_table}\n\n"
        "![Agreement against the radius](evidence/frontier.svg)"
    )


def draw(record: dict[str, Any], path: Path) -> None:
    """Agreement against the radius: full where the mean width is at most ``NARROW`` points, dotted beyond."""
    from .report.figure import axes, save

    figure, axis = axes("ε, L2 on the source frame (n = 1,000)", "SROCC with opinions, no relatives in training")
    rows = {f"σ = {sigma}": row for sigma, row in record["levels"].items()}
    rows[f"{PUBLISHED}, σ = {PUBLISHED_SIGMA:g} (published)"] = record["published"]
    for number, (name, row) in enumerate(rows.items()):
        reach = [float(e) for e in row["widths"]]
        narrow = [float(e) for e, wide in row["widths"].items() if wide["mean"] <= NARROW]
        height, colour = row["agreement"]["pooled"]["srocc"], f"C{number}"
        if narrow:
            axis.plot([EPSILONS[0], narrow[-1]], [height] * 2, color=colour, linewidth=2.5, label=name)
        label = {} if narrow else {"label": name}
        axis.plot([narrow[-1] if narrow else reach[0], reach[-1]], [height] * 2, ":", color=colour, marker="|", **label)
    axis.axhline(record["bare"]["pooled"]["srocc"], color="black", linewidth=0.8)
    axis.text(
        EPSILONS[-1], record["bare"]["pooled"]["srocc"], "bare metric, nothing certified", ha="right", va="bottom"
    )
    axis.set_xscale("log")
    axis.set_xticks(EPSILONS, [f"{e:g}" for e in EPSILONS])
    axis.legend(loc="lower left", fontsize="small")
    save(figure, path)


def main() -> None:
    """Measure, write the record, the picture and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=open_bundle().path)
    parser.add_argument("--scores", type=Path, required=True, help="CSV with columns image, mos, split, subset")
    parser.add_argument("--images", type=Path, required=True, help="folder the image column is relative to")
    parser.add_argument("--backbone", type=Path, required=True, help="mobilenet_v1_050.npz: finds near relatives")
    parser.add_argument("--cache", type=Path, required=True, help="of training.recipes.levels")
    parser.add_argument("--live", type=Path, required=True, help="LIVE In the Wild: scores.csv, images/")
    parser.add_argument("--kodak", type=Path, required=True, help="folder of pristine PNG photographs")
    parser.add_argument("--limit", type=int, default=240, help="photographs with opinions, evenly thinned")
    parser.add_argument("--pictures", type=int, default=20, help="photographs whose widths are measured")
    parser.add_argument("--ladders", type=int, default=6, help="Kodak photographs that are spoilt")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="noisy scores that widths are measured from")
    parser.add_argument("--sigmas", type=float, nargs="+", help="levels; default all")
    parser.add_argument("--precision", choices=("fp32", "int8"), default="int8", help="of the widths")
    parser.add_argument("--work", type=Path, default=Path("build/frontier"), help="bundles and checkpoints")
    parser.add_argument("--measured", type=Path, help="write the table that a bundle carries")
    parser.add_argument("--weights", type=Path, default=Path("training/weights/levels.safetensors"))
    parser.add_argument("--dry", action="store_true", help="print, and write nothing but --measured")
    options = parser.parse_args()
    options.rows, options.downscale = "val", 2
    record = measure(options)
    print(page(record))
    if options.measured:
        options.measured.write_text(json.dumps(measured_table(record, options.weights), indent=1) + "\n")
    if not options.dry and not options.sigmas:
        draw(record, RECORD.with_suffix(".svg"))
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        write_section(DOCS / "evidence.md", "frontier", page(record))


if __name__ == "__main__":
    main()
