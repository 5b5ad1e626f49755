"""Fit the score to your own opinion scores, and certify on their scale.

    python examples/own_opinions.py opinions.csv --out mine        # columns: frame (a file), opinion (higher is better)
    python examples/own_opinions.py --out mine                      # made-up opinions of photographs blurred by code

Read it cell by cell, in an editor or as a notebook. Each frame is scored, a monotone curve is fitted from scores to
opinions, and the bundle with the curve certifies on both scales. The interval keeps its error: quantiles commute with a
monotone curve. How well the curve fits is another matter, and the last line but one says it.
"""

# %% What is asked
from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image
from scipy.ndimage import gaussian_filter

from runtime import Certifier

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("opinions", type=Path, nargs="?", help="CSV; default: made up, of no people")
parser.add_argument("--out", type=Path, required=True, help="the calibrated bundle")
parser.add_argument("--model", help="bundle; default: the one that ships")
parser.add_argument("--samples", type=int, default=64, help="noisy copies of a frame that is scored; default 64")
asked = parser.parse_args()

folder = Path(tempfile.mkdtemp(prefix="opinions-"))

# %% Frames and opinions: yours, or three photographs ever more out of focus, on a scale of 1 to 5
rows: list[tuple[Path, float]] = []
if asked.opinions is not None:
    with asked.opinions.open(newline="") as file:
        rows = [(asked.opinions.parent / row["frame"], float(row["opinion"])) for row in csv.DictReader(file)]
else:
    rng = np.random.default_rng(5)
    for name in ("coffee", "chelsea", "rocket"):
        photograph = getattr(skimage.data, name)()[:192, :192]
        for step in range(8):
            target = folder / f"{name}-{step}.png"
            Image.fromarray(gaussian_filter(photograph, (0.6 * step, 0.6 * step, 0))).save(target)
            rows.append((target, float(np.clip(5 - 0.5 * step + rng.normal(0, 0.1), 1, 5))))

# %% The score of each, with the noise level that the model takes by itself
with Certifier(asked.model, samples=asked.samples) as certifier, (folder / "scores.csv").open("w", newline="") as file:
    sigma = certifier.sampler.sigma
    table = csv.writer(file)
    table.writerow(["score", "opinion"])
    for path, opinion in rows:
        table.writerow([certifier.certify_file(path).score, opinion])

# %% The curve: another bundle, with another digest, whose records hold both scales
command = [sys.executable, "-m", "export", "calibrate", asked.model or "default", str(folder / "scores.csv")]
done = subprocess.run([*command, "--sigma", f"{sigma!r}", "--out", str(asked.out)], stderr=subprocess.PIPE, text=True)
if done.returncode:
    sys.exit(done.stderr)

# %% Certified on your scale
with Certifier(asked.out, samples=asked.samples) as certifier:
    certified = certifier.certify_file(rows[0][0])[0].to_dict()
print(done.stderr.strip())
print(
    f"{rows[0][0].name}: {certified['score']:.2f} [{certified['lower']:.2f}, {certified['upper']:.2f}] points, ", end=""
)
print("{score:.2f} [{lower:.2f}, {upper:.2f}] of your scale".format(**certified["calibrated"]))
