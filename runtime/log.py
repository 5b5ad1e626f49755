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
- ``decision``, of an input (``gate``) or of the log (``compare``): what was asked, the answer, and what it claims.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .certificate import Certificate
from .errors import ParameterError, RecordError
from .pooling import POOLS, finite_or_none, pool, pool_intervals
from .ranks import SCOPES
from .version import __version__

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


def build_log(inputs: Sequence[InputLog], seconds: float, decision: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The whole log. ``seconds``: time taken, for libvmaf's ``fps``. ``decision``: of a comparison of its inputs."""
    entries: list[dict[str, Any]] = []
    for index, log in enumerate(inputs):
        entries += [frame_entry(len(entries) + i, index, frame, c) for i, (frame, c) in enumerate(log.frames)]
    certificates = [certificate for log in inputs for _, certificate in log.frames]
    return {
        "version": __version__,
        "fps": round(len(certificates) / seconds, 3) if seconds > 0 else 0.0,
        "inputs": [input_entry(log) for log in inputs],
        "frames": entries,
        "joint_alpha": min(1.0, math.fsum(log.joint_alpha for log in inputs)),
        **({} if decision is None else {"decision": dict(decision)}),
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


def write_whole(path: Path, text: str) -> None:
    """Write a file so that it is there whole or not at all. Raises ParameterError where it cannot be."""
    try:
        handle, partial = tempfile.mkstemp(dir=path.parent, prefix=".biqa-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace", newline="") as file:
                file.write(text)
            os.chmod(partial, 0o644)
            os.replace(partial, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(partial)
            raise
    except OSError as error:
        raise ParameterError(f"{path} cannot be written: {error.strerror}: choose another place") from None


def read_log(path: Path) -> dict[str, Any]:
    """A log written by :func:`to_json`, with all that ``replay`` reads in it. Raises RecordError for anything else."""
    if os.path.exists(path) and not os.path.isfile(path):  # /dev/zero has no end
        raise RecordError(f"the record {path} cannot be read: it is not a regular file")
    try:
        log = json.loads(path.read_text(encoding="utf-8"))
        _check_log(log)
    except OSError as error:
        raise RecordError(f"the record {path} cannot be read: {error.strerror}") from None
    except _UnfitError as error:
        why = str(error)
    except (ValueError, RecursionError):
        why = "it is not JSON"
    else:
        return dict(log)
    raise RecordError(f"{path} is not a log of `python -m runtime certify, gate or compare --json`: {why}")


class _UnfitError(Exception):
    """What a log lacks, in words."""


def _check_log(log: Any) -> None:
    inputs, frames = _get(log, "inputs", "", list), _get(log, "frames", "", list)
    _require(bool(inputs), "inputs is empty")
    comparison = isinstance(log, dict) and "decision" in log
    if comparison:
        _number(_get(log, "decision", "", dict), "alpha", "decision.")
        _require(len(inputs) == 2, "a comparison has two inputs")
    for index, entry in enumerate(inputs):
        _check_input(entry, f"inputs[{index}].", comparison)
    for index, entry in enumerate(frames):
        at = f"frames[{index}]."
        _require(_get(entry, "frame", at, int) >= 0, f"{at}frame is negative")
        _require(0 <= _get(entry, "input", at, int) < len(inputs), f"{at}input is none of the inputs")
        for key in ("frame_sha256", "scores_sha256"):
            _get(_get(entry, "certificate", at, dict), key, f"{at}certificate.", str)


def _check_input(entry: Any, at: str, comparison: bool) -> None:
    _get(entry, "path", at, str)
    _require(_get(entry, "subsample", at, int) >= 1, f"{at}subsample is not 1 or more")
    _number(entry, "joint_alpha", at)
    shared, at = _get(entry, "certificate", at, dict), f"{at}certificate."
    _number(shared, "epsilon", at)
    _require(_get(shared, "samples", at, int) >= 1, f"{at}samples is not 1 or more")
    _require(_get(shared, "scope", at, str) in SCOPES, f"{at}scope is none of {', '.join(SCOPES)}")
    _get(shared, "model_sha256", at, str)
    _get(shared, "engine", at, dict)
    if "shared_noise_frames" in shared:
        _require(_get(shared, "shared_noise_frames", at, int) >= 1, f"{at}shared_noise_frames is not 1 or more")
    secret = _get(shared, "noise", at, str) == "secret"
    _require(secret or shared["noise"] == "public seed", f"{at}noise is neither 'secret' nor 'public seed'")
    _get(shared, "secret_sha256", at, str if secret else type(None))
    _get(shared, "public_seed", at, type(None) if secret else int)
    conversion = _get(shared, "conversion", at, dict, type(None)) or {}
    for key in conversion.keys() & {"matrix", "range"}:
        _get(conversion, key, f"{at}conversion.", str, type(None))
    _check_rule(shared, at, "compare" if comparison else "gate" if "decision" in entry else None)


def _check_rule(shared: Any, at: str, decided: str | None) -> None:
    """``decided``: the kind of rule that the log has a decision of."""
    if decided is None and "stopping" not in shared:
        return
    rule, at = _get(_get(shared, "stopping", at, dict), "rule", f"{at}stopping.", dict), f"{at}stopping.rule."
    kind = _get(rule, "kind", at, str)
    _require(kind == (decided or "tolerance"), f"{at}kind is {kind!r}, and the decision that the log holds another")
    if kind == "tolerance":
        _number(rule, "tolerance", at)
    else:
        _require(_get(rule, "pool", at, str) in POOLS, f"{at}pool is none of {', '.join(POOLS)}")
    if kind == "gate":
        _number(rule, "at_least", at)


def _get(tree: Any, key: str, at: str, *kinds: type) -> Any:
    """The value of a key, or _UnfitError where it is missing or of another type; True is no number."""
    _require(isinstance(tree, dict), f"{at.rstrip('.') or 'it'} is not an object")
    _require(key in tree, f"{at}{key} is missing")
    value = tree[key]
    _require(isinstance(value, kinds) and not isinstance(value, bool), f"{at}{key} is not what a log has there")
    return value


def _number(tree: Any, key: str, at: str) -> None:
    value = _get(tree, key, at, int, float)
    _require(abs(value) <= sys.float_info.max, f"{at}{key} is not a finite number")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _UnfitError(otherwise)
