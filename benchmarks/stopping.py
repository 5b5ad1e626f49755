"""Samples drawn until the answer is certain: four constructions that are valid at every look, at equal α.

    python -m benchmarks.stopping

Scores are normal, in units of their spread (1 to 2 points for the default model), n ≤ 501, α = 0.001.

- Gate: the threshold lies ``margin`` spreads below the bound that endless sampling would certify. The expected number
  of samples and the chance to decide depend on the distribution only through P(score < threshold), and are exact.
- Width: samples until upper − lower is no more than the limit's width plus ``margin`` spreads; mean of 400 simulated
  frames, the same ones for each construction.

Constructions: a union bound over looks at 24, 48, 96, …, with equal shares of α, or with shares ∝ 1/(j(j+1)); the
mixture of Bernoulli likelihood ratios over a beta law cut at p (Howard & Ramdas 2022, arXiv 1906.09712, section 3.2
with Robbins' method of mixtures), a bound at every n, looked at every 8 samples; the exact boundary of
:mod:`runtime.bounds.stopping`, at its own looks and at the union bound's. One n for all is there for comparison.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, betaln, ndtr, xlog1py, xlogy

from runtime.bounds import STEP, Walk, looks_from, order_statistics, spending_ranks

SAMPLES = 501
ALPHA = 1e-3
SHIFTS = (0.1, 0.42, 1.0)
MARGINS = (0.3, 0.5, 1.0, 2.0)
MIXTURE = 20
"""a + b of the beta law, the best of 5, 20 and 100 at the margins here."""

Design = tuple[Sequence[int], Sequence[int]]
"""Looks and their lower ranks, 0 where there is none."""


def union(looks: Sequence[int], shift: float, shares: Sequence[float]) -> Design:
    """A share of α at each look, whatever happened at the others."""
    return looks, [order_statistics(n, shift, ALPHA * share)[0] or 0 for n, share in zip(looks, shares, strict=True)]


def mixture(shift: float) -> Design:
    """The largest counts at which ∫ (θ/p)^k ((1−θ)/(1−p))^(n−k) dBeta(θ | θ < p) reaches 2/α, plus one.

    Under P = p that integral is a martingale of mean 1, above 2/α with probability ≤ α/2 ever (Ville). a = MIXTURE·p.
    """
    p = float(ndtr(-shift))
    a, b = MIXTURE * p, MIXTURE * (1 - p)
    looks = [*range(STEP, SAMPLES, STEP), SAMPLES]
    ranks = []
    for n in looks:
        k = np.arange(int(n * p) + 1)
        posterior = betaln(a + k, b + n - k) + np.log(betainc(a + k, b + n - k, p))
        prior = betaln(a, b) + math.log(betainc(a, b, p))
        evidence = posterior - prior - xlogy(k, p) - xlog1py(n - k, -p)
        ranks.append(int(np.argmax(np.append(evidence, -np.inf) < math.log(2 / ALPHA))))
    return looks, ranks


def designs(shift: float) -> dict[str, Design]:
    """The constructions by name."""
    p = float(ndtr(-shift))
    doubling = [*(24 * 2**j for j in range(5)), SAMPLES]
    falling = [1 / (j * (j + 1)) for j in range(1, len(doubling) + 1)]
    fine = looks_from(STEP, SAMPLES)
    return {
        "one n": ([SAMPLES], [order_statistics(SAMPLES, shift, ALPHA)[0] or 0]),
        "union, equal": union(doubling, shift, [1 / len(doubling)] * len(doubling)),
        "union, falling": union(doubling, shift, [share / sum(falling) for share in falling]),
        "beta mixture": mixture(shift),
        "exact, looks doubled": (doubling, spending_ranks(doubling, p, ALPHA / 2)),
        "exact (kept)": (fine, spending_ranks(fine, p, ALPHA / 2)),
    }


def gate(design: Design, below: float) -> tuple[float, float]:
    """(expected samples, chance to pass) where a score is below the threshold with this probability."""
    walk = Walk(below, 0.0)
    expected, passed, before = 0.0, 0.0, 0
    for n, rank in zip(*design, strict=True):
        expected += (n - before) * float(walk.mass.sum())
        before = n
        walk.step(n)
        passed += walk.absorb(rank)
    return expected, passed


def width(design: Design, scores: NDArray[np.float64], limit: float) -> float:
    """Mean samples until upper − lower ≤ limit, of frames float64[runs, SAMPLES]."""
    stopped = np.full(len(scores), SAMPLES)
    waiting = np.ones(len(scores), bool)
    for n, rank in zip(*design, strict=True):
        if rank:
            ordered = np.sort(scores[:, :n], axis=1)
            narrow = waiting & (ordered[:, n - rank] - ordered[:, rank - 1] <= limit)
            stopped[narrow] = n
            waiting &= ~narrow
    return float(stopped.mean())


def main() -> None:
    scores = np.random.default_rng(1).standard_normal((400, SAMPLES))
    for question in ("gate", "width"):
        heads = " | ".join(f"s={shift}, +{margin}" for shift in SHIFTS for margin in MARGINS)
        print(f"\n| {question} | {heads} |\n|---|{'---|' * len(SHIFTS) * len(MARGINS)}")
        for name in designs(SHIFTS[0]):
            cells = []
            for shift in SHIFTS:
                design = designs(shift)[name]
                for margin in MARGINS:
                    if question == "gate":
                        expected, passed = gate(design, float(ndtr(-shift - margin)))
                        cells.append(f"{expected:.0f}" + (f" ({passed:.0%})" if passed < 0.995 else ""))
                    else:
                        cells.append(f"{width(design, scores, 2 * shift + margin):.0f}")
            print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
