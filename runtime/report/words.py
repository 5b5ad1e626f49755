"""What the page says in words: what is promised, what is not, how large the radius is, how it is made again."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Any

NOT_PROMISED = (
    "that the score agrees with people: the model card has what was measured",
    "anything about larger changes, or about frames that were scaled, cropped, turned or moved",
    "anything about another frame, size or bit depth",
)


def promise(entry: Mapping[str, Any], frames: Sequence[Mapping[str, Any]]) -> str:
    """The claim of a file in one plain sentence. ``entry``: of ``inputs``; ``frames``: those of the log that it has."""
    shared, clip = entry["certificate"], len(frames) > 1
    low, high = pooled_interval(entry)
    if low is None or high is None or all(frame["abstained"] for frame in frames):
        reason = next((r for f in frames if (r := f["certificate"].get("reason"))), None)
        return f"Nothing is certified here{f': {reason}' if reason else ''}."
    least, most = _outwards(low, high)
    pool = f"{pool_of(entry).replace('_', ' ')} " if clip else ""
    of = "of this clip" if clip else "of this frame"
    odds = f"except with probability at most {entry.get('alpha', entry['joint_alpha']):g} over the noise"
    if shared["scope"] == "smoothed":
        return f"{_change(shared, clip)} moves the {pool}smoothed score {of} out of {least} to {most}, {odds}."
    return f"{_change(shared, clip)} makes this model next report a {pool}score {of} outside {least} to {most}, {odds}."


def verdict(log: Mapping[str, Any]) -> str:
    """What a comparison says in one plain sentence. ``log``: with a ``decision``."""
    decision, shared = log["decision"], log["inputs"][0]["certificate"]
    clip = sum(frame["input"] == 0 for frame in log["frames"]) > 1
    if decision["decision"] == "undecided":
        return "The intervals of the two overlap, with all samples drawn. More samples may tell them apart."
    first, second = ("A", "B") if decision["decision"] == "a" else ("B", "A")
    pool = f"{pool_of(log['inputs'][0]).replace('_', ' ')} " if clip else ""
    score = f"{pool}smoothed score" if shared["scope"] == "smoothed" else f"{pool}score"
    of = "any of their frames" if clip else "either frame"
    change = _change(shared, clip).replace("each frame" if clip else "the frame", of, 1)
    return (
        f"The {score} of {first} is certainly higher than that of {second}. {change} makes it otherwise, "
        f"except with probability at most {decision['alpha']:g} over the noise."
    )


def pool_of(entry: Mapping[str, Any]) -> str:
    """The pool that was asked for: of a gate or a comparison, the mean of what was certified."""
    rule = entry["certificate"].get("stopping", {}).get("rule", {})
    return str(rule.get("pool", "mean"))


def pooled_interval(entry: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """The pooled bounds, which are a single frame's own."""
    pooled, pool = entry["pooled_metrics"], pool_of(entry)
    low, high = (next(v for key, v in pooled.items() if key.endswith(end)) for end in ("_cert_lo", "_cert_hi"))
    return low[pool], high[pool]


def _change(shared: Mapping[str, Any], clip: bool) -> str:
    tampering, where = tampering_of(shared), "each frame" if clip else "the frame"
    if "epsilon" in tampering:
        return f"No change of {where} by an L2 distance of {tampering['epsilon']:g} or less"
    levels, patch = tampering.get("levels"), tampering.get("patch")
    steps = None if levels is None else f"{levels:g} grey level{'' if levels == 1 else 's'}"
    if patch is None:
        return f"No change of {where} by {steps} or less in every value"
    anything = f"anything at all in one rectangle of {patch[0]}×{patch[1]} pixels"
    return f"No change of {where} by {anything}{f', and by {steps} or less elsewhere,' if levels else ''}"


def tampering_of(shared: Mapping[str, Any]) -> Mapping[str, Any]:
    """``epsilon``, or ``levels`` and ``patch``."""
    made: Mapping[str, Any] = shared.get("tampering", {"epsilon": shared["epsilon"]})
    return made


def radius_in_levels(shared: Mapping[str, Any]) -> str | None:
    """How large an L2 radius is, in grey levels of 8 bits; None for other tampering."""
    epsilon = tampering_of(shared).get("epsilon")
    if epsilon is None:
        return None
    values = 3 * shared["height"] * shared["width"]
    spread, lone = 255 * epsilon / math.sqrt(values), 255 * epsilon
    return (
        f"An L2 distance of {epsilon:g} is {spread:.2g} of a grey level in every value of a {shared['width']}×"
        f"{shared['height']} frame at once, or {lone:.3g} grey levels in one value alone, of 255."
    )


def replay(log: Mapping[str, Any], log_name: str, model: str | None) -> dict[str, Any]:
    """``command`` that makes the certificates again, and what it takes (``needs``)."""
    shared = log["inputs"][0]["certificate"]
    paths = [entry["path"] for entry in log["inputs"]]
    named = [_word(path) for path in paths] if len(paths) <= MOST_NAMED else ["FILE…"]
    secret = ["--secret-file", "SECRET"] if shared["noise"] == "secret" else []
    needs = [f"the log, {log_name}", "the same files, in the order of the log" if len(paths) > 1 else "the same file"]
    needs.append(f"the model whose graph has the SHA-256 {shared['model_sha256']}")
    if secret:
        needs.append(
            f"the secret that the record commits to, {shared['secret_sha256']}: kept where --secret-file was given, "
            "else gone with the process, and then nobody can replay it"
        )
    words = ["biqa", "replay", _word(log_name), *named, *secret, *(["--model", _word(model)] if model else [])]
    return {"command": " ".join(words), "needs": needs}


MOST_NAMED = 8
"""Files that the command of a replay names."""


def _word(path: str) -> str:
    """As a shell takes it, and no option."""
    return shlex.quote(path if not path.startswith("-") or path == "-" else f"./{path}")


def _outwards(lower: float, upper: float) -> tuple[str, str]:
    """Both as text, a few digits of them, rounded outwards."""
    span = max(abs(lower), abs(upper), 1e-12)
    unit = Decimal(1).scaleb(min(-2, math.floor(math.log10(span)) - 3))
    return str(Decimal(lower).quantize(unit, ROUND_FLOOR)), str(Decimal(upper).quantize(unit, ROUND_CEILING))
