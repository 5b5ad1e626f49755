"""``explain``: what it says is in the record, rounded so that it is still true."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from PIL import Image

from runtime.__main__ import main
from runtime.results.explain import _distance
from tests.support.clips import photograph, write_clip
from tests.support.tiny import tile_bundle, tiny_bundle


@pytest.fixture
def explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):  # type: ignore[no-untyped-def]
    """explained(words): what explain says of the log of this command."""
    monkeypatch.chdir(tmp_path)
    tiny_bundle(tmp_path / "model")
    tile_bundle(tmp_path / "tiles", tile=8)
    Image.fromarray(photograph()[:40, :60]).save("a.png")
    Image.fromarray(photograph()[:40, :60] // 2).save("b.png")
    write_clip(tmp_path / "clip.mp4", frames=3)

    def run(*words: str) -> str:
        assert main([*words, "--public-seed", "7", "--quiet", "--json", "log.json"]) in (0, 1, 3)
        capsys.readouterr()
        assert main(["explain", "log.json"]) == 0
        return capsys.readouterr().out

    return run


def test_a_frame(explained) -> None:  # type: ignore[no-untyped-def]
    text = explained("certify", "a.png", "--model", "model", "--samples", "64")
    own = json.loads(Path("log.json").read_text())["frames"][0]["certificate"]
    lower, upper = map(float, re.findall(r"certified to lie between (\S+) and (\S+)\.\n", text)[0])
    assert lower <= own["lower"] < lower + 0.011
    assert upper - 0.011 < own["upper"] <= upper
    assert "650 colour values changed by one grey level of 255: 9.03% of the frame;" in text
    assert "a square of 14×14 pixels" in text
    assert "wrong with probability 0.001, once in 1,000 times, at most" in text
    assert "public seed" in text
    assert "A crop, a shift, another size or a new encode is far larger." in text


def test_a_clip(explained) -> None:  # type: ignore[no-untyped-def]
    text = explained("certify", "clip.mp4", "--model", "model")
    assert "The mean of the scores is" in text
    assert "sampling errors cancel" in text
    assert "in each frame" in text
    assert "every clip" in text


@pytest.mark.parametrize(
    ("at_least", "said"),
    [("1", "Passed: the score is certified to be 1 or more."), ("99", "Failed: "), ("35", "Undecided")],
)
def test_a_gate(explained, at_least: str, said: str) -> None:  # type: ignore[no-untyped-def]
    assert said in explained("gate", "a.png", "--at-least", at_least, "--model", "model")


def test_a_comparison(explained) -> None:  # type: ignore[no-untyped-def]
    assert "a.png scores higher than b.png" in explained("compare", "a.png", "b.png", "--model", "model")
    assert "a.png scores higher than b.png" in explained("compare", "b.png", "a.png", "--model", "model")
    assert "Undecided: their certified intervals overlap" in explained("compare", "a.png", "a.png", "--model", "model")


def test_tiles(explained) -> None:  # type: ignore[no-untyped-def]
    text = explained("certify", "a.png", "--model", "tiles", "--levels", "2", "--patch", "6x4", "--samples", "120")
    assert "Anything at all in one upright rectangle of 6×4 pixels, 1.00% of the frame." in text
    assert "Every colour value of every pixel everywhere else may have changed by 2 grey levels of 255" in text
    assert "Its lowest tile is at rows" in text


def test_nothing_certified(tmp_path: Path, explained) -> None:  # type: ignore[no-untyped-def]
    """A record that abstained, as a caller of Python gets one."""
    import runtime
    from runtime.results.log import InputLog, build_log, to_json

    with runtime.Certifier("model", samples=8, public_seed=1) as certifier:
        certificate = certifier.certify(photograph()[:40, :60])
    log = InputLog("a.png", 1, certificate.alpha, [(0, certificate)])
    Path("log.json").write_text(to_json(build_log([log], 1)))
    from runtime.results.explain import explain, in_text

    assert "nothing is certified of it: n=8 cannot bound" in in_text(explain(json.loads(Path("log.json").read_text())))


def test_a_contradiction_is_not_explained(explained, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    explained("certify", "a.png", "--model", "model")
    log = json.loads(Path("log.json").read_text())
    for lower in (99.0, log["frames"][0]["certificate"]["lower"] + 0.01):
        log["frames"][0]["certificate"]["lower"] = lower
        Path("log.json").write_text(json.dumps(log))
        assert main(["explain", "log.json"]) == 2
        assert "contradicts itself" in capsys.readouterr().err


def test_sizes_are_rounded_down() -> None:
    assert "not even one colour value" in list(_distance(0.003, 255, 3000))[1]
    assert list(_distance(0.0, 255, 3000))[1] == "no change at all."
    for epsilon in (0.0999, 0.1, 1.0, 70.0):
        lines = list(_distance(epsilon, 255, 3 * 64 * 64))
        count = int(re.findall(r"([\d,]+) colour values", lines[1])[0].replace(",", ""))
        assert count**0.5 / 255 <= epsilon + 1e-12
        one, every = (float(re.findall(r"changed by (\S+) grey", line)[0]) for line in lines[-2:])
        assert one / 255 <= epsilon + 1e-12
        assert every * (3 * 64 * 64) ** 0.5 / 255 <= epsilon + 1e-12
