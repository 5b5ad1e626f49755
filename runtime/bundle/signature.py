"""Who made a bundle: an Ed25519 signature of its manifest, which names the SHA-256 of every file.

    signature.json    {"algorithm": "ed25519", "public_key": 64 hex digits, "signature": 128 hex digits}
    signed bytes      "stochastic-biqa bundle 1\\n" ‖ SHA-256 of manifest.json, byte for byte as it lies in the bundle

A key that signs is a PEM file (PKCS #8), which OpenSSL reads as well; a key that is trusted is 64 hex digits, or a file
that holds them. A signature says who made a bundle, not that it is good. Takes ``cryptography``, an extra.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..atomic import whole_file
from ..errors import BundleError, DependencyError, ParameterError
from ..install import pip_install
from .files import read_file
from .manifest import MANIFEST, SIGNATURE

ALGORITHM = "ed25519"
_DOMAIN = b"stochastic-biqa bundle 1\n"
_LIMIT = 4096
_HEX = re.compile("[0-9a-fA-F]{64}")


def trusted(keys: Sequence[str | os.PathLike[str]]) -> list[str]:
    """The keys as hex digits, read from their files where they are paths. Raises ParameterError."""
    if isinstance(keys, str) or not keys:
        raise ParameterError("trusted_keys is a list of public keys: 64 hex digits each, or a file of them")
    return [_public(key) for key in keys]


def _public(key: str | os.PathLike[str]) -> str:
    text = os.fspath(key)
    if not _HEX.fullmatch(text):
        try:
            text = Path(key).read_bytes()[:_LIMIT].decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ParameterError(f"the trusted key {os.fspath(key)} cannot be read: {error}") from None
    if not _HEX.fullmatch(text):
        raise ParameterError(
            f"the trusted key {os.fspath(key)} is not 64 hex digits, nor a file of them: `biqa sign --new-key KEY` "
            "writes such a file as KEY.pub"
        )
    return text.lower()


def check_signature(bundle: Path, manifest: bytes, keys: Sequence[str]) -> None:
    """Raise BundleError unless one of ``keys`` signed these bytes of a bundle's manifest."""
    ed25519 = _ed25519()
    if not _is_signed(bundle):
        raise BundleError(
            f"{bundle} is not signed, and only bundles signed by a trusted key are taken: sign it with "
            f"`biqa sign {bundle} --key KEY`"
        )
    public, signature = _parse(bundle, read_file(bundle, SIGNATURE, _LIMIT))
    if public not in keys:
        raise BundleError(f"{bundle} is signed by {public}, which is no trusted key: fetch it from whom you trust")
    try:
        ed25519.Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(signature, _message(manifest))
    except Exception:  # InvalidSignature, or a key that is no point of the curve
        raise BundleError(
            f"{bundle}: the signature does not fit the manifest: the bundle was changed after it was signed; "
            "fetch it again"
        ) from None


def _is_signed(bundle: Path) -> bool:
    if bundle.is_dir():
        return (bundle / SIGNATURE).exists()
    with zipfile.ZipFile(bundle) as archive:
        return SIGNATURE in archive.namelist()


def _parse(bundle: Path, data: bytes) -> tuple[str, bytes]:
    try:
        tree = json.loads(data)
        right = tree["algorithm"] == ALGORITHM and set(tree) == {"algorithm", "public_key", "signature"}
        if right and _HEX.fullmatch(tree["public_key"]):
            return tree["public_key"].lower(), bytes.fromhex(tree["signature"])
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise BundleError(f"{bundle}: {SIGNATURE} is no signature of ours: sign the bundle again with `biqa sign`")


def sign_bundle(bundle: Path, key: Path) -> str:
    """Sign a bundle in place; the public key. Raises BundleError for a damaged one, ParameterError for a bad key."""
    from .store import MANIFEST_LIMIT, open_bundle

    opened = open_bundle(bundle)
    opened.verify()
    private = _private(key)
    manifest = read_file(opened.path, MANIFEST, MANIFEST_LIMIT)
    public: str = private.public_key().public_bytes_raw().hex()
    tree = {"algorithm": ALGORITHM, "public_key": public, "signature": private.sign(_message(manifest)).hex()}
    data = (json.dumps(tree, indent=2) + "\n").encode()
    try:
        if opened.path.is_dir():
            with whole_file(opened.path / SIGNATURE) as file:
                file.write(data)
        else:
            members = {MANIFEST: manifest, SIGNATURE: data}
            members |= {name: opened.read(name) for name in opened.manifest.files}
            with whole_file(opened.path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
                for name, held in members.items():
                    archive.writestr(zipfile.ZipInfo(name), held, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise BundleError(
            f"{opened.path} cannot be written: {error.strerror}: copy it to a place of your own"
        ) from None
    return public


def new_key(path: Path) -> str:
    """Make a key: ``path`` for its owner's eyes alone, ``path``.pub to hand out. The public key.

    Raises ParameterError where a file is there already: a key is never overwritten.
    """
    private = _ed25519().Ed25519PrivateKey.generate()
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    public: str = private.public_key().public_bytes_raw().hex()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        with Path(f"{path}.pub").open("x") as text:
            text.write(public + "\n")
    except OSError as error:
        raise ParameterError(f"the key {path} cannot be made: {error.strerror}: choose another place") from None
    return public


def _private(path: Path) -> Any:
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise ParameterError(f"the key {path} cannot be read: {error.strerror}") from None
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise ParameterError(f"{path} is no Ed25519 key in PEM: make one with `biqa sign --new-key {path}.new`")
    return key


def _message(manifest: bytes) -> bytes:
    return _DOMAIN + hashlib.sha256(manifest).digest()


def _ed25519() -> Any:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise DependencyError(f"signatures take cryptography, which is not installed: {pip_install('sign')}") from None
    return ed25519
