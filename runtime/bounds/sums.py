"""A limit that a sum of many independent whole numbers exceeds with at most a given probability.

S is the sum of M independent terms, in groups of equal law. Wanted: a small c with P(S > c) ≤ β. The law of S is found
by tilting (Esscher) and a discrete Fourier transform. With K(η) = log E exp(ηS) and dQ = exp(ηS − K) dP, for any η > 0

    P(S > c)  =  exp(K − ηc) · Σ over s > c of Q(s)·exp(−η(s − c)).                                                 (1)

η is that of Chernoff's bound at β. So c lies near the mean of Q, and (1) keeps its *relative* precision however small
β is.

**What is paid.**

- Q is computed on a window of whole numbers. Mass outside is folded into it, which only adds to (1). What lies above
  the window, at most exp(K − η·end), is added.
- A transform of length L is off by at most 16·2⁻⁵³·log₂L of its Euclidean norm; Higham, Accuracy and Stability, §24.1,
  allows half of it. With a that error of one transform z, z^m is off by (1 + 2a/|z| + 4·2⁻⁵³)^m − 1 of itself. The sum
  in (1) meets all these errors through Cauchy–Schwarz.
- RESERVE of β is kept back for rounding in K, in (1), and in the laws: with laws exact to 4·n·2⁻⁵³ of themselves, M·n
  draws cost at most 8·M·n·2⁻⁵³ of β. Where that is more than half the reserve the bound is refused.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError

UNIT = 2.0**-53
"""The rounding of one operation in float64."""
RESERVE = 1e-6
"""The part of an error kept back for rounding."""
MOST_DRAWS = int(RESERVE / 16 / UNIT)
"""The draws of all units that the reserve pays for, 5·10⁸."""
HALF_WINDOW = 20
"""The window reaches this many deviations of Q below and above its mean."""
LONGEST = 2**22
"""The longest transform: 100 MB of working memory."""


@dataclass(frozen=True, eq=False)
class Part:
    """``count`` independent terms: value ``values[j]``, int64[n + 1], with probability ``law[j]``, float64[n + 1]."""

    count: int
    law: NDArray[np.float64]
    values: NDArray[np.int64]


def limit(parts: Sequence[Part], error: float) -> int:
    """The least c found with P(S > c) ≤ ``error``, all rounding paid for. Raises ParameterError beyond MOST_DRAWS."""
    if sum(part.count * len(part.law) for part in parts) > MOST_DRAWS:
        raise ParameterError(f"more than {MOST_DRAWS} draws in one bound: their rounding is not paid for")
    most = sum(part.count * int(part.values[part.law > 0].max()) for part in parts)
    centres = [float(part.law @ part.values) for part in parts]
    offset = sum(part.count * centre for part, centre in zip(parts, centres, strict=True))
    spread = math.sqrt(sum(p.count * float(p.law @ (p.values - c) ** 2) for p, c in zip(parts, centres, strict=True)))
    if most - offset <= 1e-9 * max(1.0, abs(offset)) or spread == 0:
        return most
    share = error * (1 - RESERVE)

    def cumulant(tilt: float) -> float:
        """K(tilt) of S − offset."""
        return math.fsum(
            part.count * _log_mean_exp(part.law, np.asarray(tilt * (part.values - centre), np.float64))
            for part, centre in zip(parts, centres, strict=True)
        )

    def chernoff(log_tilt: float) -> float:
        tilt = math.exp(log_tilt)
        return (cumulant(tilt) - math.log(share)) / tilt

    # Here, for it takes a third of the time that a program takes to start, and a still of one unit never comes here.
    from scipy.optimize import minimize_scalar

    around = math.log(math.sqrt(-2 * math.log(share) + 1) / spread)
    found = minimize_scalar(chernoff, bounds=(around - 3, around + 5), method="bounded", options={"xatol": 1e-3})
    tilt = math.exp(found.x)
    if offset + found.fun >= most:
        return most
    return min(most, math.ceil(offset + float(found.fun)), _exact(parts, centres, offset, tilt, cumulant(tilt), share))


def _exact(
    parts: Sequence[Part], centres: Sequence[float], offset: float, tilt: float, cumulant: float, share: float
) -> int:
    """The least c by (1), with everything in the docstring added."""
    tilted = []
    mean = variance = 0.0
    for part, centre in zip(parts, centres, strict=True):
        weights = np.asarray(tilt * (part.values - centre), np.float64)
        mass = part.law * np.exp(weights - _log_mean_exp(part.law, weights))
        mass /= mass.sum()
        tilted.append(mass)
        mean += part.count * float(mass @ part.values)
        variance += part.count * float(mass @ (part.values - mass @ part.values) ** 2)
    half = HALF_WINDOW * math.sqrt(variance) + 16
    least = sum(part.count * int(part.values.min()) for part in parts)
    most = sum(part.count * int(part.values.max()) for part in parts)
    start, end = max(least, math.floor(mean - half)), min(most, math.ceil(mean + half))
    length = 1 << max(4, (end - start).bit_length())
    if length > LONGEST:
        return most
    transform, relative = _transform(parts, tilted, length)
    # Frequencies turn the window's start to index 0.
    turn = np.exp(-2j * np.pi * ((np.arange(length // 2 + 1) * (-start % length)) % length) / length)
    masses = np.fft.irfft(transform * turn, length)
    noise = math.sqrt(2 * float(np.sum((relative * np.abs(transform)) ** 2)) / length)
    noise += 32 * UNIT * math.log2(length) * float(np.linalg.norm(masses))
    sums = np.arange(start, start + length) - offset
    # Exponents relative to the limit sought: those that matter are moderate.
    scaled = masses * np.exp(np.minimum(cumulant - tilt * sums, 500.0))
    above = np.append(np.cumsum(scaled[::-1])[::-1], 0.0)[1:]
    met = np.exp(np.minimum(cumulant - tilt * sums, 500.0)) * noise / math.sqrt(math.expm1(2 * tilt))
    beyond = 0.0 if start + length > most else math.exp(cumulant - tilt * (start + length - offset))
    fits = above + met + beyond <= share
    # The first index from which on all fit.
    failing = np.nonzero(~fits)[0]
    return start + (int(failing[-1]) + 1 if len(failing) else 0)


def _transform(
    parts: Sequence[Part], tilted: Sequence[NDArray[np.float64]], length: int
) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """(the transform of Q, its relative error), each [length/2 + 1]."""
    product = np.ones(length // 2 + 1, np.complex128)
    strayed = np.full(length // 2 + 1, 16 * UNIT)
    for part, mass in zip(parts, tilted, strict=True):
        spots = np.zeros(length)
        np.add.at(spots, part.values % length, mass)
        one = np.fft.rfft(spots)
        error = 16 * UNIT * math.log2(length) * math.sqrt(length) * float(np.linalg.norm(spots))
        # Too small to be told from 0: its power is too, for as many terms as matter; it is kept above its error.
        size = np.abs(one)
        one = np.where(size < error, error, one)
        strayed = strayed + part.count * (2 * error / np.abs(one) + 4 * UNIT)
        product = product * _power(one, part.count)
    # (1 + e)^m − 1; where it would overflow, the power has vanished.
    return product, np.expm1(np.minimum(strayed, 300.0))


def _power(base: NDArray[np.complex128], exponent: int) -> NDArray[np.complex128]:
    result = np.ones_like(base)
    with np.errstate(under="ignore"):
        while exponent:
            if exponent & 1:
                result = result * base
            base = base * base
            exponent >>= 1
    return result


def _log_mean_exp(law: NDArray[np.float64], exponents: NDArray[np.float64]) -> float:
    top = float(exponents[law > 0].max())
    return top + math.log(float(law @ np.exp(np.minimum(exponents - top, 0.0))))
