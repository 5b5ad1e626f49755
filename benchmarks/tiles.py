"""What do tiles give? Agreement with people, and certified widths in grey levels, in L2 and against a patch.

    python -m benchmarks.tiles --scores biq2021/scores.csv --images biq2021/images --whole whole-025

One drawing of each photograph gives all widths, each at α = 0.001 by itself. Where a bound is the whole range of scores
it counts as that. ``--whole``: a bundle of whole frames, whose L2 widths stand beside, with the same number of samples;
"–" where none of its samples can bound that distance. The noise of a photograph is that of a public seed. 95% bootstrap
intervals resample photographs. Writes docs/evidence/tiles.json and the table of docs/tiles.md.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime import Certifier, Tampering, TileCertificate, __version__, open_bundle
from runtime.samplers import usable_cores
from training.data import Photograph, read_rgb
from training.evaluation import srocc

from .parts.photographs import spread
from .report.bootstrap import interval, resamples
from .report.page import DOCS, table, write_section

ALPHA = 0.001
LEVELS = (0.5, 1.0, 2.0)
EPSILONS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
PATCH = 64, 64
WIDEST = 0.5
"""An SROCC whose interval is wider says nothing, and is not printed: of too few photographs."""
ASKED = {
    **{f"{levels:g} grey levels": Tampering(levels=levels) for levels in LEVELS},
    **{f"L2 {epsilon:g}": Tampering(epsilon=epsilon) for epsilon in EPSILONS},
    f"{PATCH[0]}×{PATCH[1]} patch": Tampering(patch=PATCH),
    f"{PATCH[0]}×{PATCH[1]} patch, 1 grey level": Tampering(levels=1.0, patch=PATCH),
}

Row = tuple[float, list[float], list[float]]
"""Of a photograph: score, widths under ``ASKED``, and L2 widths of whole frames; inf where there is none."""

_open: dict[str, Certifier] = {}


def _start(tiles: Path, whole: Path | None, samples: int) -> None:
    for name, path in (("tiles", tiles), ("whole", whole)):
        if path is not None:
            _open[name] = Certifier(path, threads=1, samples=samples, alpha=ALPHA, public_seed=1)


def _measure(photograph: Photograph) -> Row:
    frame = read_rgb(photograph.path)
    certificate = _open["tiles"].certify(frame)
    if not isinstance(certificate, TileCertificate):
        raise TypeError("--bundle takes one of tiles: biqa build --tile")
    claims = [certificate.claims(tampering)[0] for tampering in ASKED.values()]
    apart: list[float] = []
    if "whole" in _open:
        whole = _open["whole"].certify(frame)
        for epsilon in EPSILONS:
            ((_, lower, upper),) = whole.curve([epsilon])
            apart.append(upper - lower)
    return certificate.score, [claim.upper - claim.lower for claim in claims], apart


def measure(tiles: Path, whole: Path | None, samples: int, photographs: list[Photograph]) -> list[Row]:
    """A row a photograph, on all cores."""
    with ProcessPoolExecutor(usable_cores(), initializer=_start, initargs=(tiles, whole, samples)) as pool:
        made = pool.map(_measure, photographs)
        return list(tqdm(made, "tiles", len(photographs), disable=None))


def figures(rows: list[Row], truth: NDArray[np.float64], full: float) -> dict[str, Any]:
    """SROCC, range of scores, and widths under each tampering. ``full``: the width of the whole range of scores."""
    scores = np.array([score for score, _, _ in rows])
    widths = np.array([made for _, made, _ in rows])
    draws = resamples(np.arange(len(truth)), np.random.default_rng(1))
    low, high = np.quantile(scores, (0.05, 0.95))
    made: dict[str, Any] = {
        "srocc": round(srocc(scores, truth), 4),
        "srocc_95": interval([srocc(scores[d], truth[d]) for d in draws]),
        "range_5_to_95": round(float(high - low), 2),
        "widths": {},
    }
    for i, name in enumerate(ASKED):
        made["widths"][name] = {
            "mean": round(float(widths[:, i].mean()), 2),
            "median": round(float(np.median(widths[:, i])), 2),
            "mean_95": interval([float(widths[d, i].mean()) for d in draws]),
            "nothing": round(float((widths[:, i] >= full).mean()), 3),
        }
    apart = np.array([whole for _, _, whole in rows])
    if apart.size:
        means = apart.mean(axis=0)
        made["whole_frames"] = {
            f"L2 {e:g}": round(float(m), 2) for e, m in zip(EPSILONS, means, strict=True) if np.isfinite(m)
        }
    return made


def page(made: dict[str, Any], said: str) -> str:
    """The figures as Markdown. ``said``: what was measured."""
    whole = made.get("whole_frames")
    header = ["tampering", "mean width [95%]", "median width", "nothing certified"]
    lines = []
    for name, row in made["widths"].items():
        low, high = row["mean_95"]
        cells = [name, f"{row['mean']:.2f} [{low:.2f}, {high:.2f}]", f"{row['median']:.2f}", f"{row['nothing']:.0%}"]
        if whole is not None:
            cells.append(f"{whole[name]:.2f}" if name in whole else "–" if name.startswith("L2") else "")
        lines.append(cells)
    if whole is not None:
        header.append("whole frames, mean width")
    low, high = made["srocc_95"]
    if high - low <= WIDEST:
        said += f" SROCC {made['srocc']:.3f} [{low:.3f}, {high:.3f}]; 90% of the scores lie within"
        said += f" {made['range_5_to_95']:.1f} points."
    return f"{said}\n\n{table(header, lines)}"


def main() -> None:
    """Measure, print, and write the record."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, default=Path("tiles"), help="one of tiles; default the one that ships")
    parser.add_argument("--whole", type=Path, help="one of whole frames to stand beside")
    parser.add_argument("--scores", type=Path, required=True, help="CSV with columns image, mos, split, subset")
    parser.add_argument("--images", type=Path, required=True, help="folder the image column is relative to")
    parser.add_argument("--split", default="val", help="default val")
    parser.add_argument("--samples", type=int, default=501, help="noisy copies of a photograph; default 501")
    parser.add_argument("--photographs", type=int, default=300, help="spread evenly over the split; default 300")
    parser.add_argument("--trial", action="store_true", help="write nothing")
    options = parser.parse_args()
    bundle = open_bundle(options.bundle)
    contract, score = bundle.manifest.input, bundle.manifest.score
    photographs = spread(options.scores, options.images, options.split, options.photographs)
    rows = measure(options.bundle, options.whole, options.samples, photographs)
    low, high = score.range or (0.0, np.inf)
    made = figures(rows, np.array([p.mos for p in photographs]), high - low)
    said = (
        f"The {score.of_tiles} of {contract.tile}×{contract.tile} tiles, σ = {contract.sigma:g}, "
        f"k = {contract.downscale}, n = {options.samples}, {len(photographs)} photographs of the {options.split} split."
    )
    text = page(made, said)
    print(text)
    if not options.trial:
        record = {
            "version": __version__,
            "graph": bundle.digest,
            "tile": contract.tile,
            "aggregate": score.aggregate,
            "sigma": contract.sigma,
            "alpha": ALPHA,
            "split": options.split,
            "photographs": len(photographs),
            "samples": options.samples,
            **made,
        }
        (DOCS / "evidence" / "tiles.json").write_text(json.dumps(record, indent=1) + "\n")
        write_section(DOCS / "tiles.md", "tiles", text)


if __name__ == "__main__":
    main()
