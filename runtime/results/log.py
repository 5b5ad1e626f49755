"""Certificates → the log that video tools already parse, and back.

JSON in libvmaf's shape: ``version, fps, frames[{frameNum, metrics{…}}], pooled_metrics{name: {min, max, mean,
harmonic_mean}}, aggregate_metrics``. Metric keys are ``<model>``, ``<model>_cert_lo`` and
``<model>_cert_hi``. Infinite bounds are null beside ``"abstained": true``. On top of that shape:

- ``inputs``: one object a file, with its name, its own pooled metrics and ``certificate``, the part of the
  record that all its frames share; ``alpha`` is the error of its frames' intervals together, and of each pooled one;
  ``joint_alpha`` is the error of all of them together, as ``joint_claim`` says in words; ``pooled_bounds`` says which
  bound each pooled interval is (results/pooled.py), and how to make a collective one again;
- ``joint_alpha`` at the top: the error of everything in the log together, the sum of its inputs'; of several inputs
  ``joint_claim`` says in words what holds together and what does not;
- ``frames[i].input``, ``.frame`` and ``.certificate``: which file, which of its frames, and the part of the
  record that is the frame's own;
- ``frameNum`` is the frame's number in its file, as libvmaf counts: 0, N, 2N with ``--subsample N``; the frames of a
  later file go on where the one before would;
- ``failed``: path and error of each file that could not be certified beside others that were;
- ``decision``, of an input (``gate``) or of the log (``compare``): what was asked, the answer, and what it claims.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..bounds.pooling import POOLS, finite_or_none, pool, pool_intervals, pool_of_pools
from ..errors import RecordError
from ..version import __version__
from .certificate import Certificate
from .log_check import UnfitError, check_log
from .pooled import ASKED_FOR, COLLECTIVE, FRAME_BY_FRAME, TOGETHER, Look, Pooled, pooled
from .tile_certificate import TileCertificate

FRAME_FIELDS = (
    *("score", "lower", "upper", "abstained", "drawn", "lower_rank", "upper_rank"),
    *("failed_samples", "scores_sha256", "frame_sha256", "lattice_sha256", "reason", "map", "tile_bound", "calibrated"),
)
"""The keys of a record that differ from frame to frame of one file."""
MOST_BYTES = 1 << 27
"""A larger log is refused unread."""


@dataclass
class InputLog:
    """What was certified of one file: (frame number, certificate) in order, and the ``decision`` of a gate.

    ``alpha``: error of its frames' intervals together, and of its pooled interval. ``bound``: the one that was wished
    for. ``look``: of a clip that was stopped early, all its frames at once.
    """

    path: str
    subsample: int
    alpha: float
    frames: list[tuple[int, Certificate]] = field(default_factory=list)
    decision: Mapping[str, Any] | None = None
    bound: str | None = None
    look: Look | None = None

    @property
    def certificates(self) -> list[Certificate]:
        """Those of its frames, in order."""
        return [certificate for _, certificate in self.frames]

    def pools(self) -> dict[str, Pooled]:
        """Pool → the pooled score with its interval. Collective ones hold together: they rest on one event."""
        return {
            name: pooled(name, self.certificates, self.alpha, bound=self._wished(name), look=self.look)
            for name in POOLS
        }

    def _wished(self, pool: str) -> str | None:
        """The bound that is wished for: a collective one only of those pools that have one."""
        tiles = isinstance(self.certificates[0], TileCertificate)
        together = pool in COLLECTIVE and not (tiles and pool != "mean")
        return None if self.bound == TOGETHER and not together else self.bound


def metrics(certificate: Certificate) -> dict[str, float | None]:
    """The three values of a frame under the field's metric keys."""
    name, record = certificate.provenance.model, certificate.to_dict()
    return {name: record["score"], f"{name}_cert_lo": record["lower"], f"{name}_cert_hi": record["upper"]}


