"""The bundle: what ``export`` makes and the runtime opens. docs/bundle.md is the specification.

A directory, or the same as one ``.zip``: ``manifest.json``, ``model.onnx`` and whatever else the manifest
names. A file is read only through :meth:`Bundle.read`, which returns the very bytes whose size and SHA-256
it has checked, so that nothing can change between the check and the use.

**A family** holds several noise levels. A level's graph is two files, one after the other: the level's own part and the
weights that all levels share. ONNX is protobuf, which merges what follows: the two are one valid ONNX file, and its
SHA-256 is the level's identity. :meth:`Bundle.at` is the family at one level, a bundle like any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..atomic import whole_file, whole_folder
from ..errors import BundleError
from .files import read_file
from .graphs import check_graph
from .manifest import FAMILY_SCHEMA, GRAPHS, LEVELS, MANIFEST, SCHEMA, FileEntry, Manifest, part_name
from .signature import check_signature, trusted

MANIFEST_LIMIT = 1 << 20
"""A manifest larger than this many bytes is refused unread."""

SHIPPED = Path(__file__).parents[1] / "models"
"""The bundles that ship with the package, each in a folder of its name."""

DEFAULT_BUNDLE = SHIPPED / "default"


@dataclass(frozen=True)
class Bundle:
    """An opened bundle: where it is and its checked manifest.

    >>> import runtime
    >>> bundle = runtime.open_bundle(model)
    >>> bundle.manifest.name, bundle.manifest.input.sigma, len(bundle.digest)
    ('tiny', 0.12, 64)
    >>> bundle.verify()
    """

    path: Path
    manifest: Manifest
    family: Bundle | None = None
    """The family that this is one level of."""

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of ``model.onnx``: the identity of the function certified in fp32.

        Of a family: of the digests of its levels, one after the other.
        """
        if self.manifest.levels:
            digests = "".join(self.at(level.sigma).digest for level in self.manifest.levels)
            return hashlib.sha256(bytes.fromhex(digests)).hexdigest()
        return self.graph_digest("fp32")

    @property
    def sigmas(self) -> tuple[float, ...]:
        """The noise levels there are, rising."""
        return tuple(level.sigma for level in self.manifest.levels) or (self.manifest.input.sigma,)

    def at(self, sigma: float) -> Bundle:
        """This bundle at one of its noise levels. Raises BundleError for a level that it has not."""
        if sigma not in self.sigmas:
            there = ", ".join(f"{s:g}" for s in self.sigmas)
            raise BundleError(f"{self.path} has no noise level sigma={sigma:g}: it has {there}")
        if not self.manifest.levels:
            return self
        level = next(level for level in self.manifest.levels if level.sigma == sigma)
        others = {e.sha256 for o in self.manifest.levels if o is not level for e in o.graphs.values()}
        whole = {name: entry for name, entry in self.manifest.files.items() if not name.startswith(LEVELS)}
        manifest = replace(
            self.manifest,
            files={**whole, **level.graphs},
            input=replace(self.manifest.input, sigma=sigma),
            parity=level.parity,
            engines={n: e for n, e in self.manifest.engines.items() if e.model_sha256 not in others},
            levels=(),
            calibration=level.calibration,
            schema=SCHEMA if level.calibration is None else FAMILY_SCHEMA,
        )
        return Bundle(self.path, manifest, self)

    def graph_digest(self, precision: str) -> str:
        """SHA-256 (hex) of the graph of a precision that the bundle has: each is a function of its own.

        Of a calibrated bundle the digest covers the curve: it is part of what is said of a frame.
        """
        graph, curve = self.manifest.files[GRAPHS[precision]].sha256, self.manifest.calibration
        if curve is None:
            return graph
        return hashlib.sha256(f"{graph} {json.dumps(curve.to_dict(), sort_keys=True)}".encode()).hexdigest()

    def read(self, name: str) -> bytes:
        """The bytes of one file, after its size and SHA-256 were compared with the manifest."""
        entry = self.manifest.files.get(name)
        if entry is None:
            raise BundleError(f"{self.path} names no file {name}: it has {', '.join(self.manifest.files)}")
        if self.family is not None and name in GRAPHS.values():
            parts = (part_name(name, sigma) for sigma in (self.manifest.input.sigma, None))
            data = b"".join(map(self.family.read, parts))
        else:
            data = read_file(self.path, name, entry.bytes)
        if len(data) != entry.bytes or hashlib.sha256(data).hexdigest() != entry.sha256:
            raise BundleError(
                f"{self.path}: {name} is not the file the manifest names (size or SHA-256 differs): "
                "the bundle was altered or cut short; fetch or build it again"
            )
        return data

    @property
    def ships(self) -> bool:
        """Whether it is one of those that come with the package, and so as trusted as the code."""
        return self.path.parent == SHIPPED

    def read_graph(self, precision: str) -> bytes:
        """The graph of a precision that the bundle has, after what it holds was checked (graphs.py)."""
        name = GRAPHS[precision]
        data = self.read(name)
        try:
            check_graph(data, precision)
        except BundleError as error:
            raise BundleError(f"{self.path}: {name}: {error}") from None
        return data

    def verify(self) -> None:
        """Read and check every file, and every level's graphs. Raises BundleError at the first that differs."""
        for name in self.manifest.files:
            self.read(name)
        for level in self.manifest.levels:
            for graph in level.graphs:
                self.at(level.sigma).read(graph)


