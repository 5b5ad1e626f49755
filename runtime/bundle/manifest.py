"""``manifest.json``: what a bundle says of itself, parsed and checked. No file is opened here."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from itertools import pairwise
from typing import Any, TypeVar

from ..bounds.aggregates import AGGREGATES, Aggregate
from ..bounds.calibration import Calibration, parse_calibration
from ..errors import BundleError
from .names import MOST_FILES, clashing, why_not

_T = TypeVar("_T")

SCHEMA, FAMILY_SCHEMA = 1, 2
"""Of a bundle of one noise level, and of one of several: older runtimes read the first."""

LARGEST = 2**31 - 1
"""Bytes of one file: protobuf's limit, and ours for all of a bundle's files together is twice that."""

MANIFEST = "manifest.json"

SIGNATURE = "signature.json"
"""Beside the manifest, which cannot name it (signature.py)."""

MODEL = "model.onnx"

GRAPHS = {"fp32": MODEL, "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
"""Precision → the graph of that precision."""

LEVELS = "levels/"
"""Folder of a family's graphs."""

ENGINE_PRECISIONS = ("fp32", "fp16")
"""Those that engines are compiled from: the unsigned codes of int8 are for CPUs, TensorRT takes signed ones."""

FLAVOURS = ("tensorrt", "tensorrt-rtx")
"""What compiles and runs plans. ``samplers/gpu/tensorrt_modules.py`` loads them."""

HARDWARE = ("same-gpu", "same-sm", "ampere+")
"""The GPUs a plan runs on: the model it was compiled on (TensorRT's default), all of its compute capability, all from
compute capability 8.0."""

ENGINES = "engines/"
"""Folder of the compiled engines."""


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and SHA-256 (hex) of one file of the bundle."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class InputContract:
    """What the graph takes: ``lattice`` float32 N×3×h×w of integer values and ``unit`` float32[1].

    ``sigma``: noise level on the engine's domain, for images in [0, 1]. ``downscale``: k of the k×k box.
    ``bit_depth``: depth of the frames it was trained and checked with; others work, the unit says which.
    ``minimum_height``, ``minimum_width``: smallest engine input. ``height``, ``width``, ``batch``: fixed
    sizes, or None where any will do. ``tile``: T, where the graph is given a frame's T×T tiles, None for whole frames.
    """

    sigma: float
    downscale: int
    bit_depth: int = 8
    minimum_height: int = 1
    minimum_width: int = 1
    height: int | None = None
    width: int | None = None
    batch: int | None = None
    tile: int | None = None


@dataclass(frozen=True)
class ScoreContract:
    """Range of the score where it is known, and its direction.

    ``aggregate``: how the scores of a frame's tiles become its own, of ``AGGREGATES``; None for whole frames. ``trim``:
    the share of them that a trimmed mean drops at each end.
    """

    minimum: float | None
    maximum: float | None
    higher_is_better: bool
    aggregate: str | None = None
    trim: float | None = None

    @property
    def range(self) -> tuple[float, float] | None:
        """(lowest, highest) score; None where an end is not known."""
        return None if self.minimum is None or self.maximum is None else (self.minimum, self.maximum)

    @property
    def of_tiles(self) -> Aggregate | None:
        """``aggregate`` and ``trim``; None for whole frames."""
        return None if self.aggregate is None else Aggregate(self.aggregate, self.trim or 0.0)


@dataclass(frozen=True)
class Part:
    """Where the metric or the denoiser came from."""

    name: str
    version: str
    licence: str
    spec: str
    weights_sha256: str | None = None


@dataclass(frozen=True)
class Defaults:
    """What ``Certifier`` uses where the caller says nothing. ``epsilon`` is on the source frame."""

    epsilon: float
    alpha: float
    samples: int


DEFAULTS = Defaults(epsilon=0.1, alpha=0.001, samples=501)
"""What a bundle is built with, and a function is certified with, where nobody says another."""


@dataclass(frozen=True)
class Parity:
    """Largest differences of a variant from the reference on real photographs, in score units."""

    reference: str
    pictures: int
    score_difference: float
    interval_difference: float


