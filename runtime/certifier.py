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
from types import TracebackType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from .arguments import (
    at_level,
    check_claim,
    check_function,
    check_model,
    check_noise,
    is_count,
    open_sampler,
    to_number,
)
from .bounds.alpha import COMPARED, Scope, equal_share
from .bounds.clip_samples import clip_samples
from .bounds.pooling import POOLS
from .bounds.ranks import scope_ranks
from .bounds.stopping import Schedule, Stopping, schedule
from .bundle.levels import Choice
from .errors import ParameterError
from .files.file_frames import FileFrames
from .frames.device import DeviceArray
from .frames.input import Frame, is_frame
from .frames.planes import Conversion
from .noise.keys import ClipNoise, NoiseSource
from .results.certificate import Certificate
from .results.decisions import Better, Comparison, Gate, Verdict
from .results.plan import Plan, plan
from .results.pooled import Pooled, pooled
from .results.tampering import Tampering
from .samplers import Sampler
from .samplers.function import ScoreFunction
from .scores import ClipScores, Frames, FrameScores, NoisySampler, reading_of
from .tile_scores import TileClip, TileScores


class Certifier:
    """Certifies frames with one model, radius, error and sample count.

    ``model``: a bundle (directory or .zip), None for the default model. ``sampler``: a
    :class:`~runtime.samplers.Sampler`, which stays the caller's to close, or a function of a batch of noisy images,
    N×3×h×w, that returns N scores, with ``sigma`` (and ``downscale``), instead of a model; neither takes ``device``,
    ``precision`` or ``threads``. ``sigma``: of a model's noise levels, the one to take; None for the one that its
    manifest's table says is best for ``epsilon`` (levels.py).
    ``device``: "cpu", or "cuda", which is never replaced by it silently (docs/gpu.md). ``precision``: of the graph that
    is certified, each a function of its own: "fp32" or "int8" on a CPU, fp32 unless asked; "fp32" or "fp16" on a GPU,
    fp16 where the bundle has it. ``epsilon``: L2 radius on the source RGB frame. ``levels``, ``patch``: with a model of
    tiles, in place of ``epsilon``: grey levels, and (width, height) of a rectangle (docs/tiles.md). ``alpha``: total
    error of one certificate. ``samples``: noisy copies a frame. ``scope``: "smoothed" or "reported". ``secret``: at
    least 16 bytes, kept by the caller to replay; default one drawn once a process. ``public_seed``: a seed anyone may
    know, for tests.
    ``threads``: CPU threads of the engine, default all. ``share_noise``: the frames of a clip share one
    noise, which takes a clip that can be read twice. ``progress``: called with the number of samples just drawn.
    ``trusted_keys``: public keys, 64 hex digits or a file of them; the model must be signed by one (docs/bundle.md).
    None stands for the bundle's default.

    Several threads may ask one certifier; a model scores for one of them at a time. What it claims cannot be changed:
    open another one. Raises ParameterError, BundleError, DeviceError, DependencyError or ModelError.

    >>> import runtime
    >>> with runtime.Certifier(epsilon=0.1, samples=64) as certifier:
    ...     certificate = certifier.certify(frame)
    ...     gate = certifier.gate(frame, at_least=-1)
    >>> certificate.samples, gate.decision
    (64, 'pass')
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
        levels: float | None = None,
        patch: tuple[int, int] | None = None,
        secret: bytes | None = None,
        public_seed: int | None = None,
        threads: int | None = None,
        share_noise: bool = False,
        sampler: Sampler | ScoreFunction | None = None,
        sigma: float | None = None,
        downscale: int | None = None,
        progress: Callable[[int], None] | None = None,
        trusted_keys: Sequence[str | os.PathLike[str]] | None = None,
    ) -> None:
        given = check_function(sampler, sigma, downscale)
        self._choice: Choice | None = None
        where = check_model(model, device, precision, threads, function=given is not None, trusted_keys=trusted_keys)
        tile = getattr(given, "tile", None) if where.bundle is None else where.bundle.manifest.input.tile
        self._claim, count = check_claim(
            *(epsilon, alpha, samples, scope, where.defaults, levels, patch), tiles=tile is not None
        )
        self._asked = samples is not None
        source = check_noise(secret, public_seed, share_noise)
        self._owned = given is None
        if given is None:
            where, self._choice = at_level(where, sigma, self._claim, count)
        self._sampler = open_sampler(where) if given is None else given
        self._noisy = NoisySampler(
            self._sampler, source, count, progress, share_noise, self._claim.tampering, level=_recorded(self._choice)
        )

    @property
    def sampler(self) -> Sampler:
        """The sampler in use."""
        return self._sampler

    @property
    def noise(self) -> NoiseSource:
        """Where its noise comes from: its kind, and the commitment to its secret."""
        return self._noisy.noise

    @property
    def level(self) -> Choice | None:
        """The noise level taken, why, and what it was chosen among; None for a model of one level, or a sampler."""
        return self._choice

    @property
    def epsilon(self) -> float:
        """L2 radius on the source RGB frame; 0 where ``tampering`` is no L2 distance."""
        return self._claim.epsilon

    @property
    def tampering(self) -> Tampering | None:
        """What is claimed of a frame of tiles; None for a model of whole frames."""
        return self._claim.tampering

    @property
    def alpha(self) -> float:
        """Total error of one answer."""
        return self._claim.alpha

    @property
    def samples(self) -> int:
        """Noisy copies of a frame that stands alone, n of its noise key."""
        return self._noisy.samples

    def clip_samples(
        self,
        frames: int,
        *,
        alone: bool = False,
        bound: str | None = None,
        epsilon: float | None = None,
        alpha: float | None = None,
    ) -> int:
        """Noisy copies of each of ``frames`` certified jointly: those asked for, else those planned for their mean.

        A collective bound takes fewer of each than a frame alone (bounds/clip_samples.py). ``alone``: each frame may
        stop by itself. ``epsilon``, ``alpha``: of the mean, by default the certifier's. Frames of tiles have no plan:
        each takes as many as one alone. Raises ParameterError.
        """
        why = self._noisy.why_not_collective("mean", bound, stopped_alone=alone) if frames > 1 else None
        if self._asked or frames <= 1 or why is not None or self.tampering is not None:
            return self.samples
        shift = self._noisy.shift(self.epsilon if epsilon is None else epsilon)
        return clip_samples(frames, shift, self.alpha if alpha is None else alpha, self.scope, self.samples)

    @property
    def scope(self) -> Scope:
        """ "smoothed" or "reported"."""
        return self._claim.scope

    @property
    def higher_is_better(self) -> bool:
        """The direction of the scores: the model's, True for a sampler that does not say."""
        return bool(getattr(self._sampler, "higher_is_better", True))

    def plan(self, epsilon: float | None = None, alpha: float | None = None, *, frames: int = 1) -> Plan:
        """What (ε, α), by default the certifier's own, takes with its σ, for ``frames`` claimed jointly."""
        if self.tampering is not None:
            raise ParameterError(f"{self._sampler.name} scores tiles: a plan is for models of whole frames")
        radius = self.epsilon if epsilon is None else epsilon
        error = self.alpha if alpha is None else alpha
        return plan(
            radius,
            error,
            sigma=self._sampler.sigma,
            downscale=self._sampler.downscale,
            samples=self.clip_samples(frames, epsilon=radius, alpha=error),
            scope=self.scope,
            frames=frames,
        )

    def refuse_too_few(self, name: str | os.PathLike[str], *, frames: int = 1, alpha: float | None = None) -> None:
        """Raise ParameterError, before any frame is scored, where ``frames`` that share α are left without a bound.

        ``name``: of what is certified, for the message. ``alpha``: of all of them together, by default the certifier's.
        Frames of tiles always have one: it may be the whole range of scores.
        """
        if self.tampering is not None:
            return
        alpha = self.alpha if alpha is None else alpha
        if reason := self.plan(alpha=alpha, frames=frames).reason:
            share = f"; alpha {alpha:g} is shared by {frames} frames" if frames > 1 else ""
            raise ParameterError(f"{os.fspath(name)}: {reason}{share}{self._larger_level()}")

    def _larger_level(self) -> str:
        """Where a family has a level that reaches further than the one taken, its name."""
        larger = (
            [level.sigma for level in self._choice.levels if level.sigma > self._choice.sigma] if self._choice else []
        )
        return f"; or a larger noise level, sigma={larger[0]:g}" if larger else ""

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
        clip = self._noisy.clip_noise([frame], bit_depth)
        return self._certify(self._noisy, frame, bit_depth, self.alpha, tolerance, clip)

    def certify_planes(
        self, planes: Sequence[NDArray[Any]], conversion: Conversion, *, tolerance: float | None = None
    ) -> Certificate:
        """Certify decoded planes Y, U, V (or G, B, R), converted to RGB as ``conversion`` says.

        ε is measured on the RGB frame that comes out. Raises ConversionError, and what ``certify`` raises.
        """
        frame = (planes, conversion)
        return self._certify(self._noisy, frame, None, self.alpha, tolerance, self._noisy.clip_noise([frame], None))

    def stream(
        self,
        frames: Iterable[Frame],
        *,
        jointly: int | None = None,
        bit_depth: int | None = None,
        tolerance: float | None = None,
        bound: str | None = None,
        recorded: Mapping[str, NDArray[np.float32]] | None = None,
    ) -> Iterator[Certificate]:
        """Certificates of RGB frames, or of (planes, conversion) pairs, one by one and in order.

        ``jointly``: the number M of frames to be claimed together, known beforehand: each gets α/M, so that
        with probability ≥ 1−α all M intervals hold. A frame beyond M raises ParameterError. None: each certificate
        stands alone at α. Where nobody asked for a number of samples, each of M frames takes :meth:`clip_samples`;
        ``bound``: the one that their mean is to have, as for :meth:`certify_file`. ``bit_depth``, of RGB frames, and
        ``tolerance``: as for ``certify``, each frame for itself. With ``share_noise`` all frames are read before
        the first is scored: a list, or anything with a length that gives the same frames each time.

        ``recorded``: ``scores`` of certificates that an earlier stream of these frames gave, with the same arguments
        and the same secret, by ``provenance.lattice_sha256``: they are taken in place of the model's.
        """
        if jointly is not None and not is_count(jointly):
            raise ParameterError(f"jointly is the number of frames, 1 or more, not {jointly!r}")
        if self._noisy.share_noise and not _is_repeatable(frames):
            raise ParameterError(
                "share_noise takes the whole clip before its first frame is scored: give a list of frames, not "
                f"{type(frames).__name__}, or leave share_noise out for frames that come one by one"
            )
        alpha = equal_share(self.alpha, jointly or 1)
        samples = self.clip_samples(jointly or 1, bound=bound, alone=tolerance is not None)
        noisy = replace(self._noisy, samples=samples, recorded=recorded or {})
        clip = noisy.clip_noise(frames, bit_depth)
        for index, frame in enumerate(frames):
            if jointly is not None and index == jointly:
                raise ParameterError(f"more than the {jointly} frames that alpha was split over")
            yield self._certify(noisy, frame, bit_depth, alpha, tolerance, clip, index, reading_of(frames))

    def pool(self, certificates: Sequence[Certificate], *, pool: str = "mean", bound: str | None = None) -> Pooled:
        """The pooled score of certificates of :meth:`stream` that were claimed jointly, with its interval at α.

        ``pool``: mean, min, max or harmonic_mean. ``bound``: as for :meth:`certify_file`. Raises ParameterError.
        """
        return pooled(pool, certificates, self.alpha, bound=bound)

    def certify_file(
        self,
        path: str | os.PathLike[str],
        *,
        subsample: int = 1,
        tolerance: float | None = None,
        matrix: str | None = None,
        range: str | None = None,
        bound: str | None = None,
        background: str | None = None,
        stream: int | None = None,
    ) -> Pooled:
        """Certify every ``subsample``-th frame of a file, a still or a video, claimed jointly.

        The result has ``score``, ``lower`` and ``upper``: of the frame, or of the mean of a video's frames. Its items
        are the frames' certificates. ``bound``: of the mean, "collective" or "frame-by-frame"; None for a collective
        one where there is one (results/pooled.py). The pooled interval has error α, and so have the frames' intervals
        together. ``matrix``, ``range``: say what a video's tags do not, or say wrongly. ``background``, ``stream``: as
        for :class:`FileFrames`. Raises VideoError for a file that is missing, damaged or cut, ParameterError where α
        shared by its frames leaves no bound, and what ``certify`` raises.
        """
        frames = FileFrames(path, subsample=subsample, matrix=matrix, range=range, background=background, stream=stream)
        self.refuse_too_few(path, frames=len(frames))
        certificates = list(self.stream(frames, jointly=len(frames), tolerance=tolerance, bound=bound))
        return pooled("mean", certificates, self.alpha, bound=bound, path=os.fspath(path))

    def certify_files(self, paths: Iterable[str | os.PathLike[str]], **options: Any) -> Iterator[Pooled]:
        """Certify files one by one, each at α for itself. ``options``: those of :meth:`certify_file`."""
        for path in paths:
            yield self.certify_file(path, **options)

    def gate(
        self,
        frames: Frame | Frames,
        *,
        at_least: float,
        pool: str = "mean",
        bit_depth: int | None = None,
        bound: str | None = None,
    ) -> Gate:
        """Is the score certainly ``at_least`` this much? Draws no more samples than it takes to say.

        "pass" where the certified lower bound is ``at_least`` or more: so is the score of every frame within ε;
        "fail" where the certified upper bound is less: so is that of every frame within ε; "undecided" where neither
        can be said with ``samples`` samples. With probability ≥ 1−α the answer is right.

        ``frames``: a frame, or the frames of a clip: a list, or anything with a length that gives the same frames each
        time it is iterated over, which is once a look. Of a clip the ``pool`` of the frame scores is asked for, mean,
        min, max or harmonic_mean; ``bound``: as for :meth:`certify_file`. Other thresholds may be asked for at no cost
        in error; another ``samples``, ε or model is another answer, with an α of its own. Raises ParameterError, also
        for a model whose lower scores are the better ones, and what ``certify`` raises.
        """
        at_least = to_number("at_least", at_least)
        if not math.isfinite(at_least):
            raise ParameterError(f"at_least is a finite score, not {at_least!r}")
        if not self.higher_is_better:
            raise ParameterError(
                f"a lower score of {self._sampler.name} is the better one, so at_least would pass bad frames: export "
                "the metric negated, higher is better, and negate the threshold"
            )
        clip = self._clip(_as_clip(frames), self.alpha, pool, bit_depth, bound)
        decision: Verdict | None = None
        while decision is None and clip.advance():
            lower, upper = clip.bounds()
            decision = "pass" if lower >= at_least else "fail" if upper < at_least else None
        rule = {"kind": "gate", "at_least": at_least, "pool": pool}
        return Gate(decision or "undecided", at_least, self.alpha, clip.pooled(rule))

    def compare(
        self,
        a: Frame | Frames,
        b: Frame | Frames,
        *,
        pool: str = "mean",
        bit_depth: int | None = None,
        bound: str | None = None,
    ) -> Comparison:
        """Which one certainly *scores higher*? Draws no more samples than it takes to say.

        "a" where the certified lower bound of a is above the upper bound of b: a scores higher than b whatever was
        done within ε to each of them; "b" the other way round; else "undecided". Each gets its share of α: with
        probability ≥ 1−α the answer is right. Where ``higher_is_better`` is False, the one that scores higher is the
        worse one; the record says which way it is. ``a``, ``b``, ``pool``, ``bound``: as for
        :meth:`gate`.
        """
        share = equal_share(self.alpha, COMPARED)
        clips = [_as_clip(frames) for frames in (a, b)]
        first, second = (self._clip(clip, share, pool, bit_depth, bound) for clip in clips)
        decision: Better | None = None
        while decision is None and any([first.advance(), second.advance()]):
            (lower_a, upper_a), (lower_b, upper_b) = first.bounds(), second.bounds()
            decision = "a" if lower_a > upper_b else "b" if lower_b > upper_a else None
        rule = {"kind": "compare", "pool": pool}
        both = first.pooled(rule), second.pooled(rule)
        return Comparison(decision or "undecided", self.alpha, *both, higher_is_better=self.higher_is_better)

    def _clip(self, frames: Frames, alpha: float, pool: str, bit_depth: int | None, bound: str | None) -> ClipScores:
        if pool not in POOLS:
            raise ParameterError(f"pool is one of {', '.join(POOLS)}, not {pool!r}")
        kind = ClipScores if self.tampering is None else TileClip
        return kind(frames, replace(self._claim, alpha=alpha), self._noisy, bit_depth, pool, bound)

    def _certify(
        self,
        noisy: NoisySampler,
        frame: Frame,
        bit_depth: int | None,
        alpha: float,
        tolerance: float | None,
        clip: ClipNoise | None,
        index: int = 0,
        reading: Mapping[str, Any] | None = None,
    ) -> Certificate:
        claim = replace(self._claim, alpha=alpha)
        if tolerance is not None and not 0 <= to_number("tolerance", tolerance) < math.inf:
            raise ParameterError(f"tolerance is a width in score units, finite and 0 or more, not {tolerance!r}")
        if self.tampering is not None:
            return TileScores(frame, bit_depth, noisy, clip, index, reading).certify(claim, tolerance)
        scores = FrameScores(frame, bit_depth, noisy, clip, index, reading)
        shift = noisy.shift(self.epsilon)
        if tolerance is None:
            scores.advance(noisy.samples)
            ranks = scope_ranks(noisy.samples, shift, alpha, self.scope, scores.distance)
            return scores.certificate(claim, ranks)
        looks = schedule(noisy.samples, shift, alpha, self.scope, scores.distance)
        look = _first_narrow(scores, looks, tolerance)
        stopping = Stopping({"kind": "tolerance", "tolerance": float(tolerance)}, looks, look)
        return scores.certificate(claim, looks.ranks(look), stopping)

    def __reduce__(self) -> Any:
        raise ParameterError(
            "a Certifier cannot be pickled, it holds an open engine: send its arguments, and open one in each process"
        )

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