def open_bundle(
    path: str | os.PathLike[str] | None = None, *, trusted_keys: Sequence[str | os.PathLike[str]] | None = None
) -> Bundle:
    """Open a bundle directory or ``.zip``, or one that ships by its name; None opens the default one that ships.

    Only the manifest is read here; files are checked as they are read. ``trusted_keys``: public keys, one of which must
    have signed it (signature.py); None: signatures are not looked at. Raises BundleError.

    >>> import runtime
    >>> runtime.open_bundle().manifest.name
    'biqa'
    >>> runtime.open_bundle("default").sigmas
    (0.03, 0.06, 0.12, 0.25, 0.5)
    >>> runtime.open_bundle("tiles").manifest.input.tile
    64
    """
    where = find_bundle(path)
    if not where.exists():
        names = ", ".join(shipped_names())
        raise BundleError(f"no bundle at {where}: build one with `biqa build --out {where}`, or name one of {names}")
    if not (where.is_dir() or where.is_file()):
        raise BundleError(f"{where} is not a bundle: it is neither a directory nor a .zip file")
    data = read_file(where, MANIFEST, MANIFEST_LIMIT)
    if len(data) > MANIFEST_LIMIT:
        raise BundleError(f"{where}: {MANIFEST} is larger than {MANIFEST_LIMIT} bytes")
    if trusted_keys is not None:
        check_signature(where, data, trusted(trusted_keys))
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise BundleError(f"{where}: {MANIFEST} is not UTF-8") from None
    return Bundle(where, Manifest.from_json(text))


def shipped_names() -> list[str]:
    """Names that ``open_bundle`` takes for the bundles that ship."""
    return sorted(folder.name for folder in SHIPPED.iterdir() if (folder / MANIFEST).is_file())


def find_bundle(path: str | os.PathLike[str] | None) -> Path:
    """Where a bundle is. A file of that path, or a folder with a manifest, comes before a bundle that ships."""
    if path is None:
        return DEFAULT_BUNDLE
    where = Path(path)
    if where.is_file() or (where / MANIFEST).is_file():
        return where
    return SHIPPED / where if str(where) in shipped_names() else where


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
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)


def _write_directory(path: Path, members: Mapping[str, bytes]) -> None:
    if path.exists() and (not path.is_dir() or (any(path.iterdir()) and not (path / MANIFEST).is_file())):
        raise BundleError(f"{path} exists and is not a bundle: choose another --out")
    with whole_folder(path) as fresh:
        for name, data in members.items():
            target = fresh / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
