"""The loop: frame → lattice → noise → scores → ranks → certificate.

with Certifier(epsilon=0.1) as certifier:
    certificate = certifier.certify(frame)          # uint8 or uint16 H×W×3 RGB
    print(certificate.score, certificate.lower, certificate.upper)
    if certifier.gate(frame, at_least=60):          # no more samples than it takes to say
        ...
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from numbers import Real
from types import TracebackType
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import NDArray

from .bundle import Bundle, open_bundle
from .certificate import Certificate, check_epsilon
from .clip import Clip, Frames
from .decisions import Better, Comparison, Gate, Pooled, Verdict, pooled
from .device_frames import DeviceArray, is_device_frame
from .drawing import Drawing, Picture, Source, Terms
from .errors import DeviceError, ParameterError
from .keys import NOISES, ClipNoise, noise_source
from .plan import Plan, plan
from .planes import Conversion
from .pooling import POOLS
from .ranks import SCOPES, Scope, check_parameters, scope_ranks
from .samplers import Sampler
from .samplers.callable import CallableSampler, ScoreFunction
from .stopping import Schedule, Stopping, schedule

DEVICES = ("cpu", "cuda")


class Certifier:
    """Certifies frames with one model, radius, error and sample count.

    ``model``: a bundle (directory or .zip), None for the default model. ``sampler``: a
    :class:`~runtime.samplers.Sampler`, which stays the caller's to close, or any function of a noisy image with
    ``sigma`` (and ``downscale``), instead of a model; neither takes ``device``, ``precision`` or ``threads``.
    ``device``: "cpu", or "cuda", which is never replaced by it silently (docs/gpu.md). ``precision``: of the graph that
    is certified, each a function of its own: "fp32" or "int8" on a CPU, fp32 unless asked; "fp32" or "fp16" on a GPU,
    fp16 where the bundle has it. ``epsilon``: L2 radius on the source RGB frame. ``alpha``: total error of one
    certificate. ``samples``: noisy copies a frame. ``scope``: "smoothed" or "reported". ``secret``: at least 16 bytes,
    kept by the caller to replay; default one drawn once a process. ``public_seed``: a seed anyone may know, for tests.
    ``threads``: CPU threads of the engine, default all. ``noise``: "per-frame", or "per-video": the frames of a clip
    share theirs, which takes a clip that can be read twice. ``progress``: called with the number of samples just drawn.
    None stands for the bundle's default.

    Several threads may ask one certifier; a model scores for one of them at a time. What it claims cannot be changed:
    open another one. Raises ParameterError, BundleError, DeviceError, DependencyError or ModelError.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | None = None,
        *,
        device: str = "cpu",
        precision: str | None = None,
        epsilon: float | None = None,
        alpha: float | None = None,
        samples: int | None = None,
        scope: Scope = "smoothed",
        secret: bytes | None = None,
        public_seed: int | None = None,
        threads: int | None = None,
        noise: str = "per-frame",
        sampler: Sampler | ScoreFunction | None = None,
        sigma: float | None = None,
        downscale: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        if device not in DEVICES:
            raise DeviceError(f"device is one of {', '.join(DEVICES)}, not {device!r}")
        if scope not in SCOPES:
            raise ParameterError(f"scope is 'smoothed' or 'reported', not {scope!r}")
        if threads is not None and not _is_count(threads):
            raise ParameterError(f"threads is 1 or more, not {threads!r}")
        if public_seed is not None and (
            isinstance(public_seed, bool) or not isinstance(public_seed, (int, np.integer))
        ):
            raise ParameterError(f"public_seed is a whole number, not {public_seed!r}")
        if noise not in NOISES:
            raise ParameterError(f"noise is one of {', '.join(NOISES)}, not {noise!r}")
        source = noise_source(secret, public_seed)
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
        elif device != "cpu" or precision is not None or threads is not None:
            raise ParameterError(
                "device, precision and threads belong to a model: a sampler runs where and how its owner put it"
            )
        samples = 501 if samples is None else samples
        alpha = 1e-3 if alpha is None else _number("alpha", alpha)
        self._terms = Terms(check_epsilon(0.1 if epsilon is None else epsilon), alpha, scope)
        check_parameters(samples, 0.0, alpha)
        self._owned = sampler is None
        self._sampler: Sampler = (
            _open_sampler(bundle, device, precision, threads)
            if sampler is None
            else _as_sampler(sampler, sigma, downscale)
        )
        self._source = Source(self._sampler, source, int(samples), progress, noise == "per-video")

    @property
    def sampler(self) -> Sampler:
        """The sampler in use."""
        return self._sampler

    @property
    def epsilon(self) -> float:
        """L2 radius on the source RGB frame."""
        return self._terms.epsilon

    @property
    def alpha(self) -> float:
        """Total error of one answer."""
        return self._terms.alpha

    @property
    def samples(self) -> int:
        """Noisy copies a frame, n of the noise key."""
        return self._source.samples

    @property
    def scope(self) -> Scope:
        """ "smoothed" or "reported"."""
        return self._terms.scope

    @property
    def higher_is_better(self) -> bool:
        """The direction of the scores: the model's, True for a sampler that does not say."""
        return bool(getattr(self._sampler, "higher_is_better", True))

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

    def certify(
        self, frame: NDArray[Any] | DeviceArray, *, bit_depth: int | None = None, tolerance: float | None = None
    ) -> Certificate:
        """Certify an RGB frame, uint8 or uint16 H×W×3 (``bit_depth`` 10 or 12 for video values in uint16).

        With ``device="cuda"`` the frame may be in device memory: anything with ``__cuda_array_interface__``, or DLPack
        on CUDA. It is left as it is, and must not change before the answer is there; so for every method that takes
        frames.

        ``tolerance``: stop drawing as soon as upper − lower is no more than that, in score units; at ``samples`` at
        the latest, where the interval may still be wider. None: draw them all.

        Too few samples for ε give a certificate that abstained, with its ``reason``. Raises FrameError for
        anything but an RGB frame, ModelError where the model failed on half of the samples or more.
        """
        return self._certify(frame, bit_depth, self.alpha, tolerance, self._source.clip_noise([frame], bit_depth))

    def certify_planes(
        self, planes: Sequence[NDArray[Any]], conversion: Conversion, *, tolerance: float | None = None
    ) -> Certificate:
        """Certify decoded planes Y, U, V (or G, B, R), converted to RGB as ``conversion`` says.

        ε is measured on the RGB frame that comes out. Raises ConversionError, and what ``certify`` raises.
        """
        picture = (planes, conversion)
        return self._certify(picture, None, self.alpha, tolerance, self._source.clip_noise([picture], None))

    def stream(
        self,
        frames: Iterable[Picture],
        *,
        jointly: int | None = None,
        bit_depth: int | None = None,
        tolerance: float | None = None,
    ) -> Iterator[Certificate]:
        """Certificates of RGB frames, or of (planes, conversion) pairs, one by one and in order.

        ``jointly``: the number M of frames to be claimed together, known beforehand: each gets α/M, so that
        with probability ≥ 1−α all M intervals hold, and with them the pooled one (pooling.py). A frame
        beyond M raises ParameterError. None: each certificate stands alone at α. ``bit_depth``, of RGB frames, and
        ``tolerance``: as for ``certify``, each frame for itself. With ``noise="per-video"`` all frames are read before
        the first is scored: a list, or anything with a length that gives the same frames each time.
        """
        if jointly is not None and not _is_count(jointly):
            raise ParameterError(f"jointly is the number of frames, 1 or more, not {jointly!r}")
        if self._source.per_video and not _is_repeatable(frames):
            raise ParameterError(
                "noise per video takes the whole clip before its first frame is scored: give a list of frames, not "
                f"{type(frames).__name__}, or take noise per frame for frames that come one by one"
            )
        alpha = self.alpha / (jointly or 1)
        clip = self._source.clip_noise(frames, bit_depth)
        for index, frame in enumerate(frames):
            if jointly is not None and index == jointly:
                raise ParameterError(f"more than the {jointly} frames that alpha was split over")
            yield self._certify(frame, bit_depth, alpha, tolerance, clip, index)

    def gate(
        self,
        frames: Picture | Frames,
        *,
        at_least: float,
        pool: str = "mean",
        bit_depth: int | None = None,
    ) -> Gate:
        """Is the score certainly ``at_least`` this much? Draws no more samples than it takes to say.

        "pass" where the certified lower bound is ``at_least`` or more: so is the score of every frame within ε;
        "fail" where the certified upper bound is less: so is that of every frame within ε; "undecided" where neither
        can be said with ``samples`` samples. With probability ≥ 1−α the answer is right.

        ``frames``: a frame, or the frames of a clip: a list, or anything with a length that gives the same frames
        each time it is iterated over, which is once a look. Of a clip the ``pool`` of the frame scores is asked for,
        mean, min, max or harmonic_mean, every frame at α/M. Other thresholds may be asked for at no cost in error;
        another ``samples``, ε or model is another answer, with an α of its own. Raises ParameterError, also for a model
        whose lower scores are the better ones, and what ``certify`` raises.
        """
        at_least = _number("at_least", at_least)
        if not math.isfinite(at_least):
            raise ParameterError(f"at_least is a finite score, not {at_least!r}")
        if not self.higher_is_better:
            raise ParameterError(
                f"a lower score of {self._sampler.name} is the better one, so at_least would pass bad pictures: export "
                "the metric negated, higher is better, and negate the threshold"
            )
        clip = self._clip(frames, self.alpha, pool, bit_depth)
        decision: Verdict | None = None
        while decision is None and clip.advance():
            lower, upper = clip.bounds(pool)
            decision = "pass" if lower >= at_least else "fail" if upper < at_least else None
        rule = {"kind": "gate", "at_least": at_least, "pool": pool}
        return Gate(decision or "undecided", at_least, self.alpha, self._pooled(clip, pool, rule))

    def compare(
        self, a: Picture | Frames, b: Picture | Frames, *, pool: str = "mean", bit_depth: int | None = None
    ) -> Comparison:
        """Which one certainly *scores higher*? Draws no more samples than it takes to say.

        "a" where the certified lower bound of a is above the upper bound of b: a scores higher than b whatever was
        done within ε to each of them; "b" the other way round; else "undecided". Each gets α/2: with probability
        ≥ 1−α the answer is right. Where ``higher_is_better`` is False, the one that scores higher is the worse
        picture; the record says which way it is. ``a``, ``b``, ``pool``: as for :meth:`gate`.
        """
        first, second = (self._clip(frames, self.alpha / 2, pool, bit_depth) for frames in (a, b))
        decision: Better | None = None
        while decision is None and any([first.advance(), second.advance()]):
            (lower_a, upper_a), (lower_b, upper_b) = first.bounds(pool), second.bounds(pool)
            decision = "a" if lower_a > upper_b else "b" if lower_b > upper_a else None
        rule = {"kind": "compare", "pool": pool}
        both = self._pooled(first, pool, rule), self._pooled(second, pool, rule)
        return Comparison(decision or "undecided", self.alpha, *both, higher_is_better=self.higher_is_better)

    def _clip(self, frames: Picture | Frames, alpha: float, pool: str, bit_depth: int | None) -> Clip:
        if pool not in POOLS:
            raise ParameterError(f"pool is one of {', '.join(POOLS)}, not {pool!r}")
        clip: Frames = [frames] if _is_picture(frames) else cast(Frames, frames)
        if not _is_repeatable(clip):
            raise ParameterError(
                "frames are read once a look: give an H×W×3 NumPy array, or a list of frames, "
                f"not {type(frames).__name__}"
            )
        return Clip(clip, replace(self._terms, alpha=alpha), self._source, bit_depth)

    def _pooled(self, clip: Clip, pool: str, rule: Mapping[str, Any]) -> Pooled:
        return pooled(pool, clip.certificates(rule))

    def _certify(
        self,
        picture: Picture,
        bit_depth: int | None,
        alpha: float,
        tolerance: float | None,
        clip: ClipNoise | None,
        index: int = 0,
    ) -> Certificate:
        drawing = Drawing(picture, bit_depth, self._source, clip, index)
        terms = replace(self._terms, alpha=alpha)
        shift = self.epsilon / self._sampler.downscale / self._sampler.sigma
        if tolerance is None:
            drawing.advance(self.samples)
            ranks = scope_ranks(self.samples, shift, alpha, self.scope, drawing.distance)
            return drawing.certificate(terms, ranks)
        if not 0 <= _number("tolerance", tolerance) < math.inf:
            raise ParameterError(f"tolerance is a width in score units, finite and 0 or more, not {tolerance!r}")
        looks = schedule(self.samples, shift, alpha, self.scope, drawing.distance)
        look = _first_narrow(drawing, looks, tolerance)
        stopping = Stopping({"kind": "tolerance", "tolerance": float(tolerance)}, looks, look)
        return drawing.certificate(terms, looks.ranks(look), stopping)

    def close(self) -> None:
        """Release the engine; a sampler that was given stays open."""
        if self._owned:
            self._sampler.close()

    def __enter__(self) -> Certifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _open_sampler(bundle: Bundle, device: str, precision: str | None, threads: int | None) -> Sampler:
    """The bundle's graph on a device. Raises what the device's module says of what is missing."""
    if device == "cuda":
        from .samplers.routes import open_route

        if threads is not None:
            raise ParameterError("threads are those of device 'cpu': leave them out with device 'cuda'")
        return open_route(bundle, precision)
    from .samplers.onnx import OnnxSampler

    return OnnxSampler(bundle, threads=None if threads is None else int(threads), precision=precision or "fp32")


