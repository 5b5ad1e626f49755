"""Bundles that lie about their files: names, links, doubles, sizes, hashes."""

from __future__ import annotations

import io
import json
import os
import pickle
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.bundle.manifest import MANIFEST, MODEL
from runtime.bundle.store import file_entry
from tests.support.tiny import tiny_bundle

Attack = Callable[[Path], Path]


def _members(folder: Path) -> dict[str, bytes]:
    """An honest bundle's files, manifest first."""
    honest = tiny_bundle(folder / "honest").path
    return {name: (honest / name).read_bytes() for name in (MANIFEST, MODEL)}


def _with_entry(members: dict[str, bytes], name: str, data: bytes) -> bytes:
    """The manifest with one more file."""
    tree = json.loads(members[MANIFEST])
    entry = file_entry(data)
    tree["files"][name] = {"bytes": entry.bytes, "sha256": entry.sha256}
    return json.dumps(tree).encode()


def _folder(folder: Path, members: dict[str, bytes]) -> Path:
    path = folder / "bundle"
    for name, data in members.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(data)
    return path


def _zip(folder: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]], method: int = zipfile.ZIP_DEFLATED) -> Path:
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data, method)
    return path


def named(name: str, *, zipped: bool = False) -> Attack:
    """A manifest that names a file so."""

    def make(folder: Path) -> Path:
        members = _members(folder)
        members[MANIFEST] = _with_entry(members, name, b"x")
        return _zip(folder, list(members.items())) if zipped else _folder(folder, members)

    return make


def member(name: str) -> Attack:
    """An honest bundle with one more member that no manifest names."""
    return lambda folder: _zip(folder, [*_members(folder).items(), (name, b"x")])


def twice(folder: Path) -> Path:
    """Two members of one name: programs differ in which they unpack."""
    members = _members(folder)
    path = folder / "bundle.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
        with archive.open(zipfile.ZipInfo("Model.onnx"), "w") as file:
            file.write(members[MODEL])
    path.write_bytes(path.read_bytes().replace(b"Model.onnx", b"model.onnx"))
    return path


def link_member(folder: Path) -> Path:
    members = _members(folder)
    link = zipfile.ZipInfo(MODEL)
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return _zip(folder, [(MANIFEST, members[MANIFEST]), (link, b"/etc/passwd")])


def packed(method: int) -> Attack:
    return lambda folder: _zip(folder, list(_members(folder).items()), method)


def locked(folder: Path) -> Path:
    """Members that say they are encrypted."""
    path = _zip(folder, list(_members(folder).items()), zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        place = data.find(mark)
        while place >= 0:
            data[place + offset] |= 1
            place = data.find(mark, place + 4)
    path.write_bytes(bytes(data))
    return path


def bomb(folder: Path) -> Path:
    """256 MB of zeros, stated rightly, in 256 KB."""
    members, zeros = _members(folder), bytes(1 << 28)
    members[MANIFEST] = _with_entry(members, MODEL, zeros)
    return _zip(folder, [(MANIFEST, members[MANIFEST]), (MODEL, zeros)])


def crowd(folder: Path) -> Path:
    return _zip(folder, [*_members(folder).items(), *((f"f{i}.txt", b"") for i in range(1200))])


def linked(folder: Path) -> Path:
    """A folder whose graph is a link to a file outside."""
    path = _folder(folder, _members(folder))
    (path / MODEL).rename(folder / "outside.onnx")
    (path / MODEL).symlink_to(folder / "outside.onnx")
    return path


def linked_folder(folder: Path) -> Path:
    members = _members(folder)
    members[MANIFEST] = _with_entry(members, "kernels/a.ptx", b"x")
    path = _folder(folder, members)
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "a.ptx").write_bytes(b"x")
    (path / "kernels").symlink_to(folder / "elsewhere")
    return path


def pipe(folder: Path) -> Path:
    """A graph that is a pipe: reading it would never end."""
    path = _folder(folder, _members(folder))
    (path / MODEL).unlink()
    os.mkfifo(path / MODEL)
    return path


