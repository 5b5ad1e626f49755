"""Is a JSON tree a log of ours, with all that replay reads in it?"""

from __future__ import annotations

import sys
from typing import Any

from ..bounds.alpha import SCOPES
from ..bounds.pooling import POOLS


class UnfitError(Exception):
    """What a log lacks, in words."""


def check_log(log: Any) -> None:
    inputs, frames = _get(log, "inputs", "", list), _get(log, "frames", "", list)
    _require(bool(inputs), "inputs is empty")
    for entry in _get(log, "failed", "", list) if "failed" in log else ():
        _require(isinstance(entry, dict), "failed holds what is no object")
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
    _check_tampering(shared, at)
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


def _check_tampering(shared: Any, at: str) -> None:
    """``epsilon`` is a number, or null where frames of tiles were tampered with in another way."""
    if "tampering" not in shared:
        _number(shared, "epsilon", at)
        return
    tampering, at = _get(shared, "tampering", at, dict), f"{at}tampering."
    for key in ("epsilon", "levels"):
        if key in tampering:
            _number(tampering, key, at)
    sides = _get(tampering, "patch", at, list) if "patch" in tampering else []
    _require(
        len(sides) in (0, 2) and all(type(side) is int and side >= 1 for side in sides),
        f"{at}patch is not [width, height]",
    )
    _require(
        ("epsilon" in tampering) != bool(tampering.keys() & {"levels", "patch"}),
        f"{at.rstrip('.')} is not epsilon, or levels and patch",
    )


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
    """The value of a key, or UnfitError where it is missing or of another type; True is no number."""
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
        raise UnfitError(otherwise)
