"""A log → the log that it would have to be: every certificate built anew, and written by the code that writes logs.

Most of a log follows from the rest of it. What does not is taken from the log, or from what the auditor knows himself:

===================================================  ==================================================================
taken from the log                                   unless the auditor has
===================================================  ==================================================================
what was asked: radius, α, n, scope, rule, bound     –
model, σ, k, range of scores, tile                   the bundle
SHA-256, size and conversion of a frame              the file
score, ends, SHA-256 of scores, failures, map        the frame's scores, drawn again
value and multipliers of a collective bound          the scores of all frames of its clip
===================================================  ==================================================================

All else is computed: noise distance, shares of α, looks, ranks, limits of counts, claims, reasons, pools, decisions.
A value that differs from the log's was altered, or is another version's. No engine runs here.

Where scores are not known, as many stand in for them: all equal to the recorded score. Limits and shares do not depend
on scores, and what does is replaced by what the log says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..bounds.aggregates import Aggregate
from ..bounds.alpha import COMPARED, equal_share
from ..bounds.budget import Tiles
from ..bounds.collective import Side, clip_looks, end_of
from ..bounds.ranks import interval, sample_median, scope_ranks, sorted_sides
from ..bounds.stopping import Schedule, Stopping, schedule, schedule_at
from ..bundle.manifest import Manifest
from ..errors import BiqaError
from ..frames.lattice import Lattice, sigma_in_steps
from ..frames.tiles import tiling
from ..noise.table import table_for
from ..results.certificate import Certificate, Provenance
from ..results.decisions import Better, Comparison, Gate, Verdict
from ..results.log import InputLog, build_log, to_json, wished_bound
from ..results.pooled import COLLECTIVE, OUT_OF_RANGE, Look, Pooled, why_not_collective
from ..results.tampering import Domain, Tampering
from ..results.tile_certificate import MapTile, TileCertificate, aggregated, bound_tiles
from ..tile_scores import tile_schedule

__all__ = ["Known", "Scores", "Seen", "UnfitRecordError", "in_numbers", "reissue"]

Scores = NDArray[np.float32]

MOST_SAMPLES = 1 << 20
"""Of a frame: no plan asks for more, and a record that does is there to keep the auditor busy."""
MOST_DRAWN = 1 << 26
"""Of a record, all its frames together."""
MOST_STEPS = 1 << 18
"""σ in lattice units: a table of the noise takes seconds beyond."""


class UnfitRecordError(Exception):
    """No certificate could have been issued that way: why not, in words."""


@dataclass(frozen=True)
class Seen:
    """What a file says of one of its frames. ``conversion``: how planes became RGB, None for RGB input."""

    number: int
    frame_sha256: str
    lattice_sha256: str
    height: int
    width: int
    bit_depth: int
    conversion: Mapping[str, Any] | None


@dataclass(frozen=True)
class Known:
    """What the auditor has himself. ``frames``, ``readings``: of each file, by its place in the log.

    ``scores``: float32[drawn] or [drawn, tiles] of frames by (file, place among its frames).
    """

    model: Manifest | None = None
    frames: Mapping[int, Sequence[Seen]] = field(default_factory=dict)
    readings: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    scores: Mapping[tuple[int, int], Scores] = field(default_factory=dict)


def reissue(log: Mapping[str, Any], known: Known) -> dict[str, Any]:
    """The log as JSON types. ``log``: as ``read_log`` gives it. Raises UnfitRecordError."""
    try:
        _refuse_too_many(log)
        made = [_Input(log, index, known).log() for index in range(len(log["inputs"]))]
        decision = _compared(log["decision"], made, known) if "decision" in log else None
        again: dict[str, Any] = json.loads(to_json(build_log(made, 1, decision, log.get("failed", ()))))
    except BiqaError as error:
        raise UnfitRecordError(str(error)) from None
    except KeyError as error:
        raise UnfitRecordError(f"{error.args[0]} is missing") from None
    except (TypeError, ValueError, IndexError, AttributeError, ArithmeticError, RecursionError) as error:
        raise UnfitRecordError(f"it holds what no certificate does ({error})") from None
    return again


def _refuse_too_many(log: Mapping[str, Any]) -> None:
    drawn = 0
    for entry in log["inputs"]:
        samples = whole(entry["certificate"], "samples")
        if samples > MOST_SAMPLES:
            raise UnfitRecordError(f"{samples} samples a frame are more than the {MOST_SAMPLES} that can be audited")
    for frame in log["frames"]:
        own = frame["certificate"]
        if not 1 <= whole(own, "drawn") <= log["inputs"][frame["input"]]["certificate"]["samples"]:
            raise UnfitRecordError(f"drawn is between 1 and the samples asked for, not {own['drawn']}")
        drawn += own["drawn"] * len(own["map"]["median"] if "map" in own else "1")
    if drawn > MOST_DRAWN:
        raise UnfitRecordError(f"{drawn} samples are more than the {MOST_DRAWN} that can be audited at once")


def number(tree: Mapping[str, Any], key: str) -> float:
    """A finite number of the record, as a float."""
    value = tree[key]
    if type(value) not in (int, float) or not math.isfinite(value):
        raise UnfitRecordError(f"{key} is no finite number")
    return float(value)


def whole(tree: Mapping[str, Any], key: str) -> int:
    """A whole number of the record, 0 or more."""
    value = tree[key]
    if type(value) is not int or not 0 <= value < 2**31:
        raise UnfitRecordError(f"{key} is no whole number of 0 or more")
    return value


def in_numbers(values: object) -> list[float]:
    """A list of finite numbers."""
    if not isinstance(values, list):
        raise UnfitRecordError("a list of numbers is none")
    return [number({"an element of a list": value}, "an element of a list") for value in values]


@dataclass(frozen=True, eq=False)
class _Frame(Certificate):
    """A certificate whose scores are not known."""

    recorded_sha256: str = ""

    @property
    def scores_sha256(self) -> str:
        return self.recorded_sha256


@dataclass(frozen=True, eq=False, kw_only=True)
class _TileFrame(TileCertificate):
    """The same of tiles; ``ends``: (lower, upper) of each tile, as recorded."""

    recorded_sha256: str
    ends: Sequence[tuple[float, float]]

    @property
    def scores_sha256(self) -> str:
        return self.recorded_sha256

    @property
    def map(self) -> tuple[MapTile, ...]:
        places = self.tiling.places(self.downscale)
        return tuple(
            MapTile(place, float(median), *ends)
            for place, median, ends in zip(places, self.medians, self.ends, strict=True)
        )


@dataclass
class _Log(InputLog):
    """``recorded``: the pooled bounds of the log, where scores are not known."""

    recorded: Mapping[str, Any] | None = None

    def pools(self) -> dict[str, Pooled]:
        made = super().pools()
        if self.recorded is None:
            return made
        return {name: self._as_recorded(pool, self.recorded.get(name)) for name, pool in made.items()}

    def _as_recorded(self, made: Pooled, bound: Any) -> Pooled:
        """With the values of a collective bound that the log has, and the ends that follow from them."""
        if made.evidence is None or not isinstance(bound, dict) or "collective" not in bound:
            return made
        below, above = (
            _side(getattr(made.evidence, key), bound["collective"][key]) for key in ("lower_side", "upper_side")
        )
        low, high = made.evidence.range
        mean = COLLECTIVE[made.pool]
        lower, upper = end_of(-below.value, mean, low, -1), end_of(above.value, mean, high, 1)
        _require_order(lower, made.score, upper)
        failed = {c.provenance.lattice_sha256: c.failed_samples for c in self.certificates}
        evidence = replace(
            made.evidence,
            lower=lower, upper=upper, lower_side=below, upper_side=above, failed_samples=sum(failed.values()),
        )  # fmt: skip
        return replace(made, lower=lower, upper=upper, evidence=evidence)


def _side(made: Side, recorded: Mapping[str, Any]) -> Side:
    multipliers = tuple(in_numbers(recorded["multipliers"]))
    if any(value < 0 for value in multipliers):
        raise UnfitRecordError("multipliers are 0 or more")
    return replace(made, value=number(recorded, "value"), multipliers=multipliers)


class _Input:
    """One file of a log, issued again."""

    def __init__(self, log: Mapping[str, Any], index: int, known: Known) -> None:
        self._entry, self._index, self._known = log["inputs"][index], index, known
        self._shared = self._entry["certificate"]
        self._frames = [frame for frame in log["frames"] if frame["input"] == index]
        self._decision = log.get("decision") if "decision" in log else self._entry.get("decision")
        if not self._frames:
            raise UnfitRecordError(f"inputs[{index}] has no frames")
        if "decision" in log:
            self._alpha = equal_share(number(log["decision"], "alpha"), COMPARED)
        else:
            self._alpha = number(self._entry, "alpha" if "alpha" in self._entry else "joint_alpha")
        self._share = equal_share(self._alpha, len(self._frames))
        model = known.model
        self._sigma = number(self._shared, "sigma") if model is None else model.input.sigma
        self._downscale = whole(self._shared, "downscale") if model is None else model.input.downscale
        ends = self._shared.get("score_range")
        stated = None if ends is None else (in_numbers(ends)[0], in_numbers(ends)[1])
        self._range = stated if model is None else model.score.range
        self._scope = self._shared["scope"]
        self._bound = wished_bound(self._entry)
        self._tampering = self._read_tampering()
        self._look: Look | None = None

    def log(self) -> InputLog:
        """All certificates, and the decision of a gate."""
        subsample = self._entry["subsample"]
        certificates = [
            (place * subsample, self._certificate(place, frame["certificate"]))
            for place, frame in enumerate(self._frames)
        ]
        complete = all((self._index, place) in self._known.scores for place in range(len(self._frames)))
        bounds = None if complete else self._entry.get("pooled_bounds", {})
        made = _Log(
            *(self._entry["path"], subsample, self._alpha, certificates),
            bound=self._bound, look=self._look, recorded=bounds,
        )  # fmt: skip
        if "decision" in self._entry:
            made.decision = _gated(self._entry["decision"], made)
        return made

    def _read_tampering(self) -> Tampering | None:
        if "tampering" not in self._shared:
            return None
        asked = self._shared["tampering"]
        return Tampering(asked.get("epsilon"), asked.get("levels"), tuple(asked["patch"]) if "patch" in asked else None)

    def _rule(self) -> dict[str, Any] | None:
        """Why sampling could stop: what the decision says it was about, else the tolerance."""
        if "stopping" not in self._shared:
            return None
        if self._decision is None:
            return {"kind": "tolerance", "tolerance": number(self._shared["stopping"]["rule"], "tolerance")}
        if "at_least" in self._decision:
            return {"kind": "gate", "at_least": number(self._decision, "at_least"), "pool": self._decision["pool"]}
        return {"kind": "compare", "pool": self._decision["a"]["pool"]}

    def _certificate(self, place: int, own: Mapping[str, Any]) -> Certificate:
        provenance = self._provenance(place, own)
        scores = self._known.scores.get((self._index, place))
        if self._tampering is not None:
            return self._tile_certificate(own, provenance, scores)
        samples, drawn = self._shared["samples"], own["drawn"]
        epsilon = number(self._shared, "epsilon")
        shift = epsilon / self._downscale / self._sigma
        lattice = self._lattice(provenance)
        distance = min(1.0, table_for(self._sigma, lattice).distance * lattice.values.size)
        rule = self._rule()
        stopping = None
        if rule is None:
            _require_all_drawn(drawn, samples)
            ranks = scope_ranks(samples, shift, self._share, self._scope, distance)
        else:
            looks = self._looks(rule, shift, distance)
            stopping = Stopping(rule, looks, _look_of(drawn, looks))
            ranks = looks.ranks(stopping.look)
        if scores is None:
            score, failed = number(own, "score"), whole(own, "failed_samples")
            lower, upper = (
                _end(own, key, none, rank, failed)
                for key, none, rank in zip(("lower", "upper"), (-math.inf, math.inf), ranks, strict=True)
            )
            sha256, stand_in = own["scores_sha256"], self._stand_in(score, drawn, failed)
        else:
            low, high = sorted_sides(scores)
            score, (lower, upper) = sample_median(low, high), interval(low, high, ranks)
            sha256, stand_in = "", scores
            failed = int(np.count_nonzero(~np.isfinite(scores)))
        _require_order(lower, score, upper)
        if stopping is not None and rule is not None and rule["kind"] == "tolerance":
            last = stopping.look == len(stopping.schedule.looks) - 1
            if not last and not upper - lower <= rule["tolerance"]:
                raise UnfitRecordError("sampling stopped before the interval was as narrow as asked")
        kind, more = (Certificate, {}) if scores is not None else (_Frame, {"recorded_sha256": sha256})
        return kind(
            score=score, lower=lower, upper=upper, epsilon=epsilon, alpha=self._share, samples=samples,
            scope=self._scope, sigma=self._sigma, downscale=self._downscale, ranks=ranks, failed_samples=failed,
            noise_distance=distance, provenance=provenance, scores=stand_in, stopping=stopping, **more,
        )  # fmt: skip

    def _looks(self, rule: Mapping[str, Any], shift: float, distance: float) -> Schedule:
        """The looks of a whole frame, as ``ClipScores`` and ``Certifier`` have them."""
        samples, count = self._shared["samples"], len(self._frames)
        if rule["kind"] == "tolerance" or count == 1:
            return schedule(samples, shift, self._share, self._scope, distance)
        shared_noise = "shared_noise_frames" in self._shared
        why = why_not_collective(rule["pool"], self._range, self._bound, share_noise=shared_noise, stopped_alone=False)
        if why is not None:
            return schedule(samples, shift, self._share, self._scope, distance)
        looks = clip_looks(count, shift, self._alpha, samples, self._scope)
        drawn = {frame["certificate"]["drawn"] for frame in self._frames}
        if len(drawn) != 1 or not drawn <= set(looks.counts):
            raise UnfitRecordError("the frames of the clip did not stop at one of its looks")
        self._look = Look(looks, looks.counts.index(drawn.pop()))
        return schedule_at(looks.counts, shift, self._share, self._scope, distance)

    def _stand_in(self, score: float, drawn: int, failed: int) -> NDArray[Any]:
        """As many scores as were drawn, with the recorded median."""
        left = self._left_its_range()
        if not failed and not left:
            return np.broadcast_to(np.float64(score), drawn)
        scores = np.full(drawn, score)
        scores[:failed] = np.nan
        if left and self._range is not None:
            scores[failed : failed + 1] = math.nextafter(self._range[1], math.inf)
        return scores

    def _left_its_range(self) -> bool:
        """Does the log say that a score left the range? Without the scores it is believed: it claims less for that."""
        bounds = self._entry.get("pooled_bounds", {})
        return any(str(bound.get("why", "")).startswith(OUT_OF_RANGE) for bound in bounds.values())

    def _lattice(self, provenance: Provenance) -> Lattice:
        """Its size, without pixels."""
        if not 1 <= provenance.bit_depth <= 16 or not 1 <= self._downscale <= 64:
            raise UnfitRecordError("bit_depth or downscale are out of range")
        if sigma_in_steps(self._sigma, provenance.bit_depth, self._downscale) > MOST_STEPS:
            raise UnfitRecordError(f"sigma is more than the {MOST_STEPS} lattice units that can be audited")
        size = (3, provenance.height // self._downscale, provenance.width // self._downscale)
        if min(size) < 1:
            raise UnfitRecordError("the frame is smaller than one block of the downscale")
        return Lattice(np.broadcast_to(np.int32(0), size), provenance.bit_depth, self._downscale)

    def _provenance(self, place: int, own: Mapping[str, Any]) -> Provenance:
        shared, model = self._shared, self._known.model
        given = self._known.frames.get(self._index)
        seen = None if given is None or place >= len(given) else given[place]
        secret = shared["noise"] == "secret"
        return Provenance(
            model=shared["model"] if model is None else model.name,
            model_sha256=shared["model_sha256"],
            frame_sha256=own["frame_sha256"] if seen is None else seen.frame_sha256,
            height=whole(shared, "height") if seen is None else seen.height,
            width=whole(shared, "width") if seen is None else seen.width,
            bit_depth=whole(shared, "bit_depth") if seen is None else seen.bit_depth,
            noise=shared["noise"],
            secret_sha256=shared["secret_sha256"] if secret else None,
            public_seed=None if secret else shared["public_seed"],
            engine=shared["engine"],
            lattice_sha256=own["lattice_sha256"] if seen is None else seen.lattice_sha256,
            conversion=shared["conversion"] if seen is None else seen.conversion,
            shared_noise_frames=len(self._frames) if "shared_noise_frames" in shared else None,
            score_range=self._range,
            reading=self._known.readings.get(self._index, shared.get("reading")),
        )

    def _tile_certificate(
        self, own: Mapping[str, Any], provenance: Provenance, scores: Scores | None
    ) -> TileCertificate:
        shared, model, tampering = self._shared, self._known.model, self._tampering
        assert tampering is not None
        if self._range is None:
            raise UnfitRecordError("frames of tiles have a range of scores")
        lattice = self._lattice(provenance)
        tile = whole(shared["tiles"], "tile") if model is None or model.input.tile is None else model.input.tile
        medians = in_numbers(own["map"]["median"])
        if not 1 <= tile <= 1 << 16 or -(-lattice.height // tile) * -(-lattice.width // tile) != len(medians):
            raise UnfitRecordError("the map has another number of tiles than the frame")
        cut = tiling(lattice.height, lattice.width, tile)
        aggregate = _aggregate(shared) if model is None or model.score.of_tiles is None else model.score.of_tiles
        domain = Domain(cut, self._sigma, self._downscale, provenance.bit_depth)
        distance = min(1.0, table_for(self._sigma, lattice).distance * cut.values)
        samples, drawn = shared["samples"], own["drawn"]
        rule, stopping = self._rule(), None
        if rule is None:
            _require_all_drawn(drawn, samples)
        else:
            looks = tile_schedule(tampering, domain, self._share, self._scope, samples)
            stopping = Stopping(rule, looks, _look_of(drawn, looks))
        alpha = equal_share(self._share, 1 if stopping is None else len(stopping.schedule.looks))
        values = np.broadcast_to(np.array(medians), (drawn, len(medians))) if scores is None else scores
        evidence = bound_tiles(*(values, tampering, domain, aggregate, alpha, self._scope, distance, self._range))
        if scores is None:
            evidence = _tile_bound(evidence, own["tile_bound"], whole(own, "failed_samples"))
        made: dict[str, Any] = {
            "score": aggregated(values, aggregate), "lower": evidence.lower, "upper": evidence.upper,
            "epsilon": tampering.epsilon or 0.0, "alpha": self._share, "samples": samples, "scope": self._scope,
            "sigma": self._sigma, "downscale": self._downscale, "ranks": (None, None),
            "failed_samples": evidence.failed_samples, "noise_distance": distance, "provenance": provenance,
            "scores": values, "stopping": stopping, "tampering": tampering, "tiling": cut, "aggregate": aggregate,
            "evidence": evidence,
        }  # fmt: skip
        _require_order(evidence.lower, made["score"], evidence.upper)
        if scores is not None:
            return TileCertificate(**made)
        ends = list(zip(in_numbers(own["map"]["lower"]), in_numbers(own["map"]["upper"]), strict=True))
        for median, (lower, upper) in zip(medians, ends, strict=True):
            _require_order(lower, median, upper)
            _require_order(self._range[0], lower, self._range[1])
            _require_order(self._range[0], upper, self._range[1])
        return _TileFrame(**made, recorded_sha256=own["scores_sha256"], ends=ends)


def _tile_bound(made: Tiles, recorded: Mapping[str, Any], failed: int) -> Tiles:
    """With the values that the log has, and the ends that follow from them."""
    below, above = (_side(getattr(made, key), recorded[key]) for key in ("lower_side", "upper_side"))
    low, high = made.range
    return replace(
        made, lower=max(low, -below.value), upper=min(high, above.value), lower_side=below, upper_side=above,
        failed_samples=failed,
    )  # fmt: skip


def _aggregate(shared: Mapping[str, Any]) -> Aggregate:
    """Of a record alone: the share that a trimmed mean drops stands in its claim."""
    name = shared["tiles"]["aggregate"]
    found = re.search(r"mean without (\d+)% at each end", str(shared.get("claim")))
    return Aggregate(name, int(found[1]) / 100 if found and name == "trimmed_mean" else 0.0)


def _end(own: Mapping[str, Any], key: str, none: float, rank: int | None, failed: int) -> float:
    """The recorded end of an interval; infinite exactly where there is no rank, or failures reach it."""
    infinite = rank is None or (rank <= failed if none < 0 else own["drawn"] - rank < failed)
    if (own[key] is None) != infinite:
        raise UnfitRecordError(f"{key} is {'not ' if infinite else ''}infinite, and its rank is {rank}")
    return none if infinite else number(own, key)


def _require_order(lower: float, score: float, upper: float) -> None:
    if not lower <= score <= upper:
        raise UnfitRecordError(f"{score!r} is not within [{lower!r}, {upper!r}]")


def _require_all_drawn(drawn: int, samples: int) -> None:
    if drawn != samples:
        raise UnfitRecordError(f"{drawn} of {samples} samples were drawn, and no rule says when to stop")


def _look_of(drawn: int, looks: Schedule) -> int:
    if drawn not in looks.looks:
        raise UnfitRecordError(f"{drawn} samples are none of the looks {', '.join(map(str, looks.looks))}")
    return looks.looks.index(drawn)


def _gated(recorded: Mapping[str, Any], log: InputLog) -> Mapping[str, Any]:
    at_least = number(recorded, "at_least")
    pooled = log.pools()[recorded["pool"]]
    decision: Verdict = "pass" if pooled.lower >= at_least else "fail" if pooled.upper < at_least else "undecided"
    _require_asked_to_the_end(decision, pooled)
    return Gate(decision, at_least, log.alpha, pooled).to_dict()


def _compared(recorded: Mapping[str, Any], logs: Sequence[InputLog], known: Known) -> Mapping[str, Any]:
    a, b = (log.pools()[recorded[side]["pool"]] for log, side in zip(logs, "ab", strict=True))
    decision: Better = "a" if a.lower > b.upper else "b" if b.lower > a.upper else "undecided"
    for pooled in (a, b):
        _require_asked_to_the_end(decision, pooled)
    better = recorded["higher_is_better"] if known.model is None else known.model.score.higher_is_better
    return Comparison(decision, number(recorded, "alpha"), a, b, higher_is_better=better).to_dict()


def _require_asked_to_the_end(decision: str, pooled: Pooled) -> None:
    if decision == "undecided" and pooled.drawn < pooled.samples:
        raise UnfitRecordError("it was left undecided before all samples were drawn")
