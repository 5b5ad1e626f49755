"""Do the intervals hold as often as they say? The shipped models on real frames, against a long reference.

    python -m benchmarks.coverage [--write]

The middles of three photographs (64×64, int8, the default model) get 200,000 noisy scores each, four tiles of one
(256×256, the tiles model) 50,000 each, 200,000 together. The quantiles of this reference are the ends of what an attack
could do; a miss is an interval that ends before them (:mod:`benchmarks.parts.coverage_counts`). Two ways:

- *resampled*: the reference is taken for the law of the score, certificates draw from it with replacement. Thousands
  of certificates, and the law is known exactly. It tests ranks, looks and sets on scores as uneven and tied as real
  ones are; it does not test the noise.
- *fresh*: certificates from further samples, disjoint, with noise of their own. It tests the noise too. The reference
  is a sample itself: a quantile of level 0.8 from 200,000 scores is uncertain by 0.004 in level. Misses in brackets are
  those that stay when each quantile is put at the near end of that (``DOUBT``); they are what is judged.

The reported score's next report is drawn from the law that the lemma allows at worst. Rows of one kind use the same
scores. Scores are kept in build/coverage: the drawing, some 20 minutes on one core, goes on after a kill.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime import Certifier, Tampering, __version__
from runtime.bounds import SCOPES, Aggregate
from runtime.frames import tiling, to_lattice
from runtime.noise import table_for
from runtime.results import Domain

from .parts.coverage_counts import Law, early_stop, frame_of_tiles, most_misses, one_frame, one_mean
from .parts.score_pools import Pool, centre, draw
from .report.page import DOCS, table, write_section

MODELS = Path(__file__).parents[1] / "runtime" / "models"
POOLS = Path(__file__).parents[1] / "build" / "coverage"
FRAMES = ("coffee", "chelsea", "rocket")
SIDE, TILES_SIDE = 64, 256
REFERENCE, FRESH = 200_000, 60_000
TILE_REFERENCE, TILE_FRESH = 50_000, 10_000
SEED = 17
ALPHAS = (0.05, 0.001)
JOINT_ALPHAS = (0.5, 0.05)
"""Of bounds of many units, which take longer and miss less: few certificates, so that only a large error shows."""
SAMPLES = 501
CLIP, CLIP_SAMPLES = 30, 64
"""Frames of a clip, in turn those of ``FRAMES``, each with noise of its own, and draws of each."""
TILE_SAMPLES = 101
TOLERANCE = 1.25
"""An early stop is wanted at this many times the width between the quantiles."""
RESAMPLED, RESAMPLED_LOOKS, RESAMPLED_MEANS, RESAMPLED_TILES = 20_000, 5_000, 500, 250
DOUBT = 1e-6
"""Of each quantile of the reference; a thousand of them are looked up."""
CLAIMS = (Tampering(levels=1.0), Tampering(epsilon=1.0), Tampering(levels=1.0, patch=(1, 64)))
AGGREGATES = (Aggregate("mean"), Aggregate("median"))


@dataclass(frozen=True)
class Row:
    """``misses``: against the reference's quantiles; ``certain``: those that its uncertainty cannot explain."""

    kind: str
    made: str
    alpha: float
    certificates: int
    misses: int
    certain: int

    @property
    def limit(self) -> int:
        """Misses that intervals which hold stay at or below with 99.9%."""
        return most_misses(self.certificates, self.alpha)

    def cells(self) -> list[str]:
        """For the page."""
        misses = f"{self.misses}" if self.made == "resampled" else f"{self.misses} ({self.certain})"
        return [self.kind, self.made, f"{self.alpha:g}", f"{self.certificates:,}", misses, str(self.limit)]