def certify(
    path: str | os.PathLike[str], *, subsample: int = 1, tolerance: float | None = None, **arguments: Any
) -> Pooled:
    """Certify one file, a still or a video: :meth:`Certifier.certify_file` of a certifier opened for it alone.

    ``arguments``: those of :class:`Certifier`. For many files open one certifier, which loads the model once.

    >>> import runtime
    >>> certified = runtime.certify(photo, samples=64)
    >>> certified.lower <= certified.score <= certified.upper
    True
    """
    if not isinstance(path, (str, os.PathLike)):
        raise ParameterError(f"certify takes the path of a file, not {type(path).__name__}: Certifier().certify(frame)")
    with Certifier(**arguments) as certifier:
        return certifier.certify_file(path, subsample=subsample, tolerance=tolerance)


def _first_narrow(scores: FrameScores, looks: Schedule, tolerance: float) -> int:
    """Draw up to the first look whose interval is no wider than ``tolerance``, or the last; its number."""
    look = 0
    for look, count in enumerate(looks.looks):
        scores.advance(count)
        lower, upper = scores.interval(looks.ranks(look))
        if upper - lower <= tolerance:
            break
    return look


def _recorded(choice: Choice | None) -> Mapping[str, Any] | None:
    """What the record says of the choice of a level."""
    return None if choice is None else {"why": choice.why, "of": [level.sigma for level in choice.levels]}


def _as_clip(frames: Frame | Frames) -> Frames:
    """The frames of a clip, or one frame as a clip of its own. Raises ParameterError for what is neither."""
    clip: Frames = [frames] if is_frame(frames) else cast(Frames, frames)
    if not _is_repeatable(clip):
        raise ParameterError(
            f"frames are read once a look: give an H×W×3 NumPy array, or a list of frames, not {type(frames).__name__}"
        )
    return clip


def _is_repeatable(frames: object) -> bool:
    """Can the frames be read again, and is their number known? No iterator can."""
    return hasattr(frames, "__len__") and hasattr(frames, "__iter__")
