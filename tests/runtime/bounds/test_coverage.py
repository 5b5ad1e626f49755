"""Simulated certificates miss no more often than α says, both sides, both scopes.

f is linear (closed-form quantiles) or skewed with atoms (a step function of a linear one). The frame is
attacked in the worst direction, and the attacked frame's smoothed score, and a freshly reported one, are
compared with the interval. A side may miss with probability α/2; the number of misses in N certificates is
compared with the 99.9% quantile of Bin(N, α/2), so each check raises a false alarm at most once in 1,000
fresh seeds (the seeds here are fixed).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import binom, norm

from runtime import Certifier
from runtime.bounds.alpha import Scope
from runtime.bounds.ranks import interval, scope_ranks, sorted_sides

ALPHA = 0.05
CERTIFICATES = 20_000
SHIFT = 0.5
Quantile = Callable[[float], float]
Draw = Callable[[np.random.Generator, tuple[int, ...], float], NDArray[np.float64]]


def _staircase(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Skewed, with atoms: an atom at 0 holding the median, steps of a quarter above, growing exponentially."""
    return np.expm1(np.maximum(0.0, np.floor(4 * (z - 0.1)) / 4))


FUNCTIONS = {"linear": lambda z: z, "staircase": _staircase}


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("samples", [100, 101])
def test_ranks_cover(samples: int, function: str, scope: Scope) -> None:
    """20,000 certificates of f(z), z = ⟨w, x+G⟩/(‖w‖σ) ~ N(0, 1), attacked by ±ε along w: z ~ N(±s, 1)."""
    f = FUNCTIONS[function]
    rng = np.random.default_rng((samples, len(function), len(scope)))
    ranks = scope_ranks(samples, SHIFT, ALPHA, scope)
    above = below = 0
    for _ in range(CERTIFICATES):
        lower, upper = interval(*sorted_sides(f(rng.standard_normal(samples))), ranks)
        if scope == "smoothed":
            # The median of a monotone function of z is the function of the median: f(±s).
            down, up = f(np.array([-SHIFT, SHIFT]))
        else:
            fresh = rng.standard_normal((2, samples))
            down, up = np.median(f(fresh[0] - SHIFT)), np.median(f(fresh[1] + SHIFT))
        below += bool(down < lower)
        above += bool(up > upper)
    limit = binom.ppf(0.999, CERTIFICATES, ALPHA / 2)
    assert above <= limit
    assert below <= limit
    # The bound is not idle either: with ranks one step tighter a linear function would be missed too often.
    if function == "linear" and scope == "smoothed":
        assert above + below > CERTIFICATES * ALPHA / 8


def _certifier(
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]], seed: int, **options: object
) -> Certifier:
    return Certifier(sampler=function, sigma=0.12, epsilon=0.06, alpha=ALPHA, samples=60, public_seed=seed, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
def test_certifier_covers(scope: Scope) -> None:
    """The whole road, lattice noise and keys included, on the mean of a 2×2 frame (12 values), 1,500 frames."""
    rng = np.random.default_rng(11)
    count, size, shift = 1500, 12, 0.06 / 0.12

    def mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return images.reshape(len(images), -1).mean(1)

    sd = 0.12 / np.sqrt(size)
    above = below = 0
    with _certifier(mean, 5, scope=scope) as certifier:
        for _ in range(count):
            frame = rng.integers(0, 256, (2, 2, 3), np.uint8)
            certificate = certifier.certify(frame)
            median = frame.mean() / 255
            up, down = median + shift * sd, median - shift * sd
            if scope == "reported":
                up, down = (np.median(centre + sd * rng.standard_normal(60)) for centre in (up, down))
            above += bool(up > certificate.upper)
            below += bool(down < certificate.lower)
    limit = binom.ppf(0.999, count, ALPHA / 2)
    assert above <= limit
    assert below <= limit


@pytest.mark.parametrize("tolerance", [0.5, 1.5])
@pytest.mark.parametrize("samples", [80, 81])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_radius_covers(function: str, samples: int, tolerance: float) -> None:
    """The certified radius is wrong when h_{Φ(s)} > score + t or h_{Φ(−s)} < score − t; at most α of the time."""
    from runtime.bounds.ranks import radius_shift

    f = FUNCTIONS[function]
    rng = np.random.default_rng((3, samples))
    wrong = claimed = 0
    for _ in range(CERTIFICATES):
        ordered = np.sort(f(rng.standard_normal(samples)))
        centre = float(np.median(ordered))
        shift = min(
            radius_shift(ordered, centre, tolerance, ALPHA / 2),
            radius_shift(-ordered[::-1], -centre, tolerance, ALPHA / 2),
        )
        if shift >= 0:
            claimed += 1
            # Right-continuous step functions: the quantile at level Φ(±s) is f(±s).
            wrong += bool(f(np.array([shift]))[0] > centre + tolerance or f(np.array([-shift]))[0] < centre - tolerance)
    assert wrong <= binom.ppf(0.999, CERTIFICATES, ALPHA)
    assert claimed > 0


def test_radius_is_not_idle() -> None:
    """At 1,000 samples of a linear function the certified radius reaches 80% of the true one (t in units of σ)."""
    from runtime.bounds.ranks import radius_shift

    ordered = np.sort(np.random.default_rng(1).standard_normal(1000))
    shift = radius_shift(ordered, float(np.median(ordered)), 1.5, 0.001)
    assert 0.8 * 1.5 < shift < norm.ppf(norm.cdf(1.7))
