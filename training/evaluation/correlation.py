"""How well scores agree with people: SROCC, and PLCC after the usual four-parameter logistic.

The logistic is the one of VQEG's final report (2000): q(s) = b₂ + (b₁ − b₂)/(1 + exp(−(s − b₃)/|b₄|)),
fitted by least squares before Pearson's correlation, so that a metric is not blamed for its scale.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeWarning, curve_fit
from scipy.special import expit
from scipy.stats import pearsonr, spearmanr


def srocc(scores: ArrayLike, mos: ArrayLike) -> float:
    """Spearman's rank correlation of N scores with N opinion scores."""
    return float(spearmanr(scores, mos).statistic)


def _logistic(s: NDArray[np.float64], b1: float, b2: float, b3: float, b4: float) -> NDArray[np.float64]:
    mapped: NDArray[np.float64] = b2 + (b1 - b2) * expit((s - b3) / abs(b4))
    return mapped


def plcc(scores: ArrayLike, mos: ArrayLike) -> float:
    """Pearson's correlation after the four-parameter logistic.

    Plain Pearson for fewer than five scores, which the logistic would fit whatever they are, and where the fit does
    not converge or ends in a constant.
    """
    s, m = np.asarray(scores, float), np.asarray(mos, float)
    if len(s) < 5:
        return float(pearsonr(s, m).statistic)
    start = (float(m.max()), float(m.min()), float(s.mean()), float(s.std()) or 1.0)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OptimizeWarning)
            warnings.simplefilter("ignore", RuntimeWarning)  # overflow in the covariance, which is not used
            fitted, _ = curve_fit(_logistic, s, m, start, maxfev=2000)
    except RuntimeError:
        return float(pearsonr(s, m).statistic)
    mapped = _logistic(s, *fitted)
    return float(pearsonr(mapped if np.ptp(mapped) > 1e-9 else s, m).statistic)
