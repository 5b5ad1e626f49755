"""A log, its model and thumbnails → what the page shows, as JSON types and no larger than it must be.

``inputs[i].score``, ``.lower``, ``.upper`` are columns of whole numbers in units of 10^-``digits`` (numbers.py), null
where nothing is certified. ``parameters`` are those of the first file, and ``inputs[i].differs`` what others have
in place of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..bundle.store import Bundle
from .numbers import down, nearest, unit_digits, up
from .thumbnails import Thumbnail
from .words import NOT_PROMISED, pool_of, promise, radius_in_levels, replay, tampering_of, verdict

CARD = "MODEL_CARD.md"

POOL_NAMES = ("mean", "min", "max", "harmonic_mean")


@dataclass(frozen=True)
class Model:
    """``facts``: (name, value) in the order shown. ``card``: its model card, None where the bundle has none."""

    higher_is_better: bool
    facts: tuple[tuple[str, str], ...] = ()
    card: str | None = None

    @classmethod
    def of(cls, bundle: Bundle) -> Model:
        """What a bundle says of itself."""
        manifest = bundle.manifest
        parts = [("metric", manifest.metric), ("denoiser", manifest.denoiser)]
        facts = [(kind, f"{part.name} {part.version}, {part.licence}") for kind, part in parts if part is not None]
        card = bundle.read(CARD).decode("utf-8", "replace") if CARD in manifest.files else None
        return cls(manifest.score.higher_is_better, tuple(facts), card)


def content(
    log: Mapping[str, Any],
    model: Model | None = None,
    thumbnails: Mapping[int, Sequence[Thumbnail]] | None = None,
    *,
    log_name: str = "log.json",
    model_name: str | None = None,
) -> dict[str, Any]:
    """What the page of a log shows. ``model``: None where its bundle is not at hand. ``thumbnails``: of each input.

    ``log_name``, ``model_name``: of the log and the bundle, for the command of a replay.
    """
    frames: list[list[Mapping[str, Any]]] = [[] for _ in log["inputs"]]
    for frame in log["frames"]:
        frames[frame["input"]].append(frame)
    digits = unit_digits(value for frame in log["frames"] for value in frame["metrics"].values())
    first = _parameters(log["inputs"][0], frames[0])
    taken = thumbnails or {}
    inputs = [
        _input(entry, mine, digits, first, taken.get(index, ()))
        for index, (entry, mine) in enumerate(zip(log["inputs"], frames, strict=True))
    ]
    decision = log.get("decision")
    better = model.higher_is_better if model else (decision or {}).get("higher_is_better", True)
    shared = log["inputs"][0]["certificate"]
    return {
        "title": ", ".join(entry["path"] for entry in log["inputs"][:2]) + (" …" if len(inputs) > 2 else ""),
        "kind": "compare" if decision else "certify",
        "version": log["version"],
        "digits": digits,
        "range": [nearest(end, digits) for end in shared["score_range"]] if "score_range" in shared else None,
        "higher_is_better": better,
        "direction_known": model is not None or decision is not None,
        "public_seed": shared["noise"] != "secret",
        "joint_alpha": log["joint_alpha"],
        "inputs": inputs,
        "failed": [dict(one) for one in log.get("failed", ())],
        "decision": {**{key: decision[key] for key in ("decision", "claim")}, "promise": verdict(log)}
        if decision
        else None,
        "parameters": [[name, value] for name, value in first.items()],
        "radius": radius_in_levels(shared),
        "not_promised": list(NOT_PROMISED),
        "model": {"facts": [list(fact) for fact in model.facts] if model else [], "card": model and model.card},
        "replay": replay(log, log_name, model_name),
    }


def _input(
    entry: Mapping[str, Any],
    frames: Sequence[Mapping[str, Any]],
    digits: int,
    first: Mapping[str, str],
    thumbnails: Sequence[Thumbnail],
) -> dict[str, Any]:
    score, lower, upper = (
        [turn(list(frame["metrics"].values())[place], digits) for frame in frames]
        for place, turn in enumerate((nearest, down, up))
    )
    numbers = [frame["frame"] for frame in frames]
    drawn = [frame["certificate"]["drawn"] for frame in frames]
    maps = {frame["frame"]: frame["certificate"].get("map") for frame in frames}
    made: dict[str, Any] = {
        "path": entry["path"],
        "first": numbers[0],
        "step": entry["subsample"],
        "score": score,
        "lower": lower,
        "upper": upper,
        "drawn": drawn[0] if len(set(drawn)) == 1 else drawn,
        "alpha": entry.get("alpha", entry["joint_alpha"]),
        "promise": promise(entry, frames),
        "thumbnails": [_thumbnail(thumbnail, maps[thumbnail.frame], digits) for thumbnail in thumbnails],
        "width": entry["certificate"]["width"],
        "height": entry["certificate"]["height"],
    }
    if any(frame["abstained"] for frame in frames):
        made["abstained"] = [index for index, frame in enumerate(frames) if frame["abstained"]]
    if len(frames) > 1:
        made["pools"] = _pools(entry, digits)
        made["pool"] = pool_of(entry)
    if "tiles" in entry["certificate"]:
        tiles = entry["certificate"]["tiles"]
        made["tiles"] = {"rows": tiles["row_edges"], "columns": tiles["column_edges"]}
    if "decision" in entry:
        made["decision"] = {key: entry["decision"][key] for key in ("decision", "at_least", "claim")}
    differs = {name: value for name, value in _parameters(entry, frames).items() if first.get(name) != value}
    if differs:
        made["differs"] = differs
    return made


def _pools(entry: Mapping[str, Any], digits: int) -> dict[str, list[Any]]:
    """Pool → score, lower, upper, bound."""
    rows = list(entry["pooled_metrics"].values())
    bounds = entry.get("pooled_bounds", {})
    return {
        name: [
            *(turn(row[name], digits) for turn, row in zip((nearest, down, up), rows, strict=True)),
            bounds.get(name, {}).get("bound", "frame-by-frame"),
        ]
        for name in POOL_NAMES
        if name in rows[0]
    }


def _thumbnail(thumbnail: Thumbnail, tile_map: Mapping[str, Any] | None, digits: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "frame": thumbnail.frame,
        "width": thumbnail.width,
        "height": thumbnail.height,
        "uri": thumbnail.uri,
    }
    if tile_map:
        turns = (("median", nearest), ("lower", down), ("upper", up))
        made["map"] = {side: [turn(value, digits) for value in tile_map[side]] for side, turn in turns}
    return made


def _parameters(entry: Mapping[str, Any], frames: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What a certificate was made with, a line each, in words."""
    shared = entry["certificate"]
    said: dict[str, str] = {}
    tampering = tampering_of(shared)
    if "epsilon" in tampering:
        said["radius ε"] = f"{tampering['epsilon']:g}, L2 on the source RGB frame, values in [0, 1]"
        said["radius on the engine's domain"] = f"{shared['epsilon_engine']:g}"
    if "levels" in tampering:
        said["grey levels"] = f"{tampering['levels']:g} of {shared['bit_depth']} bits, in every value"
    if "patch" in tampering:
        said["patch"] = "{}×{} pixels, anywhere".format(*tampering["patch"])
    said["error α of the file"] = f"{entry.get('alpha', entry['joint_alpha']):g}"
    said["error α of one frame"] = f"{shared['alpha']:.6g}"
    drawn = sum(frame["certificate"]["drawn"] for frame in frames) / len(frames)
    asked = shared["samples"]
    said["samples a frame"] = f"{asked}" if drawn == asked else f"{drawn:.4g} of {asked}, stopped when it was decided"
    said["scope"] = shared["scope"]
    said["noise σ"] = _sigma(shared)
    said["downscale k"] = f"{shared['downscale']}×{shared['downscale']} box"
    bounds = entry.get("pooled_bounds", {}).get("mean", {})
    if len(frames) > 1:
        said["bound of the mean"] = bounds.get("bound", "") + (f": {bounds['why']}" if "why" in bounds else "")
    seed = shared["public_seed"]
    said["noise"] = f"secret, commitment {shared['secret_sha256']}" if seed is None else f"public seed {seed}"
    said["model"] = shared["model"]
    said["SHA-256 of the graph"] = shared["model_sha256"]
    said["engine"] = ", ".join(f"{name} {value}" for name, value in shared["engine"].items())
    said["frame"] = f"{shared['width']}×{shared['height']}, {shared['bit_depth']} bits"
    if len(frames) == 1:
        said["SHA-256 of the frame"] = frames[0]["certificate"]["frame_sha256"]
    for what in ("conversion", "reading"):
        if shared.get(what):
            said[what] = "; ".join(f"{name}: {_plain(value)}" for name, value in shared[what].items() if value)
    said["claim, as recorded"] = shared["claim"]
    return said


def _sigma(shared: Mapping[str, Any]) -> str:
    """σ, and of a family of noise levels why it is this one."""
    level = shared.get("level")
    said = f"{shared['sigma']:g} on the engine's domain"
    return f"{said}, of {_plain(level['of'])}: {level['why']}" if level else said


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
