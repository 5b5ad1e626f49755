"""Does the certified score still agree with people, and how wide are its certificates?

    python -m benchmarks.correlation --scores biq2021/scores.csv --images biq2021/images --live clive --kodak kodak24

For {no defence, MS, DMS, DMS-IQA, joint, family} × datasets × metrics, through the exported bundles: SROCC and PLCC
(after the usual four-parameter logistic) of the reported score, and the mean certified width at ε/σ of 0.25, 0.5 and 1
with α = 0.001, also as a share of the range of the scores, with 95% bootstrap intervals. Pictures are resampled, in the
Kodak ladders whole photographs with all their rungs. Nothing was trained or chosen on LIVE In the Wild. Writes
docs/evidence/correlation.json and the tables of docs/correlation.md and docs/evidence.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime import __version__
from runtime.samplers import usable_cores
from training.data import KINDS, read_scores
from training.evaluation import plcc, srocc

from .parts.defences import MAIN_METRIC, METRICS, SHIPPED, SIGMA, bundle_paths
from .parts.scoring import Item, Scores, items_of, score_all
from .parts.spoilt_pictures import make_rung, rungs
from .parts.widths import ALPHA, SHIFTS, widths
from .report.bootstrap import RESAMPLES, interval, resamples
from .report.page import DOCS, table, write_section

SIGMAS, SIGMA_SAMPLES, SIGMA_THINNING = (0.03, 0.06, 0.12, 0.18, 0.24), 11, 8
OTHER_THINNING = 3
"""The other metrics are scored on a third of the photographs."""
PAIRS = (("DMS", "MS"), ("DMS-IQA", "DMS"), ("joint", "DMS-IQA"), ("family", "DMS-IQA"))
"""Defences whose difference is told, where both were measured."""
RANGE, SHARED = (0.05, 0.95), 0.5
"""Quantiles of the reported scores of a subset that span their range, and the ε/σ whose width is set against it."""
KODAK = "Kodak ladders"
RECORD = DOCS / "evidence" / "correlation.json"
IN_WORDS = {
    "none": "the bare metric, nothing certified",
    "MS": "median smoothing (MS)",
    "DMS": "through a denoiser trained for pixels (DMS)",
    "DMS-IQA": "for pixels, score and order, the metric frozen (DMS-IQA: the paper's way)",
    "joint": "metric and denoiser trained together, for this level alone (`single`)",
    "family": "**metric and denoiser trained together, for all levels: what ships**",
}


@dataclass(frozen=True)
class Dataset:
    """Items with their truth (higher is better), the group that is resampled as one, and named subsets of them.

    ``samples``: noisy copies of each item, under each defence.
    """

    name: str
    samples: int
    items: list[Item]
    truth: NDArray[np.float64]
    groups: NDArray[np.int64]
    subsets: dict[str, NDArray[np.bool_]]

    def thinned(self, step: int) -> Dataset:
        """Every ``step``-th group, with its items and subsets."""
        kept = self.groups % step == 0
        return Dataset(
            self.name,
            self.samples,
            [item for item, keep in zip(self.items, kept, strict=True) if keep],
            self.truth[kept],
            self.groups[kept],
            {name: chosen[kept] for name, chosen in self.subsets.items()},
        )


def opinions(name: str, table: Path, folder: Path, split: str, samples: int, limit: int | None) -> Dataset:
    """Photographs with opinion scores: pooled and, where there are several, by subset."""
    photographs = [p for p in read_scores(table, folder) if p.split == split][:limit]
    parts = sorted({p.subset for p in photographs})
    subsets = {"pooled": np.ones(len(photographs), bool)}
    for part in parts if len(parts) > 1 else []:
        subsets[part] = np.array([p.subset == part for p in photographs])
    return Dataset(
        name,
        samples,
        items_of(photographs, folder),
        np.array([p.mos for p in photographs]),
        np.arange(len(photographs)),
        subsets,
    )


def kodak(folder: Path, samples: int, limit: int | None) -> Dataset:
    """Pristine photographs spoilt in five ways: by kind, and pooled over kinds. Truth is minus the severity."""
    ladder = rungs(folder, limit)
    subsets = {"pooled": np.ones(len(ladder), bool)}
    for kind in KINDS:
        subsets[kind] = np.array([r.kind in ("pristine", kind) for r in ladder])
    names = sorted({r.path.stem for r in ladder})
    return Dataset(
        KODAK,
        samples,
        [Item(f"{r.path.stem}-{r.kind}-{r.severity}", make_rung, (r,)) for r in ladder],
        -np.array([float(r.severity) for r in ladder]),
        np.array([names.index(r.path.stem) for r in ladder]),
        subsets,
    )


def figures(dataset: Dataset, scores: Scores) -> dict[str, Any]:
    """{subset: {defence: {...}, "differences": {"DMS-IQA − DMS": {...}}}} of one dataset and metric."""
    medians = {"none": scores.none.astype(np.float64)}
    medians |= {d: np.median(noisy.astype(np.float64), axis=1) for d, noisy in scores.smoothed.items()}
    spreads = {d: widths(noisy) for d, noisy in scores.smoothed.items()}
    measures: dict[str, Callable[..., float]] = {"srocc": srocc, "plcc": plcc}
    result: dict[str, Any] = {}
    for subset, chosen in dataset.subsets.items():
        where = np.flatnonzero(chosen)
        draws = [where[d] for d in resamples(dataset.groups[where], np.random.default_rng(1))]
        rows: dict[str, Any] = {"pictures": len(where)}
        drawn: dict[tuple[str, str], list[float]] = {}
        for defence in medians:
            row: dict[str, Any] = {}
            for name, measure in measures.items():
                row[name] = round(measure(medians[defence][where], dataset.truth[where]), 4)
                drawn[defence, name] = [measure(medians[defence][d], dataset.truth[d]) for d in draws]
                row[f"{name}_95"] = interval(drawn[defence, name])
            if defence in spreads:
                low, high = np.quantile(medians[defence][where], RANGE)
                row["range"] = round(float(high - low), 3)
                row["width"] = {f"{s:g}": round(float(v[where].mean()), 3) for s, v in spreads[defence].items()}
            rows[defence] = row
        rows["differences"] = {
            f"{better} − {worse}": {
                name: {
                    "value": round(rows[better][name] - rows[worse][name], 4),
                    "95": interval([a - b for a, b in zip(drawn[better, name], drawn[worse, name], strict=True)]),
                }
                for name in measures
            }
            for better, worse in PAIRS
            if better in rows and worse in rows
        }
        result[subset] = rows
    return result


def against_sigma(dataset: Dataset, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """{σ: {defence: pooled SROCC}} of the main metric on an eighth of the photographs; the denoisers know 0.12.

    Without the family, which has levels of its own: ``frontier.py`` has those.
    """
    paths = {d: path for d, path in bundle_paths(options.work / "bundles", MAIN_METRIC).items() if d != SHIPPED}
    few = dataset.thinned(SIGMA_THINNING)
    result = {}
    for sigma in SIGMAS:
        scores = score_all(few.items, paths, sigma, SIGMA_SAMPLES, options.work / "scores", f"sigma {sigma:g}")
        medians = {"none": scores.none} | {d: np.median(noisy, axis=1) for d, noisy in scores.smoothed.items()}
        result[f"{sigma:g}"] = {d: round(srocc(m, few.truth), 4) for d, m in medians.items()}
    return result


def draw(sigmas: dict[str, dict[str, float]], path: Path) -> None:
    """SROCC against σ, as SVG."""
    from .report.figure import axes, save

    figure, axis = axes("noise level σ on the engine's domain", "SROCC with opinion scores, pooled")
    for defence in next(iter(sigmas.values())):
        axis.plot([float(s) for s in sigmas], [row[defence] for row in sigmas.values()], marker="o", label=defence)
    axis.legend()
    save(figure, path)


def page(record: dict[str, Any]) -> str:
    """The Markdown tables."""
    parts = []
    for metric, datasets in record["metrics"].items():
        for dataset, measured in datasets.items():
            lines = []
            for subset, rows in measured["subsets"].items():
                for defence, row in rows.items():
                    if defence in ("pictures", "differences"):
                        continue
                    known = row.get("width", {})
                    width = {k: f"{known[k]:.2f}" if k in known else "–" for k in (f"{s:g}" for s in SHIFTS)}
                    if "range" in row:
                        width[f"{SHARED:g}"] += f" ({known[f'{SHARED:g}'] / row['range']:.1%})"
                    lines.append(
                        [
                            f"{subset} ({rows['pictures']})" if defence == "none" else "",
                            defence,
                            with_interval(row["srocc"], row["srocc_95"]),
                            f"{row['plcc']:.3f}",
                            *width.values(),
                        ]
                    )
                for pair, difference in rows["differences"].items():
                    told = with_interval(difference["srocc"]["value"], difference["srocc"]["95"], "+")
                    lines.append(["", pair, told, "", "", "", ""])
            header = [
                "subset (photographs)",
                "defence",
                "SROCC [95%]",
                "PLCC",
                *(f"width, ε/σ = {s:g}{' (of the range)' if s == SHARED else ''}" for s in SHIFTS),
            ]
            parts.append(f"**{metric}, {dataset}**, n = {measured['samples']}\n\n{table(header, lines)}")
    parts.append("![SROCC against the noise level](evidence/correlation.svg)")
    return "\n\n".join(parts)


def summary(record: dict[str, Any]) -> str:
    """The tables of docs/evidence.md: the main metric on photographs with opinions, pooled."""
    parts = []
    for name, measured in record["metrics"][MAIN_METRIC].items():
        if name == KODAK:
            continue
        pooled, lines = measured["subsets"]["pooled"], []
        for defence, words in IN_WORDS.items():
            row, against = pooled[defence], ""
            width = row["width"][f"{SHARED:g}"] if "width" in row else None
            share = "–" if width is None else f"{width:.2f} ({width / row['range']:.1%})"
            if worse := dict(PAIRS).get(defence):
                difference = pooled["differences"][f"{defence} − {worse}"]["srocc"]
                against = f"{worse}: {with_interval(difference['value'], difference['95'], '+')}"
            lines.append([words, with_interval(row["srocc"], row["srocc_95"]), f"{row['plcc']:.3f}", share, against])
        header = [f"{name}, {pooled['pictures']} photographs", "SROCC [95%]", "PLCC", "width (of the range)"]
        parts.append(table([*header, "SROCC less that of"], lines))
    return "\n\n".join(parts)


def with_interval(value: float, ends: Sequence[float], sign: str = "") -> str:
    """A value with its 95% interval."""
    return f"{value:{sign}.3f} [{ends[0]:{sign}.3f}, {ends[1]:{sign}.3f}]"


def kept(settings: dict[str, Any]) -> dict[str, Any]:
    """A new record, with what the last one of the same settings has: what is measured now takes the place of it."""
    record: dict[str, Any] = {**settings, "metrics": {}, "sigmas": {}}
    if RECORD.exists():
        last = json.loads(RECORD.read_text())
        if all(last.get(name) == value for name, value in settings.items()):
            record |= {"metrics": last["metrics"], "sigmas": last["sigmas"]}
    return record


def main() -> None:
    """Measure, write the record and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, required=True, help="CSV with columns image, mos, split, subset")
    parser.add_argument("--images", type=Path, required=True, help="folder the image column is relative to")
    parser.add_argument("--split", default="val", help="default val")
    parser.add_argument("--live", type=Path, help="LIVE In the Wild: scores.csv, images/")
    parser.add_argument("--kodak", type=Path, help="folder of pristine PNG photographs, to be spoilt")
    parser.add_argument(
        "--metric",
        choices=METRICS,
        action="append",
        help="repeatable; what is known of the others stays. Default: all",
    )
    parser.add_argument(
        "--samples", type=int, default=44, help="noisy copies of a photograph; default 44, the least for ε/σ = 1"
    )
    parser.add_argument("--ladder-samples", type=int, default=24, help="noisy copies of a rung; default 24")
    parser.add_argument("--every", type=int, default=1, help="take every EVERY-th photograph of --scores; default all")
    parser.add_argument("--ladders", type=int, help="pristine photographs that are spoilt; default all")
    parser.add_argument(
        "--sigmas", action=argparse.BooleanOptionalAction, default=True, help="without it the figure stays as it is"
    )
    parser.add_argument("--limit", type=int, help="only so many photographs a dataset: a trial run, nothing is written")
    parser.add_argument("--work", type=Path, default=Path("build/evidence"), help="bundles and checkpoints")
    options = parser.parse_args()
    name, limit = f"BIQ2021 {options.split}", options.limit
    rated = opinions(name, options.scores, options.images, options.split, options.samples, limit)
    datasets = [rated.thinned(options.every)]
    if options.live:
        table_of_live, images = options.live / "scores.csv", options.live / "images"
        datasets.append(opinions("LIVE In the Wild", table_of_live, images, "test", options.samples, limit))
    if options.kodak:
        datasets.append(kodak(options.kodak, options.ladder_samples, limit or options.ladders))
    metrics = options.metric or METRICS
    record = kept({"version": __version__, "sigma": SIGMA, "alpha": ALPHA, "resamples": RESAMPLES})
    scored = []
    for metric in metrics:
        paths = bundle_paths(options.work / "bundles", metric)
        for dataset in datasets if metric == MAIN_METRIC else [whole.thinned(OTHER_THINNING) for whole in datasets]:
            title = f"{metric} {dataset.name}"
            scores = score_all(dataset.items, paths, SIGMA, dataset.samples, options.work / "scores", title)
            scored.append((metric, dataset, scores))
    if MAIN_METRIC in metrics and options.sigmas:
        record["sigmas"] = against_sigma(datasets[0], options)
    with ProcessPoolExecutor(usable_cores()) as pool:
        made = pool.map(figures, *zip(*((dataset, scores) for _, dataset, scores in scored), strict=True))
        for (metric, dataset, _), subsets in zip(
            scored, tqdm(made, "resampling", len(scored), disable=None), strict=True
        ):
            measured = {"samples": dataset.samples, "subsets": subsets}
            record["metrics"].setdefault(metric, {})[dataset.name] = measured
    record["metrics"] = {name: record["metrics"][name] for name in METRICS if name in record["metrics"]}
    print(page(record))
    if options.limit is None:
        draw(record["sigmas"], RECORD.with_suffix(".svg"))
        RECORD.write_text(json.dumps(record, indent=1) + "\n")
        write_section(DOCS / "correlation.md", "correlation", page(record))
        write_section(DOCS / "evidence.md", "correlation", summary(record))


if __name__ == "__main__":
    main()
