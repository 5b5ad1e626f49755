"""The bundle: what ``export`` makes and the runtime opens. docs/bundle.md is the specification.

A directory, or the same as one ``.zip``: ``manifest.json``, ``model.onnx`` and whatever else the manifest
names. A file is read only through :meth:`Bundle.read`, which returns the very bytes whose size and SHA-256
it has checked, so that nothing can change between the check and the use.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from .errors import BundleError
from .flavours import FLAVOURS

_T = TypeVar("_T")

SCHEMA = 1
MANIFEST = "manifest.json"
MODEL = "model.onnx"
GRAPHS = {"fp32": MODEL, "fp16": "model.fp16.onnx", "int8": "model.int8.onnx"}
"""Precision → the graph of that precision."""

ENGINE_PRECISIONS = ("fp32", "fp16")
"""Those that engines are compiled from: the unsigned codes of int8 are for CPUs, TensorRT takes signed ones."""

HARDWARE = ("same-gpu", "same-sm", "ampere+")
"""The GPUs a plan runs on: the model it was compiled on (TensorRT's default), all of its compute capability, all from
compute capability 8.0."""

ENGINES = "engines/"
"""Folder of the compiled engines."""

MANIFEST_LIMIT = 1 << 20
"""A manifest larger than this many bytes is refused unread."""

DEFAULT_BUNDLE = Path(__file__).parent / "models" / "default"


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
    sizes, or None where any will do.
    """

    sigma: float
    downscale: int
    bit_depth: int = 8
    minimum_height: int = 1
    minimum_width: int = 1
    height: int | None = None
    width: int | None = None
    batch: int | None = None


@dataclass(frozen=True)
class ScoreContract:
    """Range of the score where it is known, and its direction."""

    minimum: float | None
    maximum: float | None
    higher_is_better: bool


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


@dataclass(frozen=True)
class Parity:
    """Largest differences of a variant from the reference on real pictures, in score units."""

    reference: str
    pictures: int
    score_difference: float
    interval_difference: float


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
    """What one compiled plan is bound to. ``engines.py`` says whether it fits.

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
    """``manifest.json`` in full."""

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

    def to_json(self) -> str:
        """Canonical text: sorted keys, two spaces, one final newline; no ``engines`` where there are none."""
        tree = asdict(self)
        if not self.engines:
            del tree["engines"]
        return json.dumps(tree, indent=2, sort_keys=True, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Parse and check a manifest. Raises BundleError naming the key that is wrong."""
        try:
            tree = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{MANIFEST} is not JSON: {error}") from None
        if not isinstance(tree, dict):
            raise BundleError(f"{MANIFEST} is not a JSON object")
        if type(tree.get("schema")) is not int or tree["schema"] != SCHEMA:
            raise BundleError(
                f"the bundle has schema {tree.get('schema')!r}, this runtime reads {SCHEMA}: "
                "build it again with `python -m export build`, or install the version that made it"
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
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or str(path) != name:
        raise BundleError(f"{MANIFEST}: {name!r} is not a plain relative path")
    return name


def _check_values(manifest: Manifest) -> None:
    contract, defaults = manifest.input, manifest.defaults
    whole = [contract.downscale, contract.bit_depth, contract.minimum_height, contract.minimum_width, defaults.samples]
    whole += [n for n in (contract.height, contract.width, contract.batch) if n is not None]
    for engine in manifest.engines.values():
        whole += [engine.profile.batch, *engine.profile.minimum, *engine.profile.optimum, *engine.profile.maximum]
    parts = [manifest.metric] + ([manifest.denoiser] if manifest.denoiser else [])
    checks = {
        "name": isinstance(manifest.name, str) and manifest.name.isidentifier(),
        "files": MODEL in manifest.files,
        "a file's bytes": all(_whole(entry.bytes, 0, 1 << 62) for entry in manifest.files.values()),
        "a file's sha256": all(_sha256(entry.sha256) for entry in manifest.files.values()),
        "engines": all(name.startswith(ENGINES) and name in manifest.files for name in manifest.engines),
        "an engine's key": all(_key(engine) for engine in manifest.engines.values()),
        "input.sigma": _number(contract.sigma) and 0 < contract.sigma <= 10,
        "a size or count": all(_whole(n, 1, 1 << 31) for n in whole),
        "input.bit_depth": _whole(contract.bit_depth, 1, 16),
        "score": _score(manifest.score),
        "metric or denoiser": all(_part(part) for part in parts),
        "defaults": _number(defaults.epsilon, defaults.alpha) and defaults.epsilon > 0 and 0 < defaults.alpha < 1,
        "parity": all(_parity(parity) for parity in manifest.parity.values()),
        "made_with": isinstance(manifest.made_with, dict) and _words(*manifest.made_with.values()),
    }
    if wrong := [name for name, right in checks.items() if not right]:
        raise BundleError(f"{MANIFEST}: {', '.join(wrong)} out of range or missing")


def _whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


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


def _part(part: Part) -> bool:
    known = all(isinstance(word, str) for word in (part.name, part.version, part.licence, part.spec))
    return known and (part.weights_sha256 is None or _sha256(part.weights_sha256))


def _parity(parity: Parity) -> bool:
    differences = (parity.score_difference, parity.interval_difference)
    right = _words(parity.reference) and _whole(parity.pictures, 0, 1 << 31)
    return right and _number(*differences) and min(differences) >= 0


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


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: where it is and its checked manifest."""

    path: Path
    manifest: Manifest

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of ``model.onnx``: the identity of the function certified in fp32."""
        return self.graph_digest("fp32")

    def graph_digest(self, precision: str) -> str:
        """SHA-256 (hex) of the graph of a precision that the bundle has: each is a function of its own."""
        return self.manifest.files[GRAPHS[precision]].sha256

    def read(self, name: str) -> bytes:
        """The bytes of one file, after its size and SHA-256 were compared with the manifest."""
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path} names no file {name}: it has {', '.join(self.manifest.files)}")
        data = _read(self.path, name, entry.bytes)
        if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleError(
                f"{self.path}: {name} is not the file the manifest names (size or SHA-256 differs): "
                "the bundle was altered or cut short; fetch or build it again"
            )
        return data

    def verify(self) -> None:
        """Read and check every file. Raises BundleError at the first that differs."""
        for name in self.manifest.files:
            self.read(name)


def _read(bundle: Path, name: str, limit: int) -> bytes:
    """At most ``limit`` + 1 bytes of a member, so that a false size cannot exhaust memory."""
    try:
        if bundle.is_dir():
            with (bundle / name).open("rb") as file:
                return file.read(limit + 1)
        with zipfile.ZipFile(bundle) as archive, archive.open(name) as member:
            return member.read(limit + 1)
    except (KeyError, FileNotFoundError):
        raise BundleError(f"{bundle} has no {name}: it is not a bundle, or only a part of one") from None
    except zipfile.BadZipFile as error:
        raise BundleError(f"{bundle} cannot be read as a bundle, which is a directory or a .zip: {error}") from None
    except Exception as error:  # a damaged zip raises what its decompressor does: zlib.error, EOFError, LZMAError …
        raise BundleError(f"{bundle}: {name} cannot be read: {error}") from None


def open_bundle(path: str | os.PathLike[str] | None = None) -> Bundle:
    """Open a bundle directory or ``.zip``; None opens the default model that ships with the package.

    Only the manifest is read here; files are checked as they are read. Raises BundleError.
    """
    where = DEFAULT_BUNDLE if path is None else Path(path)
    if not where.exists():
        raise BundleError(f"no bundle at {where}: build one with `python -m export build --out {where}`")
    if not (where.is_dir() or where.is_file()):
        raise BundleError(f"{where} is not a bundle: it is neither a directory nor a .zip file")
    data = _read(where, MANIFEST, MANIFEST_LIMIT)
    if len(data) > MANIFEST_LIMIT:
        raise BundleError(f"{where}: {MANIFEST} is larger than {MANIFEST_LIMIT} bytes")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BundleError(f"{where}: {MANIFEST} is not UTF-8") from None
    return Bundle(where, Manifest.from_json(text))


def file_entry(data: bytes) -> FileEntry:
    """The manifest's entry for these bytes."""
    return FileEntry(len(data), hashlib.sha256(data).hexdigest())


def write_bundle(path: Path, manifest: Manifest, contents: Mapping[str, bytes]) -> Bundle:
    """Write a bundle whole or not at all: a directory, or one file where ``path`` ends in ``.zip``.

    ``contents`` holds the bytes of exactly the files the manifest names. An existing bundle is replaced; any
    other existing file or non-empty directory is refused with BundleError.
    """
    if set(contents) != set(manifest.files) or any(file_entry(d) != manifest.files[n] for n, d in contents.items()):
        raise BundleError("the contents are not the files the manifest names")
    members = {MANIFEST: manifest.to_json().encode(), **contents}
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".zip":
        _write_zip(path, members)
    else:
        _write_directory(path, members)
    return open_bundle(path)


def _write_zip(path: Path, members: Mapping[str, bytes]) -> None:
    if path.is_dir():
        raise BundleError(f"{path} is a directory: choose another --out")
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        os.unlink(partial)
        raise


def _write_directory(path: Path, members: Mapping[str, bytes]) -> None:
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not (path / MANIFEST).is_file())):
        raise BundleError(f"{path} exists and is not a bundle: choose another --out")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as scratch:
        fresh, old = Path(scratch) / "new", Path(scratch) / "old"
        for name, data in members.items():
            target = fresh / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
        fresh.chmod(0o755)
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(fresh, path)
        except BaseException:
            if old.exists():
                os.replace(old, path)
            raise
