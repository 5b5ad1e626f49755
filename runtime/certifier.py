"""The loop: frame → lattice → noise → scores → ranks → certificate.

with Certifier(epsilon=0.1) as certifier:
    certificate = certifier.certify(frame)          # uint8 or uint16 H×W×3 RGB
    print(certificate.score, certificate.lower, certificate.upper)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bundle import open_bundle
from .certificate import Certificate, Provenance, check_epsilon
from .errors import DeviceError, ModelError, ParameterError
from .frames import check_frame, lattice
from .keys import frame_sha256, noise_source
from .noise import table_for
from .plan import Plan, plan
from .planes import Conversion, rgb_from_planes
from .ranks import SCOPES, Scope, check_parameters, interval, sample_median, scope_ranks, sorted_sides
from .samplers import Sampler
from .samplers.callable import CallableSampler, ScoreFunction

Picture = NDArray[Any] | tuple[Sequence[NDArray[Any]], Conversion]
"""A frame as RGB, or as decoded planes with the conversion to apply."""

DEVICES = ("cpu", "cuda")
CHUNK = 64
"""Samples asked of the sampler at a time: how often progress is told."""


class Certifier:
    """Certifies frames with one model, radius, error and sample count.

    ``model``: a bundle (directory or .zip), None for the default model. ``sampler``: a
    :class:`~runtime.samplers.Sampler`, or any function of a noisy image with ``sigma`` (and ``downscale``),
    instead of a model. ``device``: "cpu"; another one is never replaced by it silently. ``epsilon``: L2
    radius on the source RGB frame. ``alpha``: total error of one certificate. ``samples``: noisy copies a
    frame. ``scope``: "smoothed" or "reported". ``secret``: at least 16 bytes, kept by the caller to replay;
    default one drawn once a process. ``public_seed``: a seed anyone may know, for tests. ``threads``: CPU
    threads of the engine, default all. ``progress``: called with the number of samples just drawn. None
    stands for the bundle's default.

    Raises ParameterError, BundleError, DeviceError, DependencyError or ModelError.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "cpu",
        epsilon: float | None = None,
        alpha: float | None = None,
        samples: int | None = None,
        scope: Scope = "smoothed",
        secret: bytes | None = None,
        public_seed: int | None = None,
        threads: int | None = None,
        sampler: Sampler | ScoreFunction | None = None,
        sigma: float | None = None,
        downscale: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        if device not in DEVICES:
            raise DeviceError(f"device is one of {', '.join(DEVICES)}, not {device!r}")
        if scope not in SCOPES:
            raise ParameterError(f"scope is 'smoothed' or 'reported', not {scope!r}")
        if threads is not None and threads < 1:
            raise ParameterError(f"threads is 1 or more, not {threads}")
        self._noise = noise_source(secret, public_seed)
        self._progress = progress
        if sampler is None:
            if sigma is not None or downscale is not None:
                raise ParameterError("sigma and downscale belong to the bundle: give them only with a sampler")
            bundle = open_bundle(model)
            defaults = bundle.manifest.defaults
            epsilon = defaults.epsilon if epsilon is None else epsilon
            alpha = defaults.alpha if alpha is None else alpha
            samples = defaults.samples if samples is None else samples
        elif model is not None:
            raise ParameterError("give a model or a sampler, not both")
        self.epsilon = check_epsilon(0.1 if epsilon is None else epsilon)
        self.alpha = 1e-3 if alpha is None else float(alpha)
        self.samples = 501 if samples is None else samples
        self.scope: Scope = scope
        check_parameters(self.samples, 0.0, self.alpha)
        if sampler is None:
            from .samplers.onnx import OnnxSampler

            self._sampler: Sampler = OnnxSampler(bundle, device=device, threads=threads)
        else:
            self._sampler = _as_sampler(sampler, sigma, downscale)

    @property
    def sampler(self) -> Sampler:
        """The sampler in use."""
        return self._sampler

    def plan(self, epsilon: float | None = None, alpha: float | None = None) -> Plan:
        """What (ε, α), by default the certifier's own, takes with its σ and sample count."""
        return plan(
            self.epsilon if epsilon is None else epsilon,
            self.alpha if alpha is None else alpha,
            sigma=self._sampler.sigma,
            downscale=self._sampler.downscale,
            samples=self.samples,
            scope=self.scope,
        )

    def certify(self, frame: NDArray[Any], *, bit_depth: int | None = None) -> Certificate:
        """Certify an RGB frame, uint8 or uint16 H×W×3 (``bit_depth`` 10 or 12 for video values in uint16).

        Too few samples for ε give a certificate that abstained, with its ``reason``. Raises FrameError for
        anything but an RGB frame, ModelError where the model failed on half of the samples or more.
        """
        return self._certify(frame, bit_depth, self.alpha, None)

    def certify_planes(self, planes: Sequence[NDArray[Any]], conversion: Conversion) -> Certificate:
        """Certify decoded planes Y, U, V (or G, B, R), converted to RGB as ``conversion`` says.

        ε is measured on the RGB frame that comes out. Raises ConversionError, and what ``certify`` raises.
        """
        frame = rgb_from_planes(planes, conversion)
        return self._certify(frame, conversion.bit_depth, self.alpha, conversion)

    def stream(self, frames: Iterable[Picture], *, jointly: int | None = None) -> Iterator[Certificate]:
        """Certificates of RGB frames, or of (planes, conversion) pairs, one by one and in order.

        ``jointly``: the number M of frames to be claimed together, known beforehand: each gets α/M, so that
        with probability ≥ 1−α all M intervals hold, and with them the pooled one (pooling.py). A frame
        beyond M raises ParameterError. None: each certificate stands alone at α.
        """
        if jointly is not None and jointly < 1:
            raise ParameterError(f"jointly is the number of frames, 1 or more, not {jointly}")
        alpha = self.alpha / (jointly or 1)
        for index, frame in enumerate(frames):
            if jointly is not None and index == jointly:
                raise ParameterError(f"more than the {jointly} frames that alpha was split over")
            if isinstance(frame, tuple):
                planes, conversion = frame
                rgb = rgb_from_planes(planes, conversion)
                yield self._certify(rgb, conversion.bit_depth, alpha, conversion)
            else:
                yield self._certify(frame, None, alpha, None)

    def _certify(
        self, frame: NDArray[Any], bit_depth: int | None, alpha: float, conversion: Conversion | None
    ) -> Certificate:
        sampler = self._sampler
        depth = check_frame(frame, bit_depth)
        values = lattice(frame, downscale=sampler.downscale, bit_depth=depth)
        key = self._noise.key(values, sampler.digest, sampler.sigma, self.samples)
        scores = np.empty(self.samples, np.float32)
        for start in range(0, self.samples, CHUNK):
            count = min(CHUNK, self.samples - start)
            drawn = np.asarray(sampler.scores(values, key, start, count))
            if drawn.shape != (count,):
                raise ModelError(f"{sampler.name} returned scores of shape {drawn.shape} for {count} samples")
            scores[start : start + count] = drawn
            if self._progress:
                self._progress(count)

        distance = min(1.0, table_for(sampler.sigma, values).distance * values.values.size)
        shift = self.epsilon / sampler.downscale / sampler.sigma
        ranks = scope_ranks(self.samples, shift, alpha, self.scope, distance)
        low, high = sorted_sides(scores)
        lower, upper = interval(low, high, ranks)
        score = sample_median(low, high)
        failed = int(np.count_nonzero(~np.isfinite(scores)))
        if not np.isfinite(score):
            raise ModelError(
                f"{sampler.name} returned NaN or infinity for {failed} of {self.samples} noisy copies of this frame: "
                "it has no median score; check the model with `python -m export verify`"
            )
        scores.setflags(write=False)
        return Certificate(
            score=score,
            lower=lower,
            upper=upper,
            epsilon=self.epsilon,
            alpha=alpha,
            samples=self.samples,
            scope=self.scope,
            sigma=sampler.sigma,
            downscale=sampler.downscale,
            ranks=ranks,
            failed_samples=failed,
            noise_distance=distance,
            provenance=Provenance(
                model=sampler.name,
                model_sha256=sampler.digest,
                frame_sha256=frame_sha256(frame),
                height=frame.shape[0],
                width=frame.shape[1],
                bit_depth=depth,
                noise=self._noise.kind,
                secret_sha256=self._noise.commitment,
                public_seed=self._noise.public_seed,
                engine=sampler.engine,
                conversion=None if conversion is None else conversion.to_dict(),
            ),
            scores=scores,
        )

    def close(self) -> None:
        """Release the engine."""
        self._sampler.close()

    def __enter__(self) -> Certifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _as_sampler(sampler: Sampler | ScoreFunction, sigma: float | None, downscale: int | None) -> Sampler:
    if isinstance(sampler, Sampler):
        if sigma is not None or downscale is not None:
            raise ParameterError("a sampler has its own sigma and downscale: give them only with a plain function")
        return sampler
    if not callable(sampler):
        raise ParameterError(f"sampler is a Sampler or a function of a noisy image, not {type(sampler).__name__}")
    if sigma is None or not sigma > 0:
        raise ParameterError("a function needs sigma, the noise level for images in [0, 1], e.g. sigma=0.12")
    return CallableSampler(sampler, float(sigma), downscale=downscale or 1)
