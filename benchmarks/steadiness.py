"""Does noise that the frames of a clip share steady their scores?

    python -m benchmarks.steadiness

A photograph as a clip: still, each value moved by −1, 0 or +1 at random as a sensor does, and panned by two pixels a
frame. Printed: the root mean square change of the score from frame to frame with noise of each frame's own and with
noise shared, over several secrets.
"""

from __future__ import annotations

import argparse
from typing import cast

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from export.checks import photograph
from runtime import Certifier

from .report.page import table

SIDE, STEP = 384, 2
SHARED = {"noise of each frame": False, "shared noise": True}


def clips(count: int) -> dict[str, list[NDArray[np.uint8]]]:
    """Name → ``count`` frames of the same photograph."""
    pixels, rng = photograph("astronaut"), np.random.default_rng(1)
    still = pixels[:SIDE, :SIDE].astype(np.int16)
    grainy = [np.clip(still + rng.integers(-1, 2, still.shape), 0, 255).astype(np.uint8) for _ in range(count)]
    panned = [np.ascontiguousarray(pixels[:SIDE, i * STEP : i * STEP + SIDE]) for i in range(count)]
    return {"still, ±1 a value": grainy, f"panned {STEP} pixels a frame": panned}


def changes(frames: list[NDArray[np.uint8]], share_noise: bool, samples: int, seed: int) -> NDArray[np.float64]:
    """The change of the score from each frame to the next."""
    with Certifier(share_noise=share_noise, samples=samples, public_seed=seed) as certifier:
        return cast("NDArray[np.float64]", np.diff([c.score for c in certifier.stream(frames)]))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--samples", type=int, default=64, help="noisy copies a frame; default 64")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    for name, frames in clips(options.frames).items():
        cells = [name]
        for shared in SHARED.values():
            runs = [changes(frames, shared, options.samples, seed) for seed in tqdm(range(options.seeds), disable=None)]
            cells.append(f"{np.sqrt(np.mean(np.square(runs))):.3f}")
        rows.append(cells)
    print(table(["clip", *SHARED], rows))


if __name__ == "__main__":
    main()
