"""What ``Certifier`` is asked for, group by group: each is checked as a whole before anything slow begins.

=========  ==================================  =======================================================
group      arguments                           what it decides
=========  ==================================  =======================================================
model      model, sigma, device, precision,    which network scores, at which noise level, and where
           threads, trusted_keys
claim      epsilon, alpha, samples, scope,     what is claimed, at which cost
           levels, patch
noise      secret, public_seed, share_noise    which noise, and who can draw it again
function   sampler, downscale (and sigma)      a Python function in place of a model
=========  ==================================  =======================================================
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from .bounds.alpha import SCOPES, Scope
from .bounds.ranks import check_parameters
from .bundle.levels import Choice, choose, known_sigma
from .bundle.manifest import DEFAULTS, Defaults
from .bundle.store import Bundle, open_bundle
from .errors import ParameterError
from .noise.keys import NoiseSource, noise_source
from .results.certificate import check_epsilon
from .results.tampering import Tampering
from .samplers import Sampler
from .samplers.function import CallableSampler, ScoreFunction
from .samplers.known_answer import check_known_answer

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Claim:
    """What a certificate is asked to claim: its ε, its own α, and its scope.

    ``tampering``: of a frame of tiles, None for whole frames; ε is 0 where it is no L2 distance.
    """

    epsilon: float
    alpha: float
    scope: Scope
    tampering: Tampering | None = None


@dataclass(frozen=True)
class ModelArguments:
    """``bundle`` and where it runs; None throughout where a function takes its place."""

    bundle: Bundle | None
    device: str
    precision: str | None
    threads: int | None

    @property
    def defaults(self) -> Defaults:
        """What stands for None in the claim."""
        return self.bundle.manifest.defaults if self.bundle else DEFAULTS


def check_model(
    model: str | os.PathLike[str] | None,
    device: str,
    precision: str | None,
    threads: int | None,
    *,
    function: bool,
    trusted_keys: Sequence[str | os.PathLike[str]] | None = None,
) -> ModelArguments:
    """The model group. ``function``: whether a sampler was given as well. Raises ParameterError or BundleError."""
    if device not in DEVICES:
        raise ParameterError(f"device is one of {', '.join(DEVICES)}, not {device!r}")
    if threads is not None and not is_count(threads):
        raise ParameterError(f"threads is 1 or more, not {threads!r}")
    if not function:
        if threads is not None and device == "cuda":
            raise ParameterError("threads are those of device 'cpu': leave them out with device 'cuda'")
        return ModelArguments(
            open_bundle(model, trusted_keys=trusted_keys), device, precision, None if threads is None else int(threads)
        )
    if model is not None:
        raise ParameterError("give a model or a sampler, not both")
    if device != "cpu" or precision is not None or threads is not None or trusted_keys is not None:
        raise ParameterError(
            "device, precision, threads and trusted_keys belong to a model: a sampler runs as its owner put it"
        )
    return ModelArguments(None, device, None, None)


def check_claim(
    epsilon: float | None,
    alpha: float | None,
    samples: int | None,
    scope: Scope,
    defaults: Defaults,
    levels: float | None = None,
    patch: tuple[int, int] | None = None,
    *,
    tiles: bool = False,
) -> tuple[Claim, int]:
    """The claim group: what is claimed, and n. ``tiles``: whether the model scores tiles. Raises ParameterError."""
    if scope not in SCOPES:
        raise ParameterError(f"scope is 'smoothed' or 'reported', not {scope!r}")
    samples = defaults.samples if samples is None else samples
    radius = check_epsilon(defaults.epsilon if epsilon is None else epsilon)
    tampering = None
    if levels is not None or patch is not None:
        if not tiles:
            raise ParameterError(
                "levels and patch take a model that scores tiles, and this one scores whole frames: biqa build --tile"
            )
        tampering, radius = Tampering(epsilon, levels, patch), 0.0
    elif tiles:
        tampering = Tampering(radius)
    claim = Claim(radius, to_number("alpha", defaults.alpha if alpha is None else alpha), scope, tampering)
    check_parameters(samples, 0.0, claim.alpha)
    return claim, int(samples)


def check_noise(secret: bytes | None, public_seed: int | None, share_noise: bool) -> NoiseSource:
    """The noise group. Raises ParameterError."""
    if public_seed is not None and (isinstance(public_seed, bool) or not isinstance(public_seed, (int, np.integer))):
        raise ParameterError(f"public_seed is a whole number, not {public_seed!r}")
    if not isinstance(share_noise, bool):
        raise ParameterError(f"share_noise is True or False, not {share_noise!r}")
    return noise_source(secret, public_seed)


def check_function(
    sampler: Sampler | ScoreFunction | None, sigma: float | None, downscale: int | None
) -> Sampler | None:
    """The function group: a sampler as it is, a function as one, None for none. Raises ParameterError."""
    if sampler is None:
        if downscale is not None:
            raise ParameterError("downscale belongs to the bundle: give it only with a sampler")
        return None
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


def at_level(
    arguments: ModelArguments, sigma: float | None, claim: Claim, samples: int
) -> tuple[ModelArguments, Choice | None]:
    """The bundle at the level asked for, or best for the claim; the choice is None for a bundle of one level.

    Raises ParameterError for a level that it has not.
    """
    assert arguments.bundle is not None
    bundle = arguments.bundle
    if not bundle.manifest.levels:
        if sigma is not None:
            known_sigma(bundle.manifest, sigma)
        return arguments, None
    choice = choose(bundle.manifest, claim.epsilon, claim.alpha, samples, claim.scope, sigma)
    return replace(arguments, bundle=bundle.at(choice.sigma)), choice


def open_sampler(arguments: ModelArguments) -> Sampler:
    """The bundle's graph on its device, past its known answer where it has one.

    Raises what the device's module says of what is missing, ModelError where another answer came out.
    """
    assert arguments.bundle is not None
    sampler = _open_engine(arguments, arguments.bundle)
    try:
        check_known_answer(sampler, arguments.bundle, str(sampler.engine["precision"]))
    except BaseException:
        sampler.close()
        raise
    return sampler


def _open_engine(arguments: ModelArguments, bundle: Bundle) -> Sampler:
    if arguments.device == "cuda":
        from .samplers.gpu.routes import open_route

        return open_route(bundle, arguments.precision)
    from .samplers.onnx import OnnxSampler

    return OnnxSampler(bundle, threads=arguments.threads, precision=arguments.precision or "fp32")


def is_count(value: object) -> bool:
    """Is it a whole number of 1 or more?"""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1


def to_number(name: str, value: object) -> float:
    """A real number as a float, or ParameterError that gives its name."""
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ParameterError(f"{name} is a number, not {value!r}")
    return float(value)


def _check_domain(sigma: float, downscale: int) -> None:
    if not 0 < to_number("sigma", sigma) < math.inf:
        raise ParameterError(f"sigma is the noise level for images in [0, 1], e.g. 0.12, not {sigma!r}")
    if not is_count(downscale):
        raise ParameterError(f"downscale is a whole number, 1 or more, not {downscale!r}")