@dataclass(frozen=True)
class KnownAnswer:
    """What a graph must answer when it is opened (samplers/known_answer.py).

    ``graph``, ``sigma``: what it was built as, and for. ``table_sha256``, ``noise_sha256``: of the noise. ``scores``:
    of a tiny frame's noisy copies, each within ``tolerance``, in score units.
    """

    graph: str
    sigma: float
    table_sha256: str
    noise_sha256: str
    scores: tuple[float, ...]
    tolerance: float


@dataclass(frozen=True)
class Measured:
    """What a noise level is worth, measured on photographs that nothing was trained on.

    ``srocc``, ``plcc``: of its scores with opinions, on ``rated`` photographs. ``low``, ``high``: 5th and 95th
    percentile of these scores. ``offsets``: a noisy score's quantiles of levels Φ(``z``), less its median, on average
    over ``pictures`` photographs; both rise. The expected width of an interval follows for any ε, n and α (levels.py).
    """

    rated: int
    srocc: float
    plcc: float
    low: float
    high: float
    pictures: int
    z: tuple[float, ...]
    offsets: tuple[float, ...]


@dataclass(frozen=True)
class Level:
    """One noise level of a family.

    ``graphs``: file name of a plain bundle's graph → size and SHA-256 of this level's, which is ``part_name`` followed
    by what all levels share (store.py). ``parity``: as a plain bundle's. ``measured``, ``calibration``:
    None where there is none.
    """

    sigma: float
    graphs: Mapping[str, FileEntry]
    parity: Mapping[str, Parity]
    measured: Measured | None = None
    calibration: Calibration | None = None


def part_name(graph: str, sigma: float | None) -> str:
    """The file with a level's own part of a graph, ``levels/0.06.model.onnx``; None: with what all levels share."""
    return f"{LEVELS}{'shared' if sigma is None else f'{sigma:g}'}.{graph}"


@dataclass(frozen=True)
class Profile:
    """Shapes an engine takes: a fixed batch, and (height, width) of its input from ``minimum`` to ``maximum``.

    ``optimum`` is the size it was tuned for.
    """

    batch: int
    minimum: tuple[int, int]
    optimum: tuple[int, int]
    maximum: tuple[int, int]

    def covers(self, height: int, width: int) -> bool:
        low, high = self.minimum, self.maximum
        return low[0] <= height <= high[0] and low[1] <= width <= high[1]


@dataclass(frozen=True)
class PlanKey:
    """What one compiled plan is bound to. ``plans.py`` says whether it fits.

    ``model_sha256``: the graph it was compiled from. ``flavour``: tensorrt or tensorrt-rtx, ``version`` its full
    version. ``sm``: compute capability, sm89 for 8.9. ``hardware``: the GPUs it runs on, of ``HARDWARE``.
    ``version_compatible``: later versions of the same major number run it as well. ``gpu``, ``driver``, ``cuda``:
    what it was compiled on, None where that was no GPU.
    """

    model_sha256: str
    precision: str
    flavour: str
    version: str
    sm: str
    profile: Profile
    hardware: str = "same-sm"
    version_compatible: bool = False
    gpu: str | None = None
    driver: str | None = None
    cuda: str | None = None


