"""One record against what the auditor has: forged, stale or honest.

honest   everything that could be computed again is what the record says;
stale    it cannot be told here: another bundle, version or engine made it, or the file is decoded otherwise today;
forged   a value contradicts the rest of the record, the file, the bundle, the secret, or the scores drawn again.

Scores that differ by a hair are another processor's: no record names all of its arithmetic.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle.manifest import GRAPHS
from ..bundle.store import Bundle
from ..errors import RecordError
from ..files.file_frames import FileFrames
from ..frames.input import open_frame
from ..noise.keys import NoiseSource, frame_sha256, lattice_sha256, noise_source
from ..results.differences import Place, differences, name_of
from ..results.log import read_log
from ..results.tampering import Tampering
from ..samplers import Sampler
from ..scores import FrameScores, NoisySampler
from ..tile_scores import TileScores
from ..version import __version__
from .reissue import Known, Scores, Seen, UnfitRecordError, reissue

HONEST, STALE, FORGED = "honest", "stale", "forged"
A_HAIR = 1e-4
"""Of the extent of a frame's scores and 1: what processors that compute differently differ by."""
PIXELS = ("frame_sha256", "lattice_sha256")
"""What another decoder may make otherwise."""
_ABSENT = object()
_SHOWN = 60


@dataclass(frozen=True)
class Finding:
    """A value of the record that is not what it should be. ``place``: as in ``inputs[0].certificate.sigma``."""

    place: str
    recorded: str
    should_be: str

    def __str__(self) -> str:
        return f"{self.place}: {self.recorded}, should be {self.should_be}" if self.recorded else self.should_be


@dataclass
class Audit:
    """What was found of one record. ``checked``, ``unchecked``: in words. ``stale``: why it cannot be told."""

    path: str
    frames: int
    joint_alpha: float
    findings: list[Finding] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    checked: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    scored: list[dict[str, int]] = field(default_factory=list)

    @property
    def verdict(self) -> str:
        """honest, stale or forged."""
        return FORGED if self.findings else STALE if self.stale else HONEST

    def to_dict(self) -> dict[str, Any]:
        """JSON types."""
        return {"verdict": self.verdict, **asdict(self)}


@dataclass(frozen=True)
class Means:
    """What an auditor has. ``secret``: of the records, or None. ``commitment``: that a round published, or None.

    ``open_sampler``: the bundle's engine of a precision, to draw scores again; None for no engine. ``choose``: the
    places of the frames whose scores are drawn, of as many.
    """

    bundle: Bundle
    secret: NoiseSource | None = None
    commitment: str | None = None
    open_sampler: Callable[[str], Sampler] | None = None
    choose: Callable[[int], frozenset[int]] = lambda count: frozenset()


def audit_record(path: Path, files: Sequence[Path], means: Means) -> Audit:
    """Audit one log. ``files``: its inputs, in order; empty where there are none. Raises RecordError, VideoError …"""
    log = read_log(path)
    if files and len(files) != len(log["inputs"]):
        raise RecordError(f"{path} holds {len(log['inputs'])} files, {len(files)} were given for it")
    made = Audit(str(path), len(log["frames"]), _joint(log))
    if log.get("version") != __version__:
        made.stale.append(f"version {_shown(log.get('version'))} made it, this is {__version__}")
    known = Known(_model(log, means.bundle, made))
    made.checked.append("ranks, shares of alpha, limits, claims, pools")
    _check_secret(log, means, made)
    frames = _open(log, files, made)
    known = _with_files(log, frames, known, made)
    if not files:
        made.unchecked.append("files: none were given")
    _compare(log, known, made)
    if means.open_sampler is None:
        made.unchecked.append("scores: give --frames, they take the engine")
    elif files and not made.findings and known.model is not None:
        _compare_scores(log, frames, known, means, made)
    else:
        made.unchecked.append("scores: they take the files, the bundle and a record without contradictions")
    return made


def _joint(log: Mapping[str, Any]) -> float:
    value = log.get("joint_alpha")
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= 1:
        return float(value)
    raise RecordError(f"the record's joint_alpha is no error between 0 and 1: {_shown(value)}")


