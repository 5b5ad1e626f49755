"""A record → what it promises and what it does not, in plain words.

A radius is put in pictures. An L2 distance ε on b-bit values is E = ε(2ᵇ − 1) grey levels, so it is any of

    ⌊E²⌋ values changed by one grey level,      one value changed by E,      all N values changed by E/√N.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Context, Decimal
from typing import Any

Section = tuple[str, list[str]]
Record = Mapping[str, Any]


def explain(log: Record) -> list[Section]:
    """(heading, sentences) of a log of ``certify``, ``gate`` or ``compare``, whose values are in order."""
    frames = [[frame for frame in log["frames"] if frame["input"] == index] for index in range(len(log["inputs"]))]
    sections: list[Section] = []
    if "decision" in log:
        names = [entry["path"] for entry in log["inputs"]]
        sections.append((f"{names[0]} against {names[1]}", _comparison(log["decision"], names)))
    for entry, own in zip(log["inputs"], frames, strict=True):
        sections += _file(entry, own, compared="decision" in log)
    if len(log["inputs"]) > 1 and "decision" not in log:
        joint = log["joint_alpha"]
        sections.append(
            (
                f"All {len(log['inputs'])} files together",
                [f"That all claims of this record are true at once fails with probability {_chance(joint)} at most."],
            )
        )
    return [*sections, _not_promised(log)]


def in_text(sections: Sequence[Section]) -> str:
    """For a terminal."""
    return "\n\n".join("\n".join([heading, *(f"- {line}" for line in lines)]) for heading, lines in sections)


def _file(entry: Record, frames: Sequence[Record], *, compared: bool) -> list[Section]:
    shared = entry["certificate"]
    size = f"{shared['width']}×{shared['height']} pixels of {shared['bit_depth']} bits"
    what = f"one frame, {size}" if len(frames) == 1 else f"{len(frames)} frames, {size}"
    promise = [*_decided(entry), *_interval(entry, frames, compared=compared)]
    promise += [] if compared else _wrong(entry, frames)
    if shared["noise"] == "public seed":
        promise.append(
            "The noise came from a public seed. Who knows it can fit a frame to it: against him it promises nothing."
        )
    return [
        (f"{entry['path']}: {what}, scored by {shared['model']}", promise),
        ("How much tampering that is" + ("" if len(frames) == 1 else ", in each frame"), list(_tampering(shared))),
    ]


def _smoothed(shared: Record) -> str:
    return "smoothed score" if shared["scope"] == "smoothed" else "next reported score"


def _interval(entry: Record, frames: Sequence[Record], *, compared: bool) -> Iterator[str]:
    shared = entry["certificate"]
    pool = "mean"
    if len(frames) == 1:
        own = frames[0]["certificate"]
        score, lower, upper, reason = own["score"], own["lower"], own["upper"], own.get("reason")
        subject = "The score"
    else:
        rule = shared.get("stopping", {}).get("rule", {})
        pool = rule.get("pool", "mean")
        rows = entry["pooled_metrics"]
        score, lower, upper = (rows[shared["model"] + end][pool] for end in ("", "_cert_lo", "_cert_hi"))
        reason = next((f["certificate"]["reason"] for f in frames if "reason" in f["certificate"]), None)
        subject = f"The {pool.replace('_', ' ')} of the scores"
    if reason is not None or lower is None or upper is None:
        yield f"{subject} is {_points(score)}, and nothing is certified of it" + (f": {reason}." if reason else ".")
        return
    yield f"{subject} is {_points(score)}, certified to lie {_between(lower, upper)}."
    every = "every frame" if len(frames) == 1 else "every clip"
    yield (
        f"That holds for the {_smoothed(shared)} of {every} that differs from the received one by no more than what is "
        "said below."
    )
    width = _points(upper - lower, ROUND_CEILING)
    yield f"So nobody can move it by more than {width} points with such a change."
    yield "If the original was changed by no more before it came here, its own score is in there too."
    if len(frames) > 1 and not compared:
        bound = entry.get("pooled_bounds", {}).get(pool, {})
        if bound.get("bound") == "collective":
            yield "The frames' sampling errors cancel in it: the mean is known better than each frame is."
        yield "Each frame has an interval of its own in the record. These hold for all frames at once."
    if "map" in frames[0]["certificate"]:
        yield from _tiles(shared, frames)


def _tiles(shared: Record, frames: Sequence[Record]) -> Iterator[str]:
    tiles = frames[0]["certificate"]["map"]["median"]
    yield f"The score of a frame is the {shared['tiles']['aggregate'].replace('_', ' ')} over {len(tiles)} tiles."
    worst = min(range(len(tiles)), key=tiles.__getitem__)
    rows, columns = shared["tiles"]["row_edges"], shared["tiles"]["column_edges"]
    row, column = divmod(worst, len(columns) - 1)
    map_ = frames[0]["certificate"]["map"]
    first = "" if len(frames) == 1 else " of the first frame"
    yield (
        f"Its lowest tile{first} is at rows {rows[row]} to {rows[row + 1] - 1}, columns {columns[column]} to "
        f"{columns[column + 1] - 1}: {_points(tiles[worst])}, "
        f"{_between(map_['lower'][worst], map_['upper'][worst])}."
    )


def _decided(entry: Record) -> Iterator[str]:
    if "decision" not in entry:
        return
    decision = entry["decision"]
    asked = f"{decision['at_least']:g}"
    yield {
        "pass": f"Passed: the score is certified to be {asked} or more.",
        "fail": f"Failed: the score is certified to be less than {asked}.",
        "undecided": f"Undecided: neither {asked} or more nor less could be certified. That is no failure.",
    }[decision["decision"]]


def _comparison(decision: Record, names: Sequence[str]) -> list[str]:
    share = f"Both intervals hold, and with them the answer, except with probability {_chance(decision['alpha'])}."
    if decision["decision"] == "undecided":
        return ["Undecided: their certified intervals overlap. They may differ, by little.", share]
    winner, loser = names if decision["decision"] == "a" else reversed(names)
    better = "" if decision["higher_is_better"] else " A lower score of this model is the better one."
    return [
        f"{winner} scores higher than {loser}: its certified interval lies above the other's.{better}",
        "That stays true whatever was done to either of the two, up to what is said below.",
        share,
    ]


def _wrong(entry: Record, frames: Sequence[Record]) -> Iterator[str]:
    alpha = entry.get("alpha", entry["joint_alpha"])
    yield (
        f"It is wrong with probability {_chance(alpha)} at most. The chance is in the noise, which nobody can foresee "
        "without the secret."
    )
    drawn = sum(frame["certificate"]["drawn"] for frame in frames)
    copies = "noisy copies" if len(frames) == 1 else "noisy copies of its frames"
    yield f"The network scored {drawn} {copies} for it."


def _tampering(shared: Record) -> Iterator[str]:
    asked = shared.get("tampering", {"epsilon": shared["epsilon"]})
    values = 3 * shared["width"] * shared["height"]
    if "epsilon" in asked:
        yield from _distance(asked["epsilon"], (1 << shared["bit_depth"]) - 1, values)
    if "patch" in asked:
        width, height = asked["patch"]
        share = min(1.0, 3 * width * height / values)
        yield f"Anything at all in one upright rectangle of {width}×{height} pixels, {share:.2%} of the frame."
    if "levels" in asked:
        where = " everywhere else" if "patch" in asked else ""
        yield (
            f"Every colour value of every pixel{where} may have changed by {_levels(asked['levels'])} of "
            f"{(1 << shared['bit_depth']) - 1}, all at the same time."
        )


def _distance(epsilon: float, top: int, values: int) -> Iterator[str]:
    levels = epsilon * top
    yield f"Any change of an L2 distance up to {epsilon:g}, colour values in [0, 1]. That is any one of these:"
    if levels <= 0:
        yield "no change at all."
        return
    count = min(values, math.floor(levels**2))
    if count:
        yield f"{count:,} colour values changed by one grey level of {top}: {count / values:.2%} of the frame;"
    else:
        yield "not even one colour value changed by one grey level;"
    side = math.isqrt(count // 3)
    if side > 1:
        yield f"a square of {side}×{side} pixels changed by one grey level in each colour;"
    one = min(float(top), levels)
    yield f"one colour value of one pixel changed by {_down(one, 3)} grey level{'' if one == 1 else 's'};"
    yield f"every colour value of the frame changed by {_down(levels / math.sqrt(values), 2)} grey levels."


def _not_promised(log: Record) -> Section:
    shared = log["inputs"][0]["certificate"]
    lines = [
        "Nothing is said of larger changes. A crop, a shift, another size or a new encode is far larger.",
        "That people agree with the score is not promised: the model may be wrong about the frame.",
        "That the frame is the original is not promised: the claim is about the frame as received.",
    ]
    if shared["scope"] == "smoothed":
        lines += (
            "The printed score is an estimate from the noisy copies drawn. Drawn again it may differ a little.",
            "The claim is about the score that all possible copies would give.",
        )
    lines.append("The record itself proves nothing: `biqa audit` and `biqa replay` tell whether it is true.")
    return "What is not promised", lines


def _points(value: float | None, way: str = ROUND_HALF_EVEN) -> str:
    return "unknown" if value is None else str(Decimal(value).quantize(Decimal("0.01"), way))


def _between(lower: float, upper: float) -> str:
    """Rounded outwards, so that what is said is certified too."""
    return f"between {_points(lower, ROUND_FLOOR)} and {_points(upper, ROUND_CEILING)}"


def _down(value: float, digits: int) -> str:
    """A size of tampering, rounded down."""
    return f"{Context(prec=digits, rounding=ROUND_FLOOR).create_decimal(Decimal(value)).normalize():f}"


def _chance(alpha: float) -> str:
    """ "0.001, once in 1,000 times" """
    often = round(1 / alpha)
    return f"{alpha:g}" if often < 2 else f"{alpha:g}, once in {often:,} times,"


def _levels(count: float) -> str:
    return "1 grey level" if count == 1 else f"{count:g} grey levels"