def pooled_metrics(pools: Mapping[str, Pooled]) -> dict[str, dict[str, float | None]]:
    """min, max, mean and harmonic mean of the score and of each bound; null where a bound is infinite."""
    name = pools["mean"].certificates[0].provenance.model
    return {
        key: {pool: finite_or_none(getattr(made, side)) for pool, made in pools.items()}
        for key, side in ((name, "score"), (f"{name}_cert_lo", "lower"), (f"{name}_cert_hi", "upper"))
    }


def pooled_over(inputs: Sequence[Mapping[str, Pooled]]) -> dict[str, dict[str, float | None]]:
    """The same over all frames of several files, from the pools of each, which hold together."""
    if len(inputs) == 1:
        return pooled_metrics(inputs[0])
    frames = [len(pools["mean"]) for pools in inputs]
    name = inputs[0]["mean"].certificates[0].provenance.model
    frames_of_all = [c for pools in inputs for c in pools["mean"]]
    scores = pool([c.score for c in frames_of_all])
    if any(made.bound == TOGETHER for pools in inputs for made in pools.values()):
        lower, upper = (
            {which: pool_of_pools(which, [getattr(pools[which], side) for pools in inputs], frames) for which in POOLS}
            for side in ("lower", "upper")
        )
    else:
        lower, upper = pool_intervals([c.lower for c in frames_of_all], [c.upper for c in frames_of_all])
    rows = {name: scores, f"{name}_cert_lo": lower, f"{name}_cert_hi": upper}
    return {key: {which: finite_or_none(value) for which, value in row.items()} for key, row in rows.items()}


def mean_over(logs: Sequence[InputLog]) -> tuple[float, float, float]:
    """(score, lower, upper) of the mean over all frames of several files, whose pools hold together."""
    means = [log.pools()["mean"] for log in logs]
    if len(means) == 1:
        return means[0].score, means[0].lower, means[0].upper
    frames = [len(mean) for mean in means]
    score = pool([c.score for mean in means for c in mean])["mean"]
    lower, upper = (
        pool_of_pools("mean", [getattr(mean, side) for mean in means], frames) for side in ("lower", "upper")
    )
    return score, lower, upper


def joint_alpha(alpha: float, pools: Mapping[str, Pooled]) -> float:
    """The error of all intervals of a file together: of its frames' and, apart from them, of collective ones."""
    together = any(made.bound == TOGETHER for made in pools.values())
    return min(1.0, math.fsum([alpha] * (2 if together else 1)))


def frame_entry(number: int, input_index: int, frame: int, certificate: Certificate) -> dict[str, Any]:
    """One element of ``frames``."""
    record = certificate.to_dict()
    return {
        "frameNum": number,
        "metrics": metrics(certificate),
        "abstained": certificate.abstained,
        "input": input_index,
        "frame": frame,
        "certificate": {key: record[key] for key in FRAME_FIELDS if key in record},
    }


def input_entry(log: InputLog, pools: Mapping[str, Pooled]) -> dict[str, Any]:
    """One element of ``inputs``."""
    shared = {key: value for key, value in log.certificates[0].to_dict().items() if key not in FRAME_FIELDS}
    decision = {} if log.decision is None else {"decision": dict(log.decision)}
    joint = joint_alpha(log.alpha, pools)
    return {
        "path": log.path,
        "subsample": log.subsample,
        "alpha": log.alpha,
        "joint_alpha": joint,
        "joint_claim": joint_claim(joint, len(log.frames)),
        **decision,
        "pooled_metrics": pooled_metrics(pools),
        "pooled_bounds": {name: made.bound_record() for name, made in pools.items()},
        "certificate": shared,
    }


def joint_claim(alpha: float, frames: int) -> str:
    """What holds for all frames of a file at once, in words."""
    return (
        f"Except with probability at most {alpha!r}, what each of the {frames} certificates claims is true of all of "
        "them at once, and the pooled lower and upper values bound the pooled scores; the radius is one for each frame."
    )


