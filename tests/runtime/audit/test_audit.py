"""``audit``: every number of a record is looked at, and what nothing depends on is named here."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import runtime.audit.record
from runtime.__main__ import main
from runtime.audit.record import Audit, Means, audit_record
from runtime.bundle.store import open_bundle
from runtime.errors import RecordError
from runtime.files.file_frames import FileFrames
from runtime.noise.keys import noise_source
from runtime.samplers.onnx import OnnxSampler
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tile_bundle, tiny_bundle

SECRET = bytes(range(32))
RUNS = {
    "certify": ["certify", "picture.png", "clip.mp4", "--model", "model", "--samples", "64"],
    "tolerance": ["certify", "picture.png", "--model", "model", "--tolerance", "1", "--scope", "reported"],
    "gate": ["gate", "clip.mp4", "--at-least", "25.9", "--model", "model"],
    "compare": ["compare", "clip.mp4", "picture.png", "--model", "model", "--scope", "reported"],
    "tiles": ["certify", "clip.mp4", "--model", "tiles", "--samples", "64", "--levels", "0.5"],
    "stopped tiles": ["gate", "picture.png", "--at-least", "1", "--model", "tiles", "--epsilon", "0.05"],
}
FREE = {"fps", "batch"}
"""Numbers that nothing depends on: how fast it was, and how many copies the engine took at a time.

Nor on ``subsample`` where a file has one frame, which is its first whatever that is.
"""
SCORES_ALONE = {"failed_samples", "multipliers", "lower", "upper", "tolerance", "score"}
"""Numbers that rest on the scores alone: without the engine some of them pass (see docs/trust.md)."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record of every command, and what it was made of."""
    made = tmp_path_factory.mktemp("audit")
    tiny_bundle(made / "model")
    tile_bundle(made / "tiles", tile=8)
    Image.fromarray(photograph()[:40, :60]).save(made / "picture.png")
    write_clip(made / "clip.mp4", frames=3, width=32, height=32)
    (made / "secret").write_bytes(SECRET)
    for name, words in RUNS.items():
        given = [str(made / word) if (made / word).exists() else word for word in words]
        more = ["--secret-file", str(made / "secret"), "--quiet", "--json", str(made / f"{name}.json")]
        assert main([*given, *more]) in (0, 1, 3)  # 1: "fail", or "b"
    return made


class Decoded(list[Any]):
    """The frames of a file, decoded once for all tests."""

    def __init__(self, path: Path, **options: Any) -> None:
        frames = FileFrames(path, **options)
        super().__init__(frames)
        self.numbers, self.reading, self._path = frames.numbers, frames.reading, path


@cache
def decoded(path: Path, **options: Any) -> Decoded:
    return Decoded(path, **options)


