"""Signed bundles, and those that are not, or by whom nobody trusts."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from runtime import BundleError, Certifier, ParameterError, open_bundle
from runtime.__main__ import main
from runtime.bundle.manifest import MANIFEST, SIGNATURE
from runtime.bundle.signature import new_key, sign_bundle
from tests.support.tiny import tiny_bundle

pytest.importorskip("cryptography")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "my.key")
    return tmp_path / "my.key"


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
def test_what_a_trusted_key_signed_opens(name: str, tmp_path: Path, key: Path) -> None:
    bundle = tiny_bundle(tmp_path / name).path
    public = sign_bundle(bundle, key)
    for trusted in (public, public.upper(), f"{key}.pub", Path(f"{key}.pub")):
        with Certifier(bundle, trusted_keys=["0" * 64, trusted]) as certifier:
            assert certifier.sampler.name == "tiny"
    assert sign_bundle(bundle, key) == public  # again
    open_bundle(bundle, trusted_keys=[public]).verify()


def test_what_nobody_signed_is_refused(tmp_path: Path, key: Path) -> None:
    for name in ("bundle", "bundle.zip"):
        bundle = tiny_bundle(tmp_path / name).path
        with pytest.raises(BundleError, match=r"is not signed, .*: sign it with `biqa sign .* --key KEY`"):
            Certifier(bundle, trusted_keys=[f"{key}.pub"])
    with pytest.raises(BundleError, match="is not signed"):
        Certifier(trusted_keys=[f"{key}.pub"])


def test_what_another_signed_is_refused(tmp_path: Path, key: Path) -> None:
    other = tmp_path / "other.key"
    new_key(other)
    bundle = tiny_bundle(tmp_path / "bundle").path
    sign_bundle(bundle, other)
    with pytest.raises(BundleError, match="no trusted key: fetch it from whom you trust"):
        Certifier(bundle, trusted_keys=[f"{key}.pub"])


def test_a_signature_is_of_one_manifest(tmp_path: Path, key: Path) -> None:
    """Of each byte of it; that of another bundle does not fit either."""
    bundle, other = tiny_bundle(tmp_path / "bundle").path, tiny_bundle(tmp_path / "other", samples=102).path
    public = sign_bundle(bundle, key)
    shutil.copy(bundle / SIGNATURE, other)
    with pytest.raises(BundleError, match="changed after it was signed; fetch it again"):
        open_bundle(other, trusted_keys=[public])
    text = (bundle / MANIFEST).read_text()
    (bundle / MANIFEST).write_text(text.replace("0.12", "0.11"))
    open_bundle(bundle)
    with pytest.raises(BundleError, match="changed after it was signed"):
        open_bundle(bundle, trusted_keys=[public])


def test_a_false_public_key_does_not_help(tmp_path: Path, key: Path) -> None:
    """The key that is trusted, put beside the signature of another."""
    other = tmp_path / "other.key"
    new_key(other)
    bundle, public = tiny_bundle(tmp_path / "bundle").path, Path(f"{key}.pub").read_text().strip()
    sign_bundle(bundle, other)
    tree = json.loads((bundle / SIGNATURE).read_text())
    (bundle / SIGNATURE).write_text(json.dumps({**tree, "public_key": public}))
    with pytest.raises(BundleError, match="changed after it was signed"):
        open_bundle(bundle, trusted_keys=[public])


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "[" * 4000, '{"algorithm": "none", "public_key": "", "signature": ""}']
)
def test_what_is_no_signature_is_refused(text: str, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle").path
    (bundle / SIGNATURE).write_text(text)
    with pytest.raises(BundleError, match="is no signature of ours"):
        open_bundle(bundle, trusted_keys=["0" * 64])


def test_keys(tmp_path: Path, key: Path) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(ParameterError, match="cannot be made: File exists"):
        new_key(key)
    bundle = tiny_bundle(tmp_path / "bundle").path
    with pytest.raises(ParameterError, match="is no Ed25519 key in PEM"):
        sign_bundle(bundle, Path(f"{key}.pub"))
    for wrong, message in (([], "a list of public keys"), ([key], "not 64 hex digits"), (["gone"], "cannot be read")):
        with pytest.raises(ParameterError, match=message):
            open_bundle(bundle, trusted_keys=wrong)


def test_a_damaged_bundle_is_not_signed(tmp_path: Path, key: Path) -> None:
    bundle = tiny_bundle(tmp_path / "bundle").path
    (bundle / "model.onnx").write_bytes(b"")
    with pytest.raises(BundleError, match="altered"):
        sign_bundle(bundle, key)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle, key = tiny_bundle(tmp_path / "bundle").path, tmp_path / "my.key"
    assert main(["sign", "--new-key", str(key)]) == 0
    assert main(["sign", str(bundle), "--key", str(key)]) == 0
    first, second = capsys.readouterr().out.split()
    assert first == second == Path(f"{key}.pub").read_text().strip()
    assert main(["sign", str(bundle)]) == 2
    assert "biqa sign BUNDLE --key KEY" in capsys.readouterr().err
