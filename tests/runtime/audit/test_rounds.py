"""Rounds of a benchmark, and the secret that nobody sees before they end."""

from __future__ import annotations

import io
import json
import logging
import pickle
import stat
import sys
import traceback
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest
from PIL import Image

from runtime import Certifier
from runtime.__main__ import main
from runtime.audit.rounds import read_round
from runtime.errors import BiqaError, ParameterError, RecordError
from runtime.noise.keys import noise_source, read_secret
from tests.support.clips import photograph
from tests.support.tiny import tiny_bundle


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    Image.fromarray(photograph()[:40, :60]).save("a.png")
    Image.fromarray(photograph()[:40, 60:120]).save("b.png")
    return tmp_path


def submit(*names: str, secret: str = "secret") -> None:
    for name in names:
        words = ["certify", f"{name}.png", "--model", "model", "--secret-file", secret, "--quiet"]
        assert main([*words, "--alpha", "0.01", "--json", f"{name}.json"]) == 0


def test_a_round(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["commit", "round.json", "--secret-file", "secret"]) == 0
    assert stat.S_IMODE(Path("secret").stat().st_mode) == 0o600
    assert len(read_secret(Path("secret"))) == 32
    commitment = read_round(Path("round.json")).commitment
    assert noise_source(read_secret(Path("secret"))).commits_to(commitment)
    submit("a", "b")
    records = ["a.json", "b.json", "a.png", "b.png", "--model", "model", "--round", "round.json"]
    capsys.readouterr()
    assert main(["audit", *records, "--secret-file", "secret", "--frames", "all", "--json", "found.json"]) == 0
    assert "except with probability at most 0.02 the claims of all 2 submissions" in capsys.readouterr().err
    found = json.loads(Path("found.json").read_text())
    assert found["joint_alpha"] == 0.02
    assert found["secret_sha256"] == commitment
    assert main(["audit", *records]) == 0  # before the secret was opened


def test_submissions_under_another_secret(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["commit", "round.json", "--secret-file", "secret", "--name", "spring"]) == 0
    Path("other").write_bytes(bytes(32))
    submit("a", secret="other")
    submit("b")
    records = ["a.json", "b.json", "--model", "model", "--round", "round.json"]
    assert main(["audit", *records]) == 1
    out, err = capsys.readouterr()
    assert "should be the commitment of the round" in out
    assert "1 honest, 0 stale, 1 forged" in err
    assert main(["audit", *records, "--secret-file", "other"]) == 2
    assert "is not the secret that the round 'spring' was committed to" in capsys.readouterr().err


def test_a_public_seed_is_no_secret_of_a_round(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["commit", "round.json", "--secret-file", "secret"]) == 0
    words = ["certify", "a.png", "--model", "model", "--public-seed", "7", "--quiet", "--json", "a.json"]
    assert main(words) == 0
    assert main(["audit", "a.json", "--model", "model", "--round", "round.json"]) == 1


def test_a_round_has_a_secret_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("secret").write_bytes(bytes(32))
    assert main(["commit", "round.json", "--secret-file", "secret"]) == 2
    assert "exists" in capsys.readouterr().err
    assert Path("secret").read_bytes() == bytes(32)
    assert main(["commit", "nowhere/round.json", "--secret-file", "new"]) == 2
    assert not Path("new").exists()


NO_ROUNDS = ["", "[]", "{}", '{"kind": "biqa round 1"}', "[" * 10_000, '{"a": ' + "1" * 70_000]


@pytest.mark.parametrize("text", NO_ROUNDS, ids=range(len(NO_ROUNDS)))
def test_what_is_no_round(tmp_path: Path, text: str) -> None:
    (tmp_path / "round.json").write_text(text)
    with pytest.raises(RecordError, match="is not a round"):
        read_round(tmp_path / "round.json")
    with pytest.raises(RecordError, match="not a regular file"):
        read_round(tmp_path)


SECRET = b"a secret of a round: 0123456789abcdef"


def forms() -> Iterator[str]:
    """How a secret could be told: as text, hex of either case, base64, or the repr of its bytes."""
    import base64

    yield from (SECRET.decode(), SECRET.hex(), SECRET.hex().upper(), base64.b64encode(SECRET).decode())
    yield from (repr(SECRET)[2:-1], str(list(SECRET))[1:-1])


def test_the_secret_is_never_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Every output, log, file, message, traceback and repr of commands that have the secret, good ends and bad."""
    caplog.set_level(logging.DEBUG)
    Path("secret").write_bytes(SECRET)
    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(out):
        with_secret = ["--model", "model", "--secret-file", "secret"]
        for words in (
            ["certify", "a.png", "b.png", "--json", "a.json", "--csv", "a.csv", *with_secret],
            ["certify", "a.png", "--ndjson", *with_secret],
            ["gate", "a.png", "--at-least", "1", "--json", "g.json", *with_secret],
            ["compare", "a.png", "b.png", "--json", "c.json", *with_secret],
            ["replay", "a.json", "a.png", "b.png", *with_secret],
            ["audit", "a.json", "a.png", "b.png", "--frames", "all", "--json", "found.json", *with_secret],
            ["audit", "a.json", "b.png", "a.png", "--frames", "all", *with_secret],
            ["explain", "a.json"],
            ["certify", "nothing.png", *with_secret],
            ["certify", "a.png", "--samples", "0", *with_secret],
            ["certify", "secret", *with_secret],
            ["audit", "secret", *with_secret],
            ["replay", "secret", "a.png", *with_secret],
        ):
            main(words)
        source = noise_source(SECRET)
        print(repr(source), str(source), f"{source}", [source], source.kind, source.commitment)
        with Certifier("model", secret=SECRET, samples=24) as certifier:
            certificate = certifier.certify(photograph()[:40, :60])
            print(repr(certifier), repr(certificate), certificate.to_dict(), repr(certifier._noisy))
            for thing in (certifier, source):
                with pytest.raises(ParameterError):
                    pickle.dumps(thing)
            kept = pickle.dumps(certificate)
            try:
                certifier.certify(photograph()[0])
            except BiqaError:
                traceback.print_exc()
                print("".join(traceback.TracebackException(*sys.exc_info(), capture_locals=True).format()))  # type: ignore[arg-type]
        for wrong in (SECRET[:4], SECRET + bytes(5000), SECRET.decode()):
            with suppress(BiqaError):
                print(noise_source(wrong))  # type: ignore[arg-type]
    told = out.getvalue() + caplog.text
    written = [path for path in folder.rglob("*") if path.is_file() and path.name != "secret"]
    assert len(written) > 6
    for form in forms():
        assert form not in told
        assert form.encode() not in kept
        for path in written:
            assert form.encode() not in path.read_bytes(), path
    assert SECRET not in kept


def test_commitments_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    import hmac

    called: list[bytes] = []
    same = hmac.compare_digest
    monkeypatch.setattr("runtime.noise.keys.hmac.compare_digest", lambda a, b: called.append(a) or same(a, b))
    source = noise_source(SECRET)
    assert source.commitment is not None
    assert source.commits_to(source.commitment)
    assert not source.commits_to("0" * 64)
    assert not source.commits_to("é")
    assert not noise_source(None, 7).commits_to(source.commitment)
    assert len(called) == 3
