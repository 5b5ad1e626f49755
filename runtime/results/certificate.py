"""The result: a score, the interval it is certified to stay in, and everything needed to make it again.

What it claims (docs/claims.md): x is the frame as received. With probability ≥ 1−α over the noise, the interval
contains the smoothed score of every frame within ε of x of the same size and bit depth (scope "smoothed"), or the score
reported next for any one such frame, chosen without knowledge of the secret and of earlier results (scope "reported").
That holds for the untampered original too, if the tampering was within ε.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounds.alpha import Scope, equal_share
from ..bounds.calibration import Calibration
from ..bounds.ranks import check_parameters, interval, scope_ranks, sorted_sides
from ..bounds.stopping import Stopping, scope_radius_shift
from ..errors import ParameterError
from .claims import SMOOTHED, claim, l2_within, too_few_samples


@dataclass(frozen=True)
class Provenance:
    """What a certificate was made of, so that it can be made again.

    ``model``: bundle name; ``model_sha256``: its identity, of the graph's bytes; for a plain function only of its name,
    which does not identify its code (``engine`` then says so); ``frame_sha256``: of the RGB code values;
    ``height``, ``width``, ``bit_depth``: of the source frame; ``noise``: "secret" or "public seed";
    ``secret_sha256``: commitment to the secret, or ``public_seed``; ``engine``: device, provider,
    precision, version and batch that really ran; ``conversion``: how planes became RGB, None for RGB input;
    ``reading``: every step between the bytes of a file and the frame, None where no file was read;
    ``lattice_sha256``: of the integers that noise was added to; frames with the same ones draw the same noise;
    ``score_range``: that the model states, None where it does not; ``shared_noise_frames``: the number of frames of a
    clip that share their noise, None where it is this frame's own. ``level``: why the certificate's σ was taken, and of
    which noise levels; None where the model has but one. ``calibration``: the curve to the user's scale, if it has one.

    >>> provenance = certifier.certify(frame).provenance
    >>> provenance.height, provenance.width, provenance.bit_depth, provenance.noise
    (96, 128, 8, 'secret')
    """

    model: str
    model_sha256: str
    frame_sha256: str
    height: int
    width: int
    bit_depth: int
    noise: str
    secret_sha256: str | None
    public_seed: int | None
    engine: Mapping[str, Any]
    lattice_sha256: str
    conversion: Mapping[str, Any] | None = None
    shared_noise_frames: int | None = None
    score_range: tuple[float, float] | None = None
    reading: Mapping[str, Any] | None = None
    level: Mapping[str, Any] | None = None
    calibration: Calibration | None = None


@dataclass(frozen=True, eq=False)
class Certificate:
    """A certified score. Truthy unless it abstained.

    ``score``: median of the noisy scores. ``lower``, ``upper``: the certified interval, ∓inf where n is too
    small. ``epsilon``: L2 radius on the source RGB frame, all pixels and channels, values in [0, 1];
    ``epsilon_engine`` = ε/k on the engine's domain. ``alpha``: total error of this certificate. ``sigma``:
    noise level on the engine's domain. ``samples``: noisy copies asked for, n of the noise key; ``drawn`` of them
    were, fewer only where ``stopping`` says how. ``ranks``: the 1-based order statistics used. ``failed_samples``:
    scores that were not finite, counted against both sides. ``scores``: float32[drawn], in the order drawn.

    >>> certificate = certifier.certify(frame)
    >>> certificate.lower <= certificate.score <= certificate.upper
    True
    >>> certificate.radius(tolerance=1) > certificate.epsilon
    True
    >>> certificate.to_dict()["claim"][:35]
    'Except with probability at most 0.0'
    """

    score: float
    lower: float
    upper: float
    epsilon: float
    alpha: float
    samples: int
    scope: Scope
    sigma: float
    downscale: int
    ranks: tuple[int | None, int | None]
    failed_samples: int
    noise_distance: float
    provenance: Provenance
    scores: NDArray[np.float32] = field(repr=False)
    stopping: Stopping | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return not self.abstained

    @property
    def abstained(self) -> bool:
        """True where a side is infinite: nothing is certified."""
        return not (math.isfinite(self.lower) and math.isfinite(self.upper))

    @property
    def drawn(self) -> int:
        """The noisy copies scored: all that were asked for, or as many as it took."""
        return len(self.scores)

    @property
    def epsilon_engine(self) -> float:
        """The radius on the engine's domain: a k×k average shrinks L2 distances by k."""
        return self.epsilon / self.downscale

    @property
    def within(self) -> str:
        """The frames that the claim is about: "within L2 distance 0.1 (RGB in [0,1]) of" the frame as received."""
        return l2_within(self.epsilon)

    @property
    def smoothed(self) -> str:
        """What its smoothed score is, in words."""
        return SMOOTHED

    @property
    def tampering_label(self) -> str:
        """ "ε=0.1", for one line."""
        return f"ε={self.epsilon:g}"

    @property
    def reason(self) -> str | None:
        """Why it abstained, with the number of samples that would do; None if it did not."""
        if not self.abstained:
            return None
        if self.ranks[0] is None:
            return too_few_samples(self.samples, self.epsilon_engine / self.sigma, self.alpha, self.scope)
        return f"{self.failed_samples} of {self.drawn} scores were not finite, too many to bound the rest"

    @property
    def scores_sha256(self) -> str:
        """SHA-256 (hex) of the scores as little-endian float32, in the order drawn."""
        return hashlib.sha256(self.scores.astype("<f4").tobytes()).hexdigest()

    @property
    def calibrated(self) -> tuple[float, float, float] | None:
        """(score, lower, upper) on the user's own scale; None for a model that was not calibrated.

        The bounds hold there with the same error: quantiles commute with a monotone curve (bounds/calibration.py).
        """
        curve = self.provenance.calibration
        return None if curve is None else (curve(self.score), curve(self.lower), curve(self.upper))

    @property
    def looks(self) -> tuple[int, ...]:
        """The sample counts at which sampling could stop; empty where their number was fixed."""
        return self.stopping.schedule.looks if self.stopping else ()

    def shared_by(self, frames: int) -> Certificate:
        """The same scores, claimed together with those of ``frames`` frames in all: each at alpha/frames.

        For streams whose length shows at their end. Sound where the number of frames does not depend on scores.
        Raises ParameterError for a certificate that was stopped early, whose looks were for another alpha.
        """
        if frames < 1 or self.stopping is not None:
            raise ParameterError("only a certificate of all its samples can be shared later, by 1 frame or more")
        alpha, shift = equal_share(self.alpha, frames), self.epsilon_engine / self.sigma
        ranks = scope_ranks(self.samples, shift, alpha, self.scope, self.noise_distance)
        lower, upper = interval(*sorted_sides(self.scores), ranks)
        return replace(self, alpha=alpha, ranks=ranks, lower=lower, upper=upper)

    def curve(self, epsilons: Sequence[float]) -> list[tuple[float, float, float]]:
        """(ε, lower, upper) at K source radii, jointly valid: each at α/K. Raises ParameterError if empty.

        K counts every radius ever looked at: ask for all of them in one call. Together with the certificate's own
        interval the error is 2α.
        """
        if not len(epsilons):
            raise ParameterError("a curve needs at least one epsilon")
        low, high = sorted_sides(self.scores)
        points = []
        for epsilon in epsilons:
            shift = check_epsilon(epsilon) / self.downscale / self.sigma
            alpha = equal_share(self.alpha, len(epsilons))
            if self.stopping is None:
                ranks = scope_ranks(self.samples, shift, alpha, self.scope, self.noise_distance)
            else:
                ranks = self.stopping.ranks_at(shift, alpha, self.scope, self.noise_distance)
            points.append((float(epsilon), *interval(low, high, ranks)))
        return points

    def radius(self, tolerance: float, *, alpha: float | None = None) -> float | None:
        """The largest certified ε (source frame) at which the score stays within score ± tolerance.

        "Within" is meant for the smoothed or the next reported score, as ``scope`` says. ``alpha``: the error of this
        statement alone, by default the certificate's; give each of several tolerances its share. None where no
        radius is certified, not even 0, and wherever a sample failed.
        """
        error = self.alpha if alpha is None else alpha
        check_parameters(self.samples, 0.0, error)
        if not tolerance >= 0:
            raise ParameterError(f"tolerance is in score units and 0 or more, not {tolerance!r}")
        if self.failed_samples:
            return None
        ordered = np.sort(self.scores.astype(np.float64))
        looks = (self.samples,) if self.stopping is None else self.stopping.schedule.looks
        shift = scope_radius_shift(ordered, self.score, tolerance, error, self.scope, looks, self.noise_distance)
        return None if shift is None else shift * self.sigma * self.downscale

    def to_dict(self) -> dict[str, Any]:
        """The record: JSON types only, infinities as None beside ``"abstained": true``."""
        provenance = self.provenance
        record: dict[str, Any] = {
            "score": self.score,
            "lower": self.lower if math.isfinite(self.lower) else None,
            "upper": self.upper if math.isfinite(self.upper) else None,
            "abstained": self.abstained,
            "epsilon": self.epsilon,
            "epsilon_engine": self.epsilon_engine,
            "alpha": self.alpha,
            "samples": self.samples,
            "drawn": self.drawn,
            "scope": self.scope,
            "sigma": self.sigma,
            "downscale": self.downscale,
            "lower_rank": self.ranks[0],
            "upper_rank": self.ranks[1],
            "failed_samples": self.failed_samples,
            "noise_distance": self.noise_distance,
            "scores_sha256": self.scores_sha256,
            "model": provenance.model,
            "model_sha256": provenance.model_sha256,
            "frame_sha256": provenance.frame_sha256,
            "lattice_sha256": provenance.lattice_sha256,
            "height": provenance.height,
            "width": provenance.width,
            "bit_depth": provenance.bit_depth,
            "noise": provenance.noise,
            "secret_sha256": provenance.secret_sha256,
            "public_seed": provenance.public_seed,
            "engine": dict(provenance.engine),
            "conversion": None if provenance.conversion is None else dict(provenance.conversion),
            "claim": claim(self.within, self.alpha, self.scope, self.samples, self.looks, self.smoothed),
        }
        if provenance.score_range is not None:
            record["score_range"] = list(provenance.score_range)
        if self.calibrated is not None and provenance.calibration is not None:
            names = ("score", "lower", "upper")
            told = {n: v if math.isfinite(v) else None for n, v in zip(names, self.calibrated, strict=True)}
            record["calibrated"] = told
            record["calibration"] = provenance.calibration.to_dict()
        if provenance.level is not None:
            record["level"] = dict(provenance.level)
        if provenance.reading is not None:
            record["reading"] = dict(provenance.reading)
        if provenance.shared_noise_frames is not None:
            record["shared_noise_frames"] = provenance.shared_noise_frames
        if self.stopping:
            record["stopping"] = self.stopping.to_dict()
        if self.reason:
            record["reason"] = self.reason
        return record


def check_epsilon(epsilon: float) -> float:
    """ε as a float, or ParameterError unless it is finite and 0 or more."""
    if not (isinstance(epsilon, (int, float, np.number)) and 0 <= epsilon < math.inf):
        raise ParameterError(f"epsilon is an L2 radius for values in [0, 1], 0 or more, not {epsilon!r}")
    return float(epsilon)
