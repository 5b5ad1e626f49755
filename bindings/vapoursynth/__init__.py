"""VapourSynth: ``biqa.Certify(clip)`` attaches a certificate to every frame; see docs/vapoursynth.md.

import bindings.vapoursynth as biqa

clip = biqa.Certify(clip, epsilon=0.1)
clip.get_frame(0).props["BiqaScore"]
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import vapoursynth as vs

from bindings.conversion import conversion_of, told_tags
from bindings.probe import probe as probe_file
from bindings.session import open_certifier
from bindings.vapoursynth.frames import layout_of, planes_of, tags_of
from runtime import BiqaError, Certificate, ConversionError, ParameterError, VideoError, __version__

__all__ = ["Certify", "PROPS", "verify", "Version"]

PROPS = ("BiqaScore", "BiqaLower", "BiqaUpper", "BiqaAssumed", "BiqaRecord", "BiqaDigest")
"""What a certified frame carries; these names never change."""

_NAME = "the clip"
_DOMAIN = b"stochastic-biqa planes 1"


def Version() -> str:  # noqa: N802 (as VapourSynth's filters are named)
    """The version of the package."""
    return __version__


def Certify(  # noqa: N802
    clip: Any,
    *,
    model: str | None = None,
    epsilon: float | None = None,
    sigma: float | None = None,
    levels: float | None = None,
    patch: str | None = None,
    alpha: float | None = None,
    samples: int | None = None,
    scope: str = "smoothed",
    subsample: int = 1,
    secret_file: str | None = None,
    public_seed: int | None = None,
    threads: int | None = None,
    matrix: str | None = None,
    range: str | None = None,
    chroma_location: str | None = None,
    probe: str | None = None,
) -> Any:
    """The clip, its frames with ``PROPS``: score, bounds, what was assumed, the record as JSON, digest of the planes.

    α is shared by all certified frames of the clip, whose number VapourSynth knows. ``subsample``: certify every N-th
    frame; the others carry none of the props. ``probe``: the file behind the clip, which is then checked, and must have
    as many frames; its colours are used. ``patch``: as in "64x64". The other options are those of
    ``runtime.Certifier`` and of ``biqa certify``. Raises vapoursynth.Error, here or when a frame is asked for.
    """
    try:
        if subsample < 1:
            raise ParameterError(f"subsample is 1 or more, not {subsample}")
        layout = layout_of(clip)
        file = probe_file(Path(probe)) if probe else None
        if file and file.count != clip.num_frames:
            raise VideoError(f"{_NAME} has {clip.num_frames} frames, and {probe} holds {file.count}")
        told = told_tags(matrix, range, chroma_location)
        certifier = open_certifier(
            model, secret_file=secret_file, public_seed=public_seed, epsilon=epsilon, sigma=sigma, levels=levels,
            patch=patch, alpha=alpha, samples=samples, scope=scope, threads=threads,
        )  # fmt: skip
        jointly = math.ceil(clip.num_frames / subsample)
        certifier.refuse_too_few(_NAME, frames=jointly)
        with clip.get_frame(0) as first:
            tags = tags_of(first, layout)
        conversion = conversion_of(
            *(_NAME, layout, clip.width, clip.height), told=told, file=file, host=tags, counted=file is not None
        )
    except BiqaError as error:
        raise vs.Error(f"biqa: {error}") from None

    def certified(n: int, f: Any) -> Any:
        out = f.copy()
        for name in PROPS:
            if name in out.props:
                del out.props[name]
        if n % subsample == 0:
            try:
                if tags_of(f, layout) != tags:
                    raise ConversionError(f"frame {n} is tagged {tags_of(f, layout)}, the first {tags}: split the clip")
                (made,) = certifier.stream([(planes_of(f), conversion)], jointly=jointly)
            except BiqaError as error:
                raise vs.Error(f"biqa: {error}") from None
            out.props.update(_props(made, f))
        return out

    return clip.std.ModifyFrame(clips=clip, selector=certified)


def verify(frame: Any) -> bool:
    """Whether a frame's props are of these very pixels, sizes and colour tags; False where a filter changed them.

    The digest has no key: it finds mistakes, not forgery, which ``biqa replay`` and the secret do. Raises
    vapoursynth.Error for a frame that was not certified.
    """
    if "BiqaDigest" not in frame.props:
        raise vs.Error("biqa: this frame carries no certificate: Certify comes first")
    said = frame.props["BiqaDigest"]
    return bool((said.decode() if isinstance(said, bytes) else said) == _digest(frame))


def _props(certificate: Certificate, frame: Any) -> dict[str, Any]:
    conversion = certificate.provenance.conversion or {}
    values = (
        *(certificate.score, certificate.lower, certificate.upper, ",".join(conversion["assumed"])),
        *(json.dumps(certificate.to_dict(), allow_nan=False), _digest(frame)),
    )
    return dict(zip(PROPS, values, strict=True))


def _digest(frame: Any) -> str:
    """SHA-256 (hex) of the planes, with their format and colour tags, which make them a frame."""
    said = [repr(int(frame.props[name])) if name in frame.props else "" for name in _COLOURS]
    head = json.dumps([frame.format.name, frame.width, frame.height, *said])
    digest = hashlib.sha256(_DOMAIN + head.encode())
    for plane in planes_of(frame):
        digest.update(plane.astype(plane.dtype.newbyteorder("<"), order="C", copy=False).data.cast("B"))
    return digest.hexdigest()


_COLOURS = ("_Matrix", "_Range", "_ColorRange", "_Transfer", "_ChromaLocation")
