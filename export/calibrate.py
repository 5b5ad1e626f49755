"""Scores with opinions → a bundle that says its scores on the scale of these opinions as well.

    CSV of score, opinion → checks → logistic or isotonic fit → the same bundle with the curve, under another digest

The graphs stay as they are. The curve is part of what a record says, so a calibrated bundle is another bundle: its
digest covers the curve, and with it every noise key.
"""

from __future__ import annotations

import csv
import hashlib
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import curve_fit, isotonic_regression
from scipy.special import expit
from scipy.stats import spearmanr

from runtime.bounds.calibration import KINDS, Calibration
from runtime.bundle.manifest import FAMILY_SCHEMA
from runtime.bundle.store import Bundle, write_bundle
from runtime.errors import ExportError

LEAST_ROWS = 20
"""Fewer scores say too little about a curve of four parameters."""

COLUMNS = ("score", "opinion")

Column = NDArray[np.float64]


def calibrate(
    bundle: Bundle, table: Path, *, out: Path, kind: str = "logistic", sigma: float | None = None
) -> tuple[Bundle, Calibration]:
    """Fit the curve and write the calibrated bundle to ``out``.

    ``table``: CSV with the columns ``score``, in points of this model, and ``opinion``, higher is better. ``sigma``: of
    a family, the level that the scores are of. Raises ExportError with what is wrong in one line, BundleError.
    """
    if kind not in KINDS:
        raise ExportError(f"a calibration is {' or '.join(KINDS)}, not {kind!r}")
    if not bundle.manifest.score.higher_is_better:
        raise ExportError("a lower score of this model is the better one: export the metric negated to calibrate it")
    if sigma is None and bundle.manifest.levels:
        there = ", ".join(f"{s:g}" for s in bundle.sigmas)
        raise ExportError(f"each noise level has scores of its own: say with --sigma whose these are, one of {there}")
    if sigma is not None and sigma not in bundle.sigmas:
        there = ", ".join(f"{s:g}" for s in bundle.sigmas)
        raise ExportError(f"the bundle has no noise level sigma={sigma:g}: it has {there}")
    if out.resolve() == bundle.path.resolve():
        raise ExportError(f"{out} is the bundle itself: a calibrated bundle is another one, name it with --out")
    scores, opinions, digest = read_table(table)
    made = fit(scores, opinions, kind, digest)
    manifest = bundle.manifest
    if manifest.levels:
        levels = tuple(replace(lv, calibration=made) if lv.sigma == sigma else lv for lv in manifest.levels)
        manifest = replace(manifest, levels=levels)
    else:
        manifest = replace(manifest, calibration=made, schema=FAMILY_SCHEMA)
    return write_bundle(out, manifest, {name: bundle.read(name) for name in manifest.files}), made


def read_table(path: Path) -> tuple[Column, Column, str]:
    """Scores, opinions and the SHA-256 of a CSV. Raises ExportError that names the line."""
    try:
        data = path.read_bytes()
        rows = list(csv.DictReader(data.decode("utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ExportError(f"{path} cannot be read as a CSV: {error}") from None
    if not rows or not set(COLUMNS) <= rows[0].keys():
        raise ExportError(f"{path} needs the columns {' and '.join(COLUMNS)} in its first line")
    if len(rows) < LEAST_ROWS:
        raise ExportError(f"{path} has {len(rows)} rows, too few for a curve: {LEAST_ROWS} are the least")
    values = np.array([[_number(row, column, path, at) for column in COLUMNS] for at, row in enumerate(rows, 2)])
    return values[:, 0], values[:, 1], hashlib.sha256(data).hexdigest()


def _number(row: dict[str, Any], column: str, path: Path, line: int) -> float:
    try:
        value = float(row[column])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise ExportError(f"{path} line {line}: {column} is {row[column]!r}, not a finite number")
    return value


def fit(scores: Column, opinions: Column, kind: str, digest: str) -> Calibration:
    """The curve nearest to the opinions in mean square. Raises ExportError where scores do not rise with opinions."""
    if np.ptp(scores) == 0 or np.ptp(opinions) == 0:
        raise ExportError("all scores, or all opinions, are the same: they say nothing about a curve")
    order = float(spearmanr(scores, opinions)[0])
    if not order > 0:
        raise ExportError(
            f"opinions fall as scores rise (Spearman {order:.2f}), and a curve must not: are lower opinions the better?"
        )
    values, knots = _isotonic(scores, opinions) if kind == "isotonic" else (_logistic(scores, opinions), ())
    made = Calibration(kind, values, knots, len(scores), digest, 0.0)
    left = np.array([made(score) for score in scores]) - opinions
    return replace(made, deviation=float(np.sqrt(np.mean(left**2))))


def _logistic(scores: Column, opinions: Column) -> tuple[float, ...]:
    def curve(x: Column, low: float, rise: float, centre: float, slope: float) -> Column:
        result: Column = low + rise * expit((x - centre) / slope)
        return result

    low, rise, wide = opinions.min(), np.ptp(opinions), np.ptp(scores)
    start = (low, rise, float(np.median(scores)), wide / 4)
    bounds = ([low - 2 * rise, 1e-6 * rise, scores.min() - wide, 1e-3 * wide], [np.inf, 10 * rise, np.inf, 10 * wide])
    try:
        found, _ = curve_fit(curve, scores, opinions, start, bounds=bounds, max_nfev=20000)
    except RuntimeError:
        raise ExportError("no logistic curve fits these opinions: take --kind isotonic, or look at the table") from None
    return float(found[0]), float(found[0] + found[1]), float(found[2]), float(found[3])


def _isotonic(scores: Column, opinions: Column) -> tuple[tuple[float, ...], tuple[float, ...]]:
    knots, places = np.unique(scores, return_inverse=True)
    counts = np.bincount(places)
    means = np.bincount(places, opinions) / counts
    values = np.maximum.accumulate(isotonic_regression(means, weights=counts).x)
    inner = np.ones(len(knots), bool)
    inner[1:-1] = (values[1:-1] != values[:-2]) | (values[1:-1] != values[2:])
    return tuple(map(float, values[inner])), tuple(map(float, knots[inner]))
