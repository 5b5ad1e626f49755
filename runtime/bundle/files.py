"""Bytes of one file out of a directory or a ``.zip`` that anyone may have made.

What is read is a regular file, inside the bundle, reached through no link, once in the archive, stored or deflated
without a password, and no more bytes than asked for. Nothing is ever unpacked to disk.
"""

from __future__ import annotations

import stat
import zipfile
from pathlib import Path, PurePosixPath

from ..errors import BundleError
from .names import MOST_FILES, clashing, why_not

LARGEST_RATIO = 200
"""Inflated over deflated bytes of a member above ``_SMALL``; weights do not reach 2."""

_SMALL = 1 << 20

_PICKLES = tuple(bytes([0x80, protocol]) for protocol in range(2, 6))


def read_file(bundle: Path, name: str, limit: int) -> bytes:
    """At most ``limit`` + 1 bytes of a file, so that a false size cannot exhaust memory. Raises BundleError."""
    try:
        data = _from_folder(bundle, name, limit) if bundle.is_dir() else _from_zip(bundle, name, limit)
    except (KeyError, FileNotFoundError, NotADirectoryError):
        raise BundleError(f"{bundle} has no {name}: it is not a bundle, or only a part of one") from None
    except zipfile.BadZipFile as error:
        raise BundleError(f"{bundle} cannot be read as a bundle, which is a directory or a .zip: {error}") from None
    except BundleError:
        raise
    except Exception as error:  # a damaged zip raises what its decompressor does: zlib.error, EOFError, LZMAError …
        raise BundleError(f"{bundle}: {name} cannot be read: {error}") from None
    if data.startswith(_PICKLES):
        raise BundleError(f"{bundle}: {name} is a pickle, which runs code when it is opened: nothing here opens one")
    return data


def _from_folder(bundle: Path, name: str, limit: int) -> bytes:
    place = bundle
    for part in PurePosixPath(name).parts:
        place = place / part
        if place.is_symlink():
            raise BundleError(
                f"{bundle}: {name} is reached through the link {place}: a bundle holds its files itself; copy it with "
                "`cp -rL`"
            )
    if place.exists() and not place.is_file():
        raise BundleError(f"{bundle}: {name} is not a regular file, so it has no end: fetch the bundle again")
    with place.open("rb") as file:
        return file.read(limit + 1)


def _from_zip(bundle: Path, name: str, limit: int) -> bytes:
    with zipfile.ZipFile(bundle) as archive:
        _check_members(bundle, archive.infolist())
        member = archive.getinfo(name)
        if member.file_size > max(_SMALL, LARGEST_RATIO * member.compress_size):
            raise BundleError(
                f"{bundle}: {name} would inflate {member.compress_size} bytes to {member.file_size}: no graph does, "
                "it is made to exhaust memory; fetch or build the bundle again"
            )
        with archive.open(member) as file:
            return file.read(limit + 1)


def _check_members(bundle: Path, members: list[zipfile.ZipInfo]) -> None:
    """Raise BundleError for an archive that two programs could unpack differently, or outside its folder."""
    if len(members) > MOST_FILES + 1:
        raise BundleError(f"{bundle} has {len(members)} members, and {MOST_FILES} is the most that is opened")
    files = [member for member in members if not member.is_dir()]
    for member in members:
        if (why := why_not(member.filename.removesuffix("/"))) is not None or member.filename != member.orig_filename:
            raise BundleError(f"{bundle}: the member {member.orig_filename!r} {why or 'has two names'}")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise BundleError(f"{bundle}: the member {member.filename} is a link: zip the file itself")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BundleError(
                f"{bundle}: the member {member.filename} is encrypted, or packed in a way other than deflate: "
                "zip it again with `zip -r`"
            )
    if (name := clashing(member.filename for member in files)) is not None:
        raise BundleError(f"{bundle} has two members {name} (upper and lower case are one): which is meant is unclear")