@pytest.fixture
def audit(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """audit(name, log, engine): what is found of this log. Scores are drawn once for all tests of a record."""
    opened: dict[str, OnnxSampler] = {}
    drawn: dict[tuple[Any, ...], Any] = {}
    draw = runtime.audit.record._draw

    def draw_once(sampler: Any, means: Any, shared: Any, own: Any, frames: Any) -> Any:
        key = (shared["samples"], frames._path, *(frame["drawn"] for frame in own))
        if key not in drawn:
            drawn[key] = list(draw(sampler, means, shared, own, frames))
        return drawn[key]

    monkeypatch.setattr(runtime.audit.record, "_draw", draw_once)
    monkeypatch.setattr(runtime.audit.record, "FileFrames", decoded)

    def run(name: str, log: Any, *, engine: bool = False) -> Audit:
        words = RUNS[name]
        model = words[words.index("--model") + 1]
        files = [folder / word for word in words if word.endswith((".png", ".mp4"))]
        if engine and not opened:
            opened["fp32"] = OnnxSampler(open_bundle(folder / model), threads=1)
        sampler: Callable[[str], Any] | None = opened.__getitem__ if engine else None
        means = Means(
            open_bundle(folder / model), noise_source(SECRET), None, sampler, lambda count: frozenset(range(count))
        )
        (tmp_path / "log.json").write_text(json.dumps(log))
        return audit_record(tmp_path / "log.json", files, means)

    yield run
    for sampler in opened.values():
        sampler.close()


def numbers(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Places of all numbers."""
    if isinstance(tree, dict):
        return [leaf for key, value in tree.items() for leaf in numbers(value, (*path, key))]
    if isinstance(tree, list):
        return [leaf for index, value in enumerate(tree) for leaf in numbers(value, (*path, index))]
    return [path] if isinstance(tree, (int, float)) and not isinstance(tree, bool) else []


def altered(log: Any, path: tuple[Any, ...], change: Callable[[Any], Any]) -> Any:
    made = copy.deepcopy(log)
    place = made
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change(place[path[-1]])
    return made


def slightly(value: float) -> float:
    return value + 1 if isinstance(value, int) else math.nextafter(value * (1 + 1e-9), math.inf)


def passes(audit: Any, name: str, log: Any, path: tuple[Any, ...], change: Any, *, engine: bool) -> bool:
    try:
        return bool(audit(name, altered(log, path, change), engine=engine).verdict != "forged")
    except RecordError:
        return False


def unseen_but_free(folder: Path, audit: Any, name: str, every: int) -> None:
    """Each number of an honest record in turn, by 1 or by a billionth: without the engine some that rest on scores
    alone pass, with it the free ones alone. ``every``: both changes where 1, else one, of every such place."""
    log = json.loads((folder / f"{name}.json").read_text())
    assert audit(name, log).verdict == "honest"
    assert audit(name, log, engine=True).verdict == "honest"
    places = numbers(log)
    assert len(places) > 40
    free = FREE if "clip.mp4" in RUNS[name] and name == "gate" else FREE | {"subsample"}
    changes = (lambda value: value + 1, slightly)
    passed: dict[tuple[Any, ...], Any] = {}
    for index, path in enumerate(places[::every]):
        for change in changes if every == 1 else changes[index % 2 :][:1]:
            if not {*path} & free and passes(audit, name, log, path, change, engine=False):
                passed[path] = change
                assert {*path} & SCORES_ALONE, path
    for path, change in passed.items():
        if "tolerance" not in path:  # another one would have stopped at the same look
            assert not passes(audit, name, log, path, change, engine=True), path


@pytest.mark.parametrize("name", RUNS)
def test_numbers_cannot_be_altered_unseen(folder: Path, audit: Any, name: str) -> None:
    """Some of them; all in the long form below."""
    unseen_but_free(folder, audit, name, {"tolerance": 1, "compare": 8}.get(name, 4))


@pytest.mark.long
@pytest.mark.parametrize("name", RUNS)
def test_no_number_can_be_altered_unseen(folder: Path, audit: Any, name: str) -> None:
    unseen_but_free(folder, audit, name, 1)


@pytest.mark.parametrize("name", RUNS)
def test_words_and_hashes_too(folder: Path, audit: Any, name: str) -> None:
    log = json.loads((folder / f"{name}.json").read_text())
    shared, own = ("inputs", 0, "certificate"), ("frames", 0, "certificate")
    for path in (
        *((*shared, key) for key in ("claim", "model", "secret_sha256", "noise", "scope")),
        *((*own, key) for key in ("frame_sha256", "lattice_sha256")),
        ("inputs", 0, "joint_claim"),
    ):
        assert not passes(audit, name, log, path, lambda value: "0" + value[1:] + "x", engine=False), path
    hashed = altered(log, (*own, "scores_sha256"), lambda _: "0" * 64)
    assert audit(name, hashed).verdict == "honest"
    assert audit(name, hashed, engine=True).verdict == "stale"  # score and ends are right: a processor's, perhaps
    ends = [path for path in numbers(hashed) if path[-1] in ("upper", "tiny_cert_hi")]
    for path in ends:
        assert not passes(audit, name, hashed, path, lambda value: value - 0.1, engine=True), path
    extra = copy.deepcopy(log)
    extra["frames"][0]["certificate"]["note"] = 1
    assert audit(name, extra).verdict == "forged"
    lacking = copy.deepcopy(log)
    del lacking["frames"][0]["certificate"]["abstained"]
    assert audit(name, lacking).verdict == "forged"


def test_a_consistent_forgery_takes_the_engine(folder: Path, audit: Any) -> None:
    """Score and interval moved together, in all places: no contradiction, but not what the scores say."""
    log = json.loads((folder / "tolerance.json").read_text())
    frame, entry = log["frames"][0], log["inputs"][0]
    for key, metric in (("score", "tiny"), ("lower", "tiny_cert_lo"), ("upper", "tiny_cert_hi")):
        frame["certificate"][key] += 1
        frame["metrics"][metric] += 1
        for rows in (entry["pooled_metrics"], log["pooled_metrics"]):
            rows[metric] = dict.fromkeys(("min", "max", "mean", "harmonic_mean"), frame["certificate"][key])
    found = audit("tolerance", log, engine=True)
    assert found.verdict == "forged"
    assert "frames[0].certificate.upper" in {finding.place for finding in found.findings}


def test_sigma_is_the_bundles(folder: Path, audit: Any) -> None:
    """A record that is in order by itself but claims more noise than the graph was built for."""
    log = json.loads((folder / "tolerance.json").read_text())
    log["inputs"][0]["certificate"]["sigma"] = 0.13
    found = audit("tolerance", log)
    assert "inputs[0].certificate.sigma" in {finding.place for finding in found.findings}


def test_stale(folder: Path, audit: Any, tmp_path: Path) -> None:
    log = json.loads((folder / "certify.json").read_text())
    older = {**log, "version": "0.0.1"}
    assert audit("certify", older).verdict == "stale"
    other = tmp_path / "other"
    tiny_bundle(other, extra="sixteen")
    found = audit_record(folder / "certify.json", [], Means(open_bundle(other)))
    assert found.verdict == "stale"
    assert "another bundle" in found.stale[0]


def test_another_processor_is_stale_and_another_score_forged(
    folder: Path, audit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = json.loads((folder / "certify.json").read_text())
    draw = runtime.audit.record._draw
    for moved, verdict in ((1e-5, "stale"), (0.5, "forged")):

        def nearly(*arguments: Any, moved: float = moved) -> Any:
            return [(place, scores + scores.dtype.type(moved)) for place, scores in draw(*arguments)]

        monkeypatch.setattr(runtime.audit.record, "_draw", nearly)
        assert audit("certify", log, engine=True).verdict == verdict


def test_the_command(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, files = str(folder / "certify.json"), [str(folder / "picture.png"), str(folder / "clip.mp4")]
    options = ["--model", str(folder / "model"), "--secret-file", str(folder / "secret")]
    assert main(["audit", record, *files, *options, "--frames", "2", "--json", str(tmp_path / "out.json")]) == 0
    out, err = capsys.readouterr()
    assert "honest" in out
    assert err == "1 honest, 0 stale, 0 forged\n"
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["verdict"] == "honest"
    assert len(report["records"][0]["scored"]) == 3
    log = json.loads((folder / "certify.json").read_text())
    log["frames"][2]["certificate"]["upper"] -= 0.01
    (tmp_path / "forged.json").write_text(json.dumps(log))
    assert main(["audit", record, str(tmp_path / "forged.json"), "--model", str(folder / "model")]) == 1
    assert "1 honest, 0 stale, 1 forged" in capsys.readouterr().err
    log["version"] = "0"
    (tmp_path / "old.json").write_text(json.dumps(log))
    assert main(["audit", str(tmp_path / "old.json"), "--model", str(folder / "model")]) == 3
    for words in (
        [files[0]],
        [record, files[0]],
        [record, *files, "--frames", "-1"],
        [record, *files, "--secret-file", record],
    ):
        capsys.readouterr()
        assert main(["audit", *words, "--model", str(folder / "model")]) == 2
        assert capsys.readouterr().err.count("\n") == 1


HOSTILE: dict[str, Callable[[str], str]] = {
    "NaN": lambda text: text.replace('"fps": ', '"fps": NaN, "x": '),
    "an infinite number": lambda text: text.replace('"sigma": 0.12', '"sigma": 1e999'),
    "a key twice": lambda text: text.replace('"fps"', '"version": "0", "fps"', 1),
    "a huge number": lambda text: text.replace('"samples": 64', '"samples": 1' + "0" * 400),
    "a long wait": lambda text: text.replace('"samples": 64', '"samples": 999999999'),
    "a huge sigma": lambda text: text.replace('"sigma": 0.12', '"sigma": 1e6'),
    "a huge frame": lambda text: text.replace('"height": 40', '"height": 2147483646'),
    "no alpha": lambda text: text.replace('"joint_alpha": 0.003', '"joint_alpha": null'),
    "deep": lambda text: text.replace('"fps"', '"deep": ' + "[" * 900 + "]" * 900 + ', "fps"', 1),
    "cut": lambda text: text[: len(text) // 2],
    "true for a score": lambda text: text.replace('"failed_samples": 0', '"failed_samples": false', 1),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_records(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (folder / "certify.json").read_text()
    assert HOSTILE[name](text) != text
    (tmp_path / "log.json").write_text(HOSTILE[name](text))
    assert main(["audit", str(tmp_path / "log.json"), "--model", str(folder / "tiles")]) in (1, 2)
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert main(["audit", str(tmp_path / "log.json"), "--model", str(folder / "model")]) in (1, 2)
    assert "Traceback" not in capsys.readouterr().err


def test_a_large_record_is_refused_unread(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.results.log.MOST_BYTES", 100)
    with pytest.raises(RecordError, match="larger than 100 bytes"):
        audit_record(folder / "certify.json", [], Means(open_bundle(folder / "model")))