def merged(rows: Iterator[Row]) -> list[Row]:
    """Rows of one kind, way and alpha added up, in the order in which they came first."""
    sums: dict[tuple[str, str, float], Row] = {}
    for row in rows:
        before = sums.get((row.kind, row.made, row.alpha), Row(row.kind, row.made, row.alpha, 0, 0, 0))
        sums[row.kind, row.made, row.alpha] = Row(
            *(row.kind, row.made, row.alpha),
            before.certificates + row.certificates,
            before.misses + row.misses,
            before.certain + row.certain,
        )
    return list(sums.values())


def resample(rng: np.random.Generator, law: NDArray[np.float64], count: int, samples: int) -> NDArray[np.float64]:
    """Rows of ``samples`` scores drawn from a reference with replacement."""
    return np.asarray(law[rng.integers(len(law), size=(count, samples))])


def disjoint(scores: NDArray[np.float32], samples: int) -> NDArray[np.float64]:
    """Rows of ``samples`` scores each, none used twice."""
    rows = len(scores) // samples
    return scores[: rows * samples].reshape(rows, samples, *scores.shape[1:]).astype(np.float64)


def frame_rows(pool: Pool, shift: float, distance: float, rng: np.random.Generator) -> Iterator[Row]:
    """Certificates of one frame: smoothed, reported, and stopped early."""
    known = Law(np.sort(pool.reference).astype(np.float64), shift, distance)
    doubted = Law(known.ordered, shift, distance, DOUBT)
    tolerance = TOLERANCE * float(known.above(shift) - known.below(shift))
    for alpha in ALPHAS:
        for made, scores, looked in (
            (
                "resampled",
                resample(rng, known.ordered, RESAMPLED, SAMPLES),
                resample(rng, known.ordered, RESAMPLED_LOOKS, SAMPLES),
            ),
            ("fresh", disjoint(pool.fresh, SAMPLES), disjoint(pool.fresh, SAMPLES)),
        ):
            seed = int(rng.integers(2**32))
            laws = (known,) if made == "resampled" else (known, doubted)
            for kind, scope in zip(("smoothed score", "next reported score"), SCOPES, strict=True):
                found = [one_frame(scores, law, alpha, scope, np.random.default_rng(seed)) for law in laws]
                yield row(f"{kind}, n={SAMPLES}", made, alpha, found)
            stops = [early_stop(looked, law, alpha, tolerance) for law in laws]
            yield row("stopped early by a tolerance", made, alpha, [stop[0] for stop in stops])
            yield row("any look: a gate at the worst threshold", made, alpha, [stop[1] for stop in stops])