def _model(log: Mapping[str, Any], bundle: Bundle, made: Audit) -> Any:
    """The manifest of the bundle where all inputs were made with it, else None and a reason."""
    for index, entry in enumerate(log["inputs"]):
        shared = entry["certificate"]
        precision = shared["engine"].get("precision", "fp32")
        name = GRAPHS.get(precision) if isinstance(precision, str) else None
        known = bundle.manifest.files.get(name or "")
        if known is None or known.sha256 != shared["model_sha256"]:
            made.stale.append(
                f"inputs[{index}] was made with another bundle, {_shown(shared['model_sha256'][:12])}…, than "
                f"{bundle.path.name}: give it with --model"
            )
            made.unchecked.append("model: sigma and the range of scores are believed")
            return None
    made.checked.append("model")
    return bundle.manifest


def _check_secret(log: Mapping[str, Any], means: Means, made: Audit) -> None:
    for index, entry in enumerate(log["inputs"]):
        shared, place = entry["certificate"], f"inputs[{index}].certificate"
        recorded = shared["secret_sha256"]
        if shared["noise"] != "secret":
            if means.commitment is not None:
                made.findings.append(Finding(f"{place}.noise", "'public seed'", "the secret of the round"))
        elif means.commitment is not None and recorded != means.commitment:
            made.findings.append(Finding(f"{place}.secret_sha256", _shown(recorded), "the commitment of the round"))
        elif means.secret is not None and not means.secret.commits_to(recorded):
            made.findings.append(Finding(f"{place}.secret_sha256", _shown(recorded), "that of the secret given"))
    secret = any(entry["certificate"]["noise"] == "secret" for entry in log["inputs"])
    if means.secret is not None and secret:
        made.checked.append("secret")
    elif secret:
        made.unchecked.append("secret: give it with --secret-file")


def _open(log: Mapping[str, Any], files: Sequence[Path], made: Audit) -> list[FileFrames]:
    opened = []
    for index, path in enumerate(files):
        entry = log["inputs"][index]
        shared = entry["certificate"]
        conversion, reading = shared["conversion"] or {}, shared.get("reading")
        reading = reading if isinstance(reading, dict) else {}
        stream = str(reading.get("stream", "")).split(" ")[0]
        frames = FileFrames(
            path, subsample=entry["subsample"], matrix=conversion.get("matrix"), range=conversion.get("range"),
            background=_text(reading.get("background")),
            stream=int(stream) if conversion and stream.isdecimal() else None,
        )  # fmt: skip
        count = sum(frame["input"] == index for frame in log["frames"])
        if count != len(frames):
            made.findings.append(Finding(f"inputs[{index}]", f"{count} frames", f"{len(frames)}, as {path.name} has"))
        if reading.get("decoder") != frames.reading.get("decoder"):
            made.stale.append(f"{path.name} was read by {_shown(reading.get('decoder'))}, here by another decoder")
        opened.append(frames)
    return opened


def _with_files(log: Mapping[str, Any], files: Sequence[FileFrames], known: Known, made: Audit) -> Known:
    seen: dict[int, list[Seen]] = {}
    for index, frames in enumerate(files):
        downscale = log["inputs"][index]["certificate"].get("downscale")
        if known.model is not None:
            downscale = known.model.input.downscale
        if type(downscale) is not int or not 1 <= downscale <= 64:
            made.findings.append(Finding(f"inputs[{index}].certificate.downscale", _shown(downscale), "a whole number"))
            return known
        seen[index] = []
        for number, frame in zip(frames.numbers, frames, strict=True):
            opened = open_frame(frame, None, downscale=downscale, reader=None)
            height, width = opened.rgb.shape[:2]
            conversion = None if opened.conversion is None else opened.conversion.to_dict()
            seen[index].append(
                Seen(
                    *(number, frame_sha256(opened.rgb), lattice_sha256(opened.lattice), height, width),
                    opened.lattice.bit_depth,
                    conversion,
                )
            )
    if files:
        made.checked.append("pixels")
    return Known(known.model, seen, {index: frames.reading for index, frames in enumerate(files)})