def _first_narrow(drawing: Drawing, looks: Schedule, tolerance: float) -> int:
    """Draw up to the first look whose interval is no wider than ``tolerance``, or the last; its number."""
    look = 0
    for look, count in enumerate(looks.looks):
        drawing.advance(count)
        lower, upper = drawing.interval(looks.ranks(look))
        if upper - lower <= tolerance:
            break
    return look


def _is_picture(frames: Picture | Frames) -> TypeGuard[Picture]:
    """An array, or (planes, conversion); arrays of other shapes are told so where they are scored."""
    return (
        isinstance(frames, np.ndarray)
        or is_device_frame(frames)
        or (isinstance(frames, tuple) and len(frames) == 2 and isinstance(frames[1], Conversion))
    )


def _is_repeatable(frames: object) -> bool:
    """Can the frames be read again, and is their number known? No iterator can."""
    return hasattr(frames, "__len__") and hasattr(frames, "__iter__")


def _is_count(value: object) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1


def _number(name: str, value: object) -> float:
    """A real number as a float, or ParameterError."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ParameterError(f"{name} is a number, not {value!r}")
    return float(value)


def _as_sampler(sampler: Sampler | ScoreFunction, sigma: float | None, downscale: int | None) -> Sampler:
    if isinstance(sampler, Sampler):
        if sigma is not None or downscale is not None:
            raise ParameterError("a sampler has its own sigma and downscale: give them only with a plain function")
        _check_domain(sampler.sigma, sampler.downscale)
        return sampler
    if not callable(sampler):
        raise ParameterError(f"sampler is a Sampler or a function of a noisy image, not {type(sampler).__name__}")
    if sigma is None:
        raise ParameterError("a function needs sigma, the noise level for images in [0, 1], e.g. sigma=0.12")
    downscale = 1 if downscale is None else downscale
    _check_domain(sigma, downscale)
    return CallableSampler(sampler, float(sigma), downscale=int(downscale))


def _check_domain(sigma: float, downscale: int) -> None:
    if not 0 < _number("sigma", sigma) < math.inf:
        raise ParameterError(f"sigma is the noise level for images in [0, 1], e.g. 0.12, not {sigma!r}")
    if not _is_count(downscale):
        raise ParameterError(f"downscale is a whole number, 1 or more, not {downscale!r}")