def pickled(folder: Path) -> Path:
    """A pickle in the place of the graph, with its right hash."""
    members = _members(folder)
    members[MODEL] = pickle.dumps(print)
    members[MANIFEST] = _with_entry(members, MODEL, members[MODEL])
    return _folder(folder, members)


def torch_archive(folder: Path) -> Path:
    """PyTorch's own format, a zip with a pickle in it."""
    members, held = _members(folder), io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(print))
    members[MODEL] = held.getvalue()
    members[MANIFEST] = _with_entry(members, MODEL, members[MODEL])
    return _folder(folder, members)


def wrong_hash(folder: Path) -> Path:
    members = _members(folder)
    members[MODEL] = members[MODEL][:-1] + bytes([members[MODEL][-1] ^ 1])
    return _folder(folder, members)


def stated(*where: str, value: Any) -> Attack:
    """A manifest that states something else."""

    def make(folder: Path) -> Path:
        members = _members(folder)
        tree = place = json.loads(members[MANIFEST])
        for key in where[:-1]:
            place = place[key]
        place[where[-1]] = value
        members[MANIFEST] = json.dumps(tree).encode()
        return _folder(folder, members)

    return make


def key_twice(folder: Path) -> Path:
    """σ twice: readers differ in which one they take."""
    members = _members(folder)
    members[MANIFEST] = members[MANIFEST].replace(b'"sigma": 0.12', b'"sigma": 0.01, "sigma": 0.12')
    return _folder(folder, members)


ATTACKS: dict[str, tuple[Attack, str]] = {
    "path upwards": (named("../../secret"), "not a plain relative path"),
    "absolute name": (named("/etc/passwd"), "not a plain relative path"),
    "drive": (named("C:/x"), "not a plain relative path"),
    "backslash": (named("a\\b"), "not a plain relative path"),
    "Windows device": (named("kernels/NUL.ptx"), "Windows takes it for a device"),
    "name that ends in a dot": (named("a./b.txt"), "Windows takes it for a device, or for another name"),
    "control character": (named("a\x00b"), "not a plain relative path"),
    "letters in another form": (named("e\u0301.md"), "form C"),
    "the manifest in itself": (named(MANIFEST), "cannot name itself"),
    "upper and lower case": (named("Model.ONNX"), "differ in upper and lower case"),
    "file and folder of one name": (named("model.onnx/x.txt"), "differ in upper and lower case"),
    "a pickle by name": (named("weights.pkl"), "a program or a pickle by its name"),
    "a program by name": (named("setup.py", zipped=True), "a program or a pickle by its name"),
    "member upwards": (member("../x"), "not a plain relative path"),
    "absolute member": (member("/etc/x"), "not a plain relative path"),
    "member in another case": (member("MODEL.onnx"), "two members"),
    "member twice": (twice, "two members"),
    "member that is a link": (link_member, "is a link: zip the file itself"),
    "bzip2": (packed(zipfile.ZIP_BZIP2), "zip it again"),
    "LZMA": (packed(zipfile.ZIP_LZMA), "zip it again"),
    "encrypted": (locked, "is encrypted"),
    "bomb": (bomb, "made to exhaust memory"),
    "thousands of members": (crowd, "is the most that is opened"),
    "link out of the folder": (linked, "cp -rL"),
    "linked folder": (linked_folder, "cp -rL"),
    "pipe": (pipe, "not a regular file"),
    "a pickle in the graph's place": (pickled, "is a pickle"),
    "PyTorch's archive in the graph's place": (torch_archive, "no ONNX|wire type"),
    "wrong hash": (wrong_hash, "fetch or build it again"),
    "a file of exabytes": (stated("files", MODEL, "bytes", value=1 << 60), "bytes out of range"),
    "key twice": (key_twice, "'sigma' is there twice"),
    "sigma NaN": (stated("input", "sigma", value=float("nan")), "input.sigma out of range"),
    "sigma negative": (stated("input", "sigma", value=-0.12), "input.sigma out of range"),
    "sigma zero": (stated("input", "sigma", value=0), "input.sigma out of range"),
    "sigma huge": (stated("input", "sigma", value=1e300), "input.sigma out of range"),
    "sigma below what can be drawn": (stated("input", "sigma", value=1e-9), "half of one"),
}