def _compare_scores(
    log: Mapping[str, Any], files: Sequence[FileFrames], known: Known, means: Means, made: Audit
) -> None:
    """Draw the scores of the chosen frames again, and compare all that rests on them."""
    drawn: dict[tuple[int, int], Scores] = {}
    extents: list[float] = []
    assert means.open_sampler is not None
    for index, frames in enumerate(files):
        shared = log["inputs"][index]["certificate"]
        if shared["noise"] == "secret" and means.secret is None:
            made.unchecked.append("scores: the record was made with a secret, give it with --secret-file")
            continue
        own = [frame["certificate"] for frame in log["frames"] if frame["input"] == index]
        sampler = means.open_sampler(shared["engine"].get("precision", "fp32"))
        if sampler.digest != shared["model_sha256"]:
            made.stale.append(f"inputs[{index}] was made with another graph than the engine has: see --precision")
            continue
        for place, scores in _draw(sampler, means, shared, own, frames):
            made.scored.append({"input": index, "frame": frames.numbers[place]})
            drawn[index, place] = scores
            if hashlib.sha256(scores.astype("<f4").tobytes()).hexdigest() != own[place]["scores_sha256"]:
                finite = scores[np.isfinite(scores)]
                extents.append(max(1.0, float(np.ptp(finite))) if finite.size else 1.0)
    if made.scored:
        made.checked.append(f"scores of {len(made.scored)} of {len(log['frames'])} frames")
    if drawn:
        _compare(log, Known(known.model, known.frames, known.readings, drawn), made, max(extents, default=0.0))


def _draw(
    sampler: Sampler,
    means: Means,
    shared: Mapping[str, Any],
    own: Sequence[Mapping[str, Any]],
    frames: FileFrames,
) -> Iterator[tuple[int, Scores]]:
    """(place, scores) of the chosen frames. The key of each is derived again from the secret and its pixels."""
    source = means.secret if shared["noise"] == "secret" else noise_source(None, shared["public_seed"])
    assert source is not None
    tile = getattr(sampler, "tile", None)
    asked = shared.get("tampering")
    tampering = None
    if asked is not None:
        patch = tuple(asked["patch"]) if "patch" in asked else None
        tampering = Tampering(asked.get("epsilon"), asked.get("levels"), patch)
    share_noise = "shared_noise_frames" in shared
    noisy = NoisySampler(sampler, source, shared["samples"], None, share_noise, tampering)
    clip, chosen = noisy.clip_noise(frames, None), means.choose(len(own))
    kind = FrameScores if tile is None else TileScores
    for place, frame in enumerate(frames):
        if place in chosen:
            scores = kind(frame, None, noisy, clip, place)
            scores.advance(own[place]["drawn"])
            yield place, scores.scores


def _compare(log: Mapping[str, Any], known: Known, made: Audit, extent: float = 0.0) -> None:
    """Findings for every value that is not what the reissued log has.

    ``extent``: of scores drawn again that have another SHA-256 than the recorded ones; 0 where all have the same.
    """
    older = any(why.startswith("version") for why in made.stale)
    decoded = any("decoder" in why for why in made.stale)
    try:
        again = reissue(log, known)
        places = differences(log, again)
    except UnfitRecordError as error:
        text = f"no certificate could say so: {error}"
        if older:
            made.stale.append(text)
        else:
            made.findings.append(Finding("", "", text))
        return
    except RecursionError:
        made.findings.append(Finding("", "", "it is nested deeper than any log"))
        return
    for place in places:
        recorded, right = _at(log, place), _at(again, place)
        finding = Finding(name_of(place), _shown(recorded), _shown(right))
        if older or (decoded and place[-1] in PIXELS):
            made.stale.append(str(finding))
        elif extent and (place[-1] == "scores_sha256" or _is_near(place, recorded, right, extent)):
            made.stale.append(f"{finding}: as another processor's")
        else:
            made.findings.append(finding)


def _is_near(place: Place, recorded: Any, right: Any, extent: float) -> bool:
    """Do they differ by a hair, or are they multipliers, of which any are good?"""
    if not (isinstance(recorded, float) and isinstance(right, float)):
        return False
    return "multipliers" in place or abs(recorded - right) <= A_HAIR * extent


def _at(tree: Any, place: Place) -> Any:
    for key in place:
        try:
            tree = tree[key]
        except (KeyError, IndexError, TypeError):
            return _ABSENT
    return tree


def _shown(value: Any) -> str:
    if value is _ABSENT:
        return "missing"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
