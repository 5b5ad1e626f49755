"""What does int8 cost? Agreement with people and certified widths of each precision that a bundle has.

    biqa build --int8 --out int8-bundle
    python -m benchmarks.int8 --bundle int8-bundle --scores biq2021/scores.csv --images biq2021/images

SROCC of the median score with opinion scores and the mean certified width at each ε/σ that n can bound, with α = 0.001.
The noise of a photograph is the same in every precision, so differences are paired; 95% bootstrap intervals resample
photographs. Writes docs/evidence/precision.json and the table of docs/int8.md.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime import __version__, open_bundle
from runtime.bundle import DEVICE_PRECISIONS, GRAPHS
from runtime.frames import to_lattice
from runtime.samplers import OnnxSampler, usable_cores
from training.data import Photograph, read_rgb
from training.evaluation import srocc

from .parts.photographs import spread
from .parts.widths import ALPHA, widths
from .report.bootstrap import interval, resamples
from .report.page import DOCS, table, write_section

PRECISIONS = DEVICE_PRECISIONS["cpu"]
REFERENCE = PRECISIONS[0]

_open: dict[str, OnnxSampler] = {}


def _start(path: Path, precisions: list[str]) -> None:
    bundle = open_bundle(path)
    bundle = bundle.at(bundle.manifest.input.sigma)
    _open.update({name: OnnxSampler(bundle, threads=1, precision=name) for name in precisions})


def _score(photograph: Photograph, count: int) -> NDArray[np.float32]:
    """precisions×count scores. The key is the photograph's name: public, repeatable, the same for every precision."""
    key = hashlib.sha256(photograph.path.name.encode()).digest()[:16]
    frame = read_rgb(photograph.path)
    return np.stack([s.scores(to_lattice(frame, downscale=s.downscale), key, 0, count) for s in _open.values()])


def measure(path: Path, precisions: list[str], photographs: list[Photograph], count: int) -> NDArray[np.float32]:
    """float32 photographs×precisions×count."""
    with ProcessPoolExecutor(usable_cores(), initializer=_start, initargs=(path, precisions)) as pool:
        made = pool.map(_score, photographs, [count] * len(photographs))
        return np.stack(list(tqdm(made, "scoring", len(photographs), disable=None)))


def figures(
    scores: NDArray[np.float32], precisions: list[str], truth: NDArray[np.float64]
) -> dict[str, dict[str, Any]]:
    """Precision → its SROCC and widths, and how they differ from those of the first one."""
    medians = np.median(scores.astype(np.float64), axis=2)
    spreads = [widths(scores[:, i]) for i in range(len(precisions))]
    draws = resamples(np.arange(len(truth)), np.random.default_rng(1))
    rows: dict[str, dict[str, Any]] = {}
    for i, name in enumerate(precisions):
        rows[name] = {
            "srocc": round(srocc(medians[:, i], truth), 4),
            "width": {f"{shift:g}": round(float(width.mean()), 3) for shift, width in spreads[i].items()},
        }
        if name == precisions[0]:
            continue
        rows[name]["from"] = precisions[0]
        changes = [srocc(medians[d, i], truth[d]) - srocc(medians[d, 0], truth[d]) for d in draws]
        rows[name]["srocc_difference"] = round(rows[name]["srocc"] - rows[precisions[0]]["srocc"], 4)
        rows[name]["srocc_difference_95"] = interval(changes)
        rows[name]["width_ratio"], rows[name]["width_ratio_95"] = {}, {}
        for shift, width in spreads[i].items():
            other = spreads[0][shift]
            rows[name]["width_ratio"][f"{shift:g}"] = round(float(width.mean() / other.mean()), 4)
            ratios = [float(width[d].mean() / other[d].mean()) for d in draws]
            rows[name]["width_ratio_95"][f"{shift:g}"] = interval(ratios)
        moved = np.abs(medians[:, i] - medians[:, 0])
        rows[name]["score_difference"] = {
            "mean": round(float(moved.mean()), 3),
            "largest": round(float(moved.max()), 3),
        }
    return rows


def page(rows: dict[str, dict[str, Any]]) -> str:
    """The figures as a Markdown table."""
    shifts = list(rows[REFERENCE]["width"])
    header = ["precision", "SROCC", "difference [95%]", *(f"width, ε/σ = {s}" for s in shifts), "ratio of widths [95%]"]
    lines = []
    for name, row in rows.items():
        cells = [name, f"{row['srocc']:.4f}", "", *(f"{row['width'][s]:.3f}" for s in shifts), ""]
        if "from" in row:
            low, high = row["srocc_difference_95"]
            cells[2] = f"{row['srocc_difference']:+.4f} [{low:+.4f}, {high:+.4f}]"
            ratios = ((row["width_ratio"][s], *row["width_ratio_95"][s]) for s in shifts)
            cells[-1] = ", ".join(f"{value:.3f} [{low:.3f}, {high:.3f}]" for value, low, high in ratios)
        lines.append(cells)
    return table(header, lines)


def main() -> None:
    """Measure and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="one built with --int8")
    parser.add_argument("--scores", type=Path, required=True, help="CSV with columns image, mos, split, subset")
    parser.add_argument("--images", type=Path, required=True, help="folder the image column is relative to")
    parser.add_argument("--split", default="val", help="default val")
    parser.add_argument("--samples", type=int, default=32, help="noisy copies of a photograph; default 32")
    parser.add_argument("--photographs", type=int, default=300, help="spread evenly over the split; default 300")
    parser.add_argument("--trial", action="store_true", help="write nothing")
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    bundle = bundle.at(bundle.manifest.input.sigma)
    precisions = [name for name in PRECISIONS if GRAPHS[name] in bundle.manifest.files]
    photographs = spread(options.scores, options.images, options.split, options.photographs)
    scores = measure(options.bundle, precisions, photographs, options.samples)
    rows = figures(scores, precisions, np.array([p.mos for p in photographs]))
    print(page(rows))
    if not options.trial:
        record = {
            "version": __version__,
            "graphs": {name: bundle.graph_digest(name) for name in precisions},
            "engine": OnnxSampler(bundle, threads=1).engine["version"],
            "sigma": bundle.manifest.input.sigma,
            "alpha": ALPHA,
            "split": options.split,
            "photographs": len(photographs),
            "samples": options.samples,
            "precisions": rows,
        }
        (DOCS / "evidence" / "precision.json").write_text(json.dumps(record, indent=1) + "\n")
        write_section(DOCS / "int8.md", "precision", page(rows))


if __name__ == "__main__":
    main()