def clip_rows(
    pools: Sequence[Pool],
    shift: float,
    distance: float,
    score_range: tuple[float, float],
    rng: np.random.Generator,
) -> Iterator[Row]:
    """The collective bound of a clip whose frames are those of the pools in turn."""
    ordered = [np.sort(pool.reference).astype(np.float64) for pool in pools]
    each = CLIP // len(pools)
    known = [Law(ordered[i % len(pools)], shift, distance) for i in range(CLIP)]
    doubted = [Law(law.ordered, shift, distance, DOUBT) for law in known]
    fresh = np.stack(
        [disjoint(pools[i % len(pools)].fresh[i // len(pools) :: each], CLIP_SAMPLES) for i in range(CLIP)], axis=1
    )
    for alpha in JOINT_ALPHAS:
        drawn = np.stack([resample(rng, law.ordered, RESAMPLED_MEANS, CLIP_SAMPLES) for law in known], axis=1)
        for made, scores in (("resampled", drawn), ("fresh", fresh)):
            seed = int(rng.integers(2**32))
            laws = (known,) if made == "resampled" else (known, doubted)
            for kind, scope in zip(("smoothed", "next reported"), SCOPES, strict=True):
                found = [one_mean(scores, law, alpha, scope, score_range, np.random.default_rng(seed)) for law in laws]
                yield row(f"mean of {CLIP} frames, {kind}, n={CLIP_SAMPLES}", made, alpha, found)


def tile_rows(
    pool: Pool, domain: Domain, distance: float, score_range: tuple[float, float], rng: np.random.Generator
) -> Iterator[Row]:
    """Certificates of a frame of tiles: each claim with each aggregate."""
    known = [Law(np.sort(tile).astype(np.float64), 0.0, distance) for tile in pool.reference.T]
    doubted = [Law(law.ordered, 0.0, distance, DOUBT) for law in known]
    for alpha in JOINT_ALPHAS:
        drawn = np.stack([resample(rng, law.ordered, RESAMPLED_TILES, TILE_SAMPLES) for law in known], axis=2)
        for made, scores in (("resampled", drawn), ("fresh", disjoint(pool.fresh, TILE_SAMPLES))):
            laws = (known,) if made == "resampled" else (known, doubted)
            for aggregate in AGGREGATES:
                for claim in CLAIMS:
                    found = [frame_of_tiles(scores, law, alpha, claim, domain, aggregate, score_range) for law in laws]
                    yield row(
                        f"{domain.tiling.count} tiles, {aggregate}, {claim}, n={TILE_SAMPLES}", made, alpha, found
                    )


def row(kind: str, made: str, alpha: float, found: Sequence[NDArray[np.bool_]]) -> Row:
    """Of the misses against the reference, and where it is not the law itself, of those beyond its doubt."""
    return Row(kind, made, alpha, len(found[0]), int(found[0].sum()), int(found[-1].sum()))


def measure() -> list[Row]:
    """Draw what is not there yet, then count."""
    rng = np.random.default_rng(SEED)
    whole = Certifier(MODELS / "default", precision="int8", epsilon=0.1, samples=SAMPLES, public_seed=SEED, threads=1)
    with whole:
        pools = draw(FRAMES, SIDE, whole, REFERENCE, FRESH, POOLS)
        sampler = whole.sampler
        shift = whole.epsilon / sampler.downscale / sampler.sigma
        lattice = to_lattice(centre(FRAMES[0], SIDE), downscale=sampler.downscale)
        distance = table_for(sampler.sigma, lattice).distance * lattice.values.size
        ends = sampler.score_range  # type: ignore[attr-defined]
    found = [one for pool in pools for one in frame_rows(pool, shift, distance, rng)]
    found += clip_rows(pools, shift, distance, ends, rng)
    with Certifier(MODELS / "tiles", levels=1, samples=SAMPLES, public_seed=SEED, threads=1) as tiled:
        (pool,) = draw(FRAMES[:1], TILES_SIDE, tiled, TILE_REFERENCE, TILE_FRESH, POOLS)
        sampler = tiled.sampler
        lattice = to_lattice(centre(FRAMES[0], TILES_SIDE), downscale=sampler.downscale)
        cut = tiling(lattice.height, lattice.width, sampler.tile)  # type: ignore[attr-defined]
        domain = Domain(cut, sampler.sigma, sampler.downscale, lattice.bit_depth)
        distance = table_for(sampler.sigma, lattice).distance * cut.values
        ends = sampler.score_range  # type: ignore[attr-defined]
    found += tile_rows(pool, domain, distance, ends, rng)
    return merged(iter(found))


def page(rows: Sequence[Row]) -> str:
    """The table, resampled first."""
    ordered = sorted(rows, key=lambda one: (one.made != "resampled", -one.alpha))
    header = ["interval of", "certificates", "α", "how many", "misses", "allowed"]
    return f"Version {__version__}, `python -m benchmarks.coverage --write`.\n\n" + table(
        header, [one.cells() for one in ordered]
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    arguments = parser.parse_args()
    rows = measure()
    print(page(rows))
    if arguments.write:
        write_section(DOCS / "reliability.md", "coverage", page(rows))
    wrong = [one for one in rows if one.certain > one.limit]
    for one in wrong:
        print(f"too many misses: {one.kind}, {one.made}, alpha {one.alpha:g}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
