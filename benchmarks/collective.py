"""How close a collective bound comes to the truth: one mean over many frames, and tiles under one budget.

    python -m benchmarks.collective

Scores are normal, of deviation 1 (tiles: 5 points) around means of their own; α = 0.001. Figures are of one side, in
deviations from the true mean, averaged over both sides and over simulated clips. Each cell has three: the smoothed
score, the next one reported, and in brackets frames bounded one by one at α/M and averaged, at the same n. "–" where a
frame may need the end of the range.
"""

from __future__ import annotations

import numpy as np

from runtime.bounds import Scope, Units, certify_mean, certify_tiles, l2, order_statistics, side_limits

ALPHA = 1e-3
SHIFTS = (0.2, 0.42, 1.0)
COUNTS = (30, 300)
SAMPLES = (32, 64, 128, 501)


def clip_figure(units: Units, scope: Scope) -> float | None:
    """Of the collective bound; None where the end of the range enters."""
    if side_limits((units,), ALPHA / 2, scope).largest[0] == units.samples:
        return None
    rng = np.random.default_rng(0)
    gaps = []
    for _ in range(600 // units.count):
        means = rng.uniform(30, 70, (units.count, 1))
        made = certify_mean(
            [means + rng.normal(size=(units.count, units.samples))], [units], ALPHA, bottom=0, top=100, scope=scope
        )
        gaps.append((made.upper - made.lower) / 2)
    return float(np.mean(gaps))


def frames_figure(units: Units) -> float | None:
    """Of the mean of single bounds at α/M; None where there are none."""
    lower, upper = order_statistics(units.samples, units.shift, ALPHA / units.count)
    if lower is None or upper is None:
        return None
    scores = np.sort(np.random.default_rng(0).normal(size=(6000, units.samples)), axis=1)
    return float(scores[:, upper - 1].mean() - scores[:, lower - 1].mean()) / 2


def shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def main() -> None:
    print("| s | M | " + " | ".join(f"n={n}" for n in SAMPLES) + " |\n|---|---|" + "---|" * len(SAMPLES))
    for shift in SHIFTS:
        for count in COUNTS:
            cells = []
            for samples in SAMPLES:
                units = Units(count, samples, shift)
                smoothed, reported = clip_figure(units, "smoothed"), clip_figure(units, "reported")
                cells.append(f"{shown(smoothed)}, {shown(reported)} ({shown(frames_figure(units))})")
            print(f"| {shift:.2f} | {count} | " + " | ".join(cells) + " |")
    print("\n| tiles | E/σ | mean | median | best attack on the mean |\n|---|---|---|---|---|")
    for tiles in (16, 96):
        for shift in (1.0, 2.0, 3.0):
            rng = np.random.default_rng(1)
            widths = []
            for _ in range(3):
                scores = np.clip(rng.uniform(30, 70, (tiles, 1)) + 5 * rng.normal(size=(tiles, 501)), 0, 100)
                for trim in (0, (tiles - 1) // 2):
                    made = certify_tiles(scores, l2(shift, tiles), ALPHA, bottom=0, top=100, trim=trim)
                    widths.append(made.upper - made.lower)
            mean, median = np.mean(widths[::2]), np.mean(widths[1::2])
            print(f"| {tiles} | {shift:g} | {mean:.1f} | {median:.1f} | {10 * shift / tiles**0.5:.1f} |")


if __name__ == "__main__":
    main()