@dataclass(frozen=True)
class Manifest:
    """``manifest.json`` in full.

    ``levels``: of a family, by rising σ; ``input.sigma`` is then one of them, ``parity`` empty, and the graphs are in
    parts. Empty for a bundle of one noise level.
    """

    name: str
    files: Mapping[str, FileEntry]
    input: InputContract
    score: ScoreContract
    metric: Part
    denoiser: Part | None
    defaults: Defaults
    parity: Mapping[str, Parity]
    made_with: Mapping[str, str] = field(default_factory=dict)
    engines: Mapping[str, PlanKey] = field(default_factory=dict)
    schema: int = SCHEMA
    known_answers: Mapping[str, KnownAnswer] = field(default_factory=dict)
    levels: tuple[Level, ...] = ()
    calibration: Calibration | None = None

    def to_json(self) -> str:
        """Canonical text: sorted keys, two spaces, one final newline; of engines, levels, tiles what is there."""
        tree = asdict(self)
        for key in ("engines", "known_answers", "levels", "calibration"):
            if not tree[key]:
                del tree[key]
        for level in tree.get("levels", ()):
            if level["calibration"] is None:
                del level["calibration"]
        for table, key in (("input", "tile"), ("score", "aggregate"), ("score", "trim")):
            if tree[table][key] is None:
                del tree[table][key]
        return json.dumps(tree, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse and check a manifest. Raises BundleError naming the key that is wrong."""
        try:
            tree = json.loads(text, object_pairs_hook=_once)
        except BundleError:
            raise
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{MANIFEST} is not JSON: {error}") from None
        if not isinstance(tree, dict):
            raise BundleError(f"{MANIFEST} is not a JSON object")
        if type(tree.get("schema")) is not int or tree["schema"] not in (SCHEMA, FAMILY_SCHEMA):
            raise BundleError(
                f"the bundle has schema {tree.get('schema')!r}, this runtime reads {SCHEMA} and {FAMILY_SCHEMA}: "
                "build it again with `biqa build`, or install the version that made it"
            )
        tree = dict(tree)
        tree["files"] = {_safe_name(n): _parse(FileEntry, e, f"files.{n}") for n, e in _table(tree, "files").items()}
        tree["parity"] = {n: _parse(Parity, e, f"parity.{n}") for n, e in _table(tree, "parity").items()}
        for name, kind in (
            ("input", InputContract),
            ("score", ScoreContract),
            ("metric", Part),
            ("defaults", Defaults),
        ):
            tree[name] = _parse(kind, tree.get(name), name)
        if "engines" in tree:
            tree["engines"] = {n: _engine(e, f"engines.{n}") for n, e in _table(tree, "engines").items()}
        if "known_answers" in tree:
            answers = _table(tree, "known_answers")
            tree["known_answers"] = {n: _answer(e, f"known_answers.{n}") for n, e in answers.items()}
        if "levels" in tree:
            if not isinstance(tree["levels"], list):
                raise BundleError(f"{MANIFEST}: levels is not a list")
            tree["levels"] = tuple(_level(e, f"levels[{i}]") for i, e in enumerate(tree["levels"]))
        if "calibration" in tree:
            tree["calibration"] = _calibration(tree["calibration"], "calibration")
        if tree.get("denoiser") is not None:
            tree["denoiser"] = _parse(Part, tree["denoiser"], "denoiser")
        manifest = _parse(cls, tree, "manifest")
        _check_values(manifest)
        return manifest


def _table(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tree.get(name)
    if not isinstance(table, dict):
        raise BundleError(f"{MANIFEST}: {name} is not an object")
    return table


def _parse(kind: type[_T], value: Any, where: str) -> _T:
    if not isinstance(value, dict):
        raise BundleError(f"{MANIFEST}: {where} is missing or not an object")
    known = {f.name for f in fields(kind)}  # type: ignore[arg-type]
    if unknown := set(value) - known:
        raise BundleError(f"{MANIFEST}: {where} has unknown keys {sorted(unknown)}")
    try:
        return kind(**value)
    except TypeError as error:
        raise BundleError(f"{MANIFEST}: {where}: {error}") from None


def _answer(value: Any, where: str) -> KnownAnswer:
    answer = _parse(KnownAnswer, value, where)
    if not isinstance(answer.scores, list):
        raise BundleError(f"{MANIFEST}: {where}.scores is not a list")
    return replace(answer, scores=tuple(answer.scores))


def _level(value: Any, where: str) -> Level:
    level = _parse(Level, value, where)
    graphs = {n: _parse(FileEntry, e, f"{where}.graphs.{n}") for n, e in _table(value, "graphs").items()}
    parity = {n: _parse(Parity, e, f"{where}.parity.{n}") for n, e in _table(value, "parity").items()}
    calibration = None if level.calibration is None else _calibration(level.calibration, f"{where}.calibration")
    measured = level.measured
    if measured is not None:
        measured = _parse(Measured, measured, f"{where}.measured")
        if not (isinstance(measured.z, list) and isinstance(measured.offsets, list)):
            raise BundleError(f"{MANIFEST}: {where}.measured holds a curve that is no list")
        measured = replace(measured, z=tuple(measured.z), offsets=tuple(measured.offsets))
    return replace(level, measured=measured, calibration=calibration, graphs=graphs, parity=parity)


def _calibration(value: Any, where: str) -> Calibration:
    made = parse_calibration(value) if isinstance(value, dict) else None
    if made is None:
        raise BundleError(f"{MANIFEST}: {where} is not a monotone curve")
    return made


def _engine(value: Any, where: str) -> PlanKey:
    engine = _parse(PlanKey, value, where)
    profile = _parse(Profile, engine.profile, f"{where}.profile")
    sizes = [_size(size, f"{where}.profile") for size in (profile.minimum, profile.optimum, profile.maximum)]
    return replace(engine, profile=Profile(profile.batch, *sizes))


def _size(value: Any, where: str) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise BundleError(f"{MANIFEST}: {where} holds a size that is not [height, width]")
    return value[0], value[1]


def _safe_name(name: str) -> str:
    if (why := why_not(name)) is not None or name in (MANIFEST, SIGNATURE):
        raise BundleError(f"{MANIFEST}: {name!r} {why or 'cannot name itself'}")
    return name


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises BundleError for a key that is there twice: readers differ in which one they take."""
    tree = dict(pairs)
    if len(tree) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BundleError(f"{MANIFEST}: the key {twice!r} is there twice: build the bundle again")
    return tree


def _check_values(manifest: Manifest) -> None:
    contract, defaults = manifest.input, manifest.defaults
    whole = [contract.downscale, contract.bit_depth, contract.minimum_height, contract.minimum_width, defaults.samples]
    whole += [n for n in (contract.height, contract.width, contract.batch, contract.tile) if n is not None]
    for engine in manifest.engines.values():
        whole += [engine.profile.batch, *engine.profile.minimum, *engine.profile.optimum, *engine.profile.maximum]
    parts = [manifest.metric] + ([manifest.denoiser] if manifest.denoiser else [])
    checks = {
        "name": isinstance(manifest.name, str) and manifest.name.isidentifier(),
        "files": (bool(manifest.levels) or MODEL in manifest.files) and len(manifest.files) <= MOST_FILES,
        "files that differ in upper and lower case alone": clashing(manifest.files) is None,
        "a file's bytes": _sizes(manifest.files),
        "levels or schema": _levels(manifest),
        "a file's sha256": all(_sha256(entry.sha256) for entry in manifest.files.values()),
        "engines": all(name.startswith(ENGINES) and name in manifest.files for name in manifest.engines),
        "an engine's key": all(_key(engine) for engine in manifest.engines.values()),
        "input.sigma": _number(contract.sigma) and 0 < contract.sigma <= 10,
        "a size or count": all(_whole(n, 1, 1 << 31) for n in whole),
        "input.bit_depth": _whole(contract.bit_depth, 1, 16),
        "score": _score(manifest.score),
        "input.tile or score.aggregate": _tiles(contract, manifest.score),
        "metric or denoiser": all(_part(part) for part in parts),
        "defaults": _number(defaults.epsilon, defaults.alpha) and defaults.epsilon > 0 and 0 < defaults.alpha < 1,
        "parity": all(_parity(parity) for parity in manifest.parity.values()),
        "known_answers": all(_sha256(n) and _known(answer) for n, answer in manifest.known_answers.items()),
        "made_with": isinstance(manifest.made_with, dict) and _words(*manifest.made_with.values()),
    }
    if wrong := [name for name, right in checks.items() if not right]:
        raise BundleError(f"{MANIFEST}: {', '.join(wrong)} out of range or missing")


def _whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _sizes(files: Mapping[str, FileEntry]) -> bool:
    sizes = [entry.bytes for entry in files.values()]
    return all(_whole(size, 0, LARGEST) for size in sizes) and sum(sizes) <= 2 * LARGEST


def _number(*values: Any) -> bool:
    """Are they finite numbers, and no booleans?"""
    return all(type(value) in (int, float) and abs(value) <= sys.float_info.max for value in values)


def _words(*values: Any) -> bool:
    return all(isinstance(value, str) and value for value in values)


def _sha256(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


def _score(score: ScoreContract) -> bool:
    ends = [end for end in (score.minimum, score.maximum) if end is not None]
    return _number(*ends) and (len(ends) < 2 or ends[0] < ends[1]) and type(score.higher_is_better) is bool


def _tiles(contract: InputContract, score: ScoreContract) -> bool:
    """Are the keys of tiles all there or all missing, and do they fit each other?"""
    if contract.tile is None:
        return score.aggregate is None and score.trim is None
    square = contract.height == contract.width == contract.tile
    trimmed = score.aggregate == "trimmed_mean"
    share = _number(score.trim) and 0 < score.trim < 0.5 if score.trim is not None else not trimmed
    return square and score.aggregate in AGGREGATES and share and trimmed == (score.trim is not None)


def _levels(manifest: Manifest) -> bool:
    """Do they rise, is each complete, and does the schema say that they are there?"""
    levels, sigmas = manifest.levels, [level.sigma for level in manifest.levels]
    if not levels:
        return manifest.schema == (SCHEMA if manifest.calibration is None else FAMILY_SCHEMA)
    if manifest.calibration is not None:
        return False  # each level has its own
    if not (_number(*sigmas) and all(0 < sigma <= 10 for sigma in sigmas)):
        return False
    graphs = set(levels[0].graphs)
    parts = {part_name(graph, sigma) for graph in graphs for sigma in (*sigmas, None)}
    return (
        manifest.schema == FAMILY_SCHEMA
        and manifest.input.tile is None
        and all(low < high for low, high in pairwise(sigmas))
        and manifest.input.sigma in sigmas
        and MODEL in graphs <= set(GRAPHS.values())
        and parts <= set(manifest.files)
        and all(set(level.graphs) == graphs and _level_values(level) for level in levels)
    )


def _level_values(level: Level) -> bool:
    entries = all(_whole(entry.bytes, 0, 1 << 62) and _sha256(entry.sha256) for entry in level.graphs.values())
    return entries and all(map(_parity, level.parity.values())) and (not level.measured or _measured(level.measured))


def _measured(measured: Measured) -> bool:
    z, offsets = measured.z, measured.offsets
    numbers = (measured.srocc, measured.plcc, measured.low, measured.high, *z, *offsets)
    return (
        _whole(measured.rated, 1, 1 << 31)
        and _whole(measured.pictures, 1, 1 << 31)
        and _number(*numbers)
        and max(abs(measured.srocc), abs(measured.plcc)) <= 1
        and measured.low <= measured.high
        and len(z) == len(offsets) >= 2
        and all(low < high for low, high in pairwise(z))
        and all(low <= high for low, high in pairwise(offsets))
    )


def _part(part: Part) -> bool:
    known = all(isinstance(word, str) for word in (part.name, part.version, part.licence, part.spec))
    return known and (part.weights_sha256 is None or _sha256(part.weights_sha256))


def _parity(parity: Parity) -> bool:
    differences = (parity.score_difference, parity.interval_difference)
    right = _words(parity.reference) and _whole(parity.pictures, 0, 1 << 31)
    return right and _number(*differences) and min(differences) >= 0


def _known(answer: KnownAnswer) -> bool:
    numbers = _number(answer.sigma, answer.tolerance, *answer.scores) and answer.tolerance > 0
    return numbers and answer.graph in GRAPHS.values() and _sha256(answer.table_sha256) and _sha256(answer.noise_sha256)


def _key(engine: PlanKey) -> bool:
    """Are all words of the key there, and known where they are from a list?"""
    built_on = [word for word in (engine.gpu, engine.driver, engine.cuda) if word is not None]
    return (
        _sha256(engine.model_sha256)
        and _words(engine.precision, engine.flavour, engine.version, engine.sm, engine.hardware, *built_on)
        and engine.precision in ENGINE_PRECISIONS
        and engine.flavour in FLAVOURS
        and engine.hardware in HARDWARE
        and re.fullmatch("sm[0-9]+", engine.sm) is not None
        and type(engine.version_compatible) is bool
    )