def claim_of_all(joint: Sequence[float]) -> str:
    """What holds for several files at once, in words. ``joint``: the ``joint_alpha`` of each."""
    together = min(1.0, math.fsum(joint))
    all_at_once = (
        f"all of them at once except with probability at most {together!r}"
        if together < 1
        else "nothing is claimed of all of them at once"
    )
    return (
        f"What is claimed of a file holds except with the probability that its joint_alpha says, and {all_at_once}. "
        f"For all {len(joint)} files to hold at once except with probability A, ask for --alpha A/{2 * len(joint)}."
    )


def first_number(before: Sequence[InputLog]) -> int:
    """``frameNum`` of the frame 0 of the file after these."""
    return sum(log.frames[-1][0] + log.subsample for log in before)


def build_log(
    inputs: Sequence[InputLog],
    seconds: float,
    decision: Mapping[str, Any] | None = None,
    failed: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """The whole log. ``seconds``: time taken, for libvmaf's ``fps``. ``decision``: of a comparison of its inputs.

    ``failed``: ``path`` and ``error`` of files that are not among the inputs.
    """
    entries: list[dict[str, Any]] = []
    for index, log in enumerate(inputs):
        first = first_number(inputs[:index])
        entries += [frame_entry(first + frame, index, frame, c) for frame, c in log.frames]
    pools = [log.pools() for log in inputs]
    joint = [joint_alpha(log.alpha, made) for log, made in zip(inputs, pools, strict=True)]
    return {
        "version": __version__,
        "fps": round(len(entries) / seconds, 3) if seconds > 0 else 0.0,
        "inputs": [input_entry(log, made) for log, made in zip(inputs, pools, strict=True)],
        "frames": entries,
        "joint_alpha": min(1.0, math.fsum(joint)),
        **({"joint_claim": claim_of_all(joint)} if len(joint) > 1 else {}),
        **({} if decision is None else {"decision": dict(decision)}),
        **({"failed": [dict(one) for one in failed]} if failed else {}),
        "pooled_metrics": pooled_over(pools),
        "aggregate_metrics": {},
    }


def to_json(log: Mapping[str, Any]) -> str:
    """The log as text; NaN and infinity never get in."""
    return json.dumps(log, indent=2, allow_nan=False) + "\n"


def to_csv(log: Mapping[str, Any]) -> str:
    """A row a frame: Frame, the three metrics, abstained, input, error; a row a file that failed, with its error."""
    names = list(log["frames"][0]["metrics"])
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["Frame", *names, "abstained", "input", "error"])
    for entry in log["frames"]:
        values = ["" if entry["metrics"][n] is None else repr(entry["metrics"][n]) for n in names]
        path = log["inputs"][entry["input"]]["path"]
        rows.writerow([entry["frameNum"], *values, int(entry["abstained"]), path, ""])
    for one in log.get("failed", ()):
        rows.writerow(["", *("" for _ in names), "", one["path"], one["error"]])
    return text.getvalue()


def wished_bound(entry: Mapping[str, Any]) -> str | None:
    """The bound that was wished for. Before collective bounds every pool was bounded frame by frame."""
    bounds = entry.get("pooled_bounds")
    asked = bounds is None or any(made.get("why") == ASKED_FOR for made in bounds.values())
    return FRAME_BY_FRAME if asked else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise UnfitError("an object has one key twice")
    return made


def _no_number(name: str) -> float:
    raise UnfitError(f"{name} is no number of JSON")


def read_log(path: Path) -> dict[str, Any]:
    """A log written by :func:`to_json`, with all that ``replay`` reads in it. Raises RecordError for anything else."""
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/zero has no end
        raise RecordError(f"the record {path} cannot be read: it is not a regular file")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise UnfitError(f"it is larger than {MOST_BYTES} bytes")
        log = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no_number)
        check_log(log)
    except OSError as error:
        raise RecordError(f"the record {path} cannot be read: {error.strerror}") from None
    except UnfitError as error:
        why = str(error)
    except (ValueError, RecursionError):
        why = "it is not JSON"
    else:
        return dict(log)
    raise RecordError(f"{path} is not a log of `biqa certify, gate or compare --json`: {why}")
