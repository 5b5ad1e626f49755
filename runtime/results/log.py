"""Certificates → the log that video tools already parse, and back.

JSON in libvmaf's shape: ``version, fps, frames[{frameNum, metrics{…}}], pooled_metrics{name: {min, max, mean,
harmonic_mean}}, aggregate_metrics``. Metric keys are ``<model>``, ``<model>_cert_lo`` and
``<model>_cert_hi``. Infinite bounds are null beside ``"abstained": true``. On top of that shape:

- ``inputs``: one object a file, with its name, its own pooled metrics and ``certificate``, the part of the
  record that all its frames share; ``joint_alpha`` is the error of all its frames and pooled metrics together, as
  ``joint_claim`` says in words;
- ``joint_alpha`` at the top: the error of everything in the log together, the sum of its inputs';
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

from ..bounds.pooling import finite_or_none, pool, pool_intervals
from ..errors import RecordError
from ..version import __version__
from .certificate import Certificate
from .log_check import UnfitError, check_log

FRAME_FIELDS = (
    *("score", "lower", "upper", "abstained", "drawn", "lower_rank", "upper_rank"),
    *("failed_samples", "scores_sha256", "frame_sha256", "reason"),
)
"""The keys of a record that differ from frame to frame of one file."""


@dataclass
class InputLog:
    """What was certified of one file: (frame number, certificate) in order, and the ``decision`` of a gate."""

    path: str
    subsample: int
    joint_alpha: float
    frames: list[tuple[int, Certificate]] = field(default_factory=list)
    decision: Mapping[str, Any] | None = None


def metrics(certificate: Certificate) -> dict[str, float | None]:
    """The three values of a frame under the field's metric keys."""
    name, record = certificate.provenance.model, certificate.to_dict()
    return {name: record["score"], f"{name}_cert_lo": record["lower"], f"{name}_cert_hi": record["upper"]}


def pooled_metrics(certificates: Sequence[Certificate]) -> dict[str, dict[str, float | None]]:
    """min, max, mean and harmonic mean of the score and of each bound; null where a bound is infinite."""
    name = certificates[0].provenance.model
    lower, upper = pool_intervals([c.lower for c in certificates], [c.upper for c in certificates])
    pooled = {name: pool([c.score for c in certificates]), f"{name}_cert_lo": lower, f"{name}_cert_hi": upper}
    return {key: {statistic: finite_or_none(value) for statistic, value in row.items()} for key, row in pooled.items()}


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


def input_entry(log: InputLog) -> dict[str, Any]:
    """One element of ``inputs``."""
    certificates = [certificate for _, certificate in log.frames]
    shared = {key: value for key, value in certificates[0].to_dict().items() if key not in FRAME_FIELDS}
    decision = {} if log.decision is None else {"decision": dict(log.decision)}
    return {
        "path": log.path,
        "subsample": log.subsample,
        "joint_alpha": log.joint_alpha,
        "joint_claim": joint_claim(log.joint_alpha, len(certificates)),
        **decision,
        "pooled_metrics": pooled_metrics(certificates),
        "certificate": shared,
    }


def joint_claim(alpha: float, frames: int) -> str:
    """What holds for all frames of a file at once, in words."""
    return (
        f"Except with probability at most {alpha!r}, what each of the {frames} certificates claims is true of all of "
        "them at once, and the pooled lower and upper values bound the pooled scores; the radius is one for each frame."
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
    certificates = [certificate for log in inputs for _, certificate in log.frames]
    return {
        "version": __version__,
        "fps": round(len(certificates) / seconds, 3) if seconds > 0 else 0.0,
        "inputs": [input_entry(log) for log in inputs],
        "frames": entries,
        "joint_alpha": min(1.0, math.fsum(log.joint_alpha for log in inputs)),
        **({} if decision is None else {"decision": dict(decision)}),
        **({"failed": [dict(one) for one in failed]} if failed else {}),
        "pooled_metrics": pooled_metrics(certificates),
        "aggregate_metrics": {},
    }


def to_json(log: Mapping[str, Any]) -> str:
    """The log as text; NaN and infinity never get in."""
    return json.dumps(log, indent=2, allow_nan=False) + "\n"


def to_csv(log: Mapping[str, Any]) -> str:
    """A row a frame: Frame, the three metrics, abstained, input."""
    names = list(log["frames"][0]["metrics"])
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["Frame", *names, "abstained", "input"])
    for entry in log["frames"]:
        values = ["" if entry["metrics"][n] is None else repr(entry["metrics"][n]) for n in names]
        rows.writerow([entry["frameNum"], *values, int(entry["abstained"]), log["inputs"][entry["input"]]["path"]])
    return text.getvalue()


def read_log(path: Path) -> dict[str, Any]:
    """A log written by :func:`to_json`, with all that ``replay`` reads in it. Raises RecordError for anything else."""
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/zero has no end
        raise RecordError(f"the record {path} cannot be read: it is not a regular file")
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
        check_log(log)
    except OSError as error:
        raise RecordError(f"the record {path} cannot be read: {error.strerror}") from None
    except UnfitError as error:
        why = str(error)
    except (ValueError, RecursionError):
        why = "it is not JSON"
    else:
        return dict(log)
    raise RecordError(f"{path} is not a log of `python -m runtime certify, gate or compare --json`: {why}")
