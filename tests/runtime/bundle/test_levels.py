"""A family's levels: which one is taken, what the record says, and that nothing else is ever taken."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import BundleError, Certifier, ParameterError
from runtime.__main__ import main
from runtime.bounds.ranks import scope_ranks
from runtime.bundle.levels import choose, expected_width
from runtime.bundle.manifest import MODEL, Measured
from runtime.bundle.store import Bundle, open_bundle
from tests.support.tiny import SINGLE_BUNDLE, tiny_bundle, tiny_family

FRAME = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
OLD = Path(__file__).parents[2] / "support" / "records"


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return tiny_family(tmp_path_factory.mktemp("family") / "bundle")


def taken(family: Bundle, epsilon: float, samples: int = 1000, sigma: float | None = None) -> float:
    return choose(family.manifest, epsilon, 0.001, samples, "smoothed", sigma).sigma


def test_expected_width_of_normal_scores() -> None:
    """n normal scores of deviation 2: the mean width over 300 draws of n is the expected one, to 2%. Its own error is
    0.1%, so a right formula fails less than once in 10⁹."""
    z = tuple(np.linspace(-2.5, 2.5, 11).tolist())
    measured = Measured(10, 0.5, 0.5, 0.0, 1.0, 10, z, tuple(2 * value for value in z))
    ranks = scope_ranks(1000, 0.5, 0.001, "smoothed")
    assert ranks[0] is not None
    assert ranks[1] is not None
    scores = np.sort(np.random.default_rng(1).normal(5, 2, (300, 1000)), axis=1)
    wide = (scores[:, ranks[1] - 1] - scores[:, ranks[0] - 1]).mean()
    assert expected_width(measured, ranks, 1000) == pytest.approx(wide, rel=0.02)
    assert expected_width(measured, (None, None), 1000) is None
    beyond = expected_width(measured, (1, 10**6), 10**6)
    assert beyond == pytest.approx(2 * 2 * 4.753, rel=1e-3)


def test_the_most_accurate_that_is_narrow(family: Bundle) -> None:
    assert taken(family, 0.02) == 0.06
    assert taken(family, 1.0) == 0.25  # the other level has no bound
    assert taken(family, 0.15, 101) == 0.25  # the other has one, and it is wider than 5 points


def test_ties_go_to_the_least_noise_that_has_room(tmp_path: Path) -> None:
    """At ε = 0.05 the small level needs 22 samples of 1,000, at 0.2 it needs 156."""
    alike = tiny_family(tmp_path / "alike", ((0.06, 0.6, 1.0), (0.25, 0.605, 0.5)))
    assert taken(alike, 0.05) == 0.06
    assert taken(alike, 0.2) == 0.25
    assert taken(alike, 0.05, 60) == 0.25  # nothing has room: the narrower


def test_where_all_are_wide_the_narrowest_is_taken(tmp_path: Path) -> None:
    wide = tiny_family(tmp_path / "wide", ((0.06, 0.7, 20.0), (0.25, 0.6, 10.0)))
    choice = choose(wide.manifest, 0.1, 0.001, 1000, "smoothed")
    assert choice.sigma == 0.25
    assert choice.why.startswith("the narrowest")


def test_where_none_has_a_bound_the_largest_is_taken_and_the_plan_says_what_it_takes(family: Bundle) -> None:
    with Certifier(family.path, epsilon=2.0, samples=50) as certifier:
        assert certifier.sampler.sigma == 0.25
        assert certifier.level is not None
        assert "no level has a bound" in certifier.level.why
        assert "use n ≥" in str(certifier.plan().reason)


def test_each_level_is_a_function_of_its_own(family: Bundle) -> None:
    digests = set()
    for sigma in family.sigmas:
        with Certifier(family.path, sigma=sigma, public_seed=1) as certifier:
            certificate = certifier.certify(FRAME)
        record = certificate.to_dict()
        assert record["sigma"] == sigma
        assert record["level"] == {"why": "asked for", "of": [0.06, 0.25]}
        assert record["model_sha256"] == family.at(sigma).digest
        digests |= {record["model_sha256"], record["scores_sha256"]}
        # With 2·101 values of deviation σ a median strays by far less than this from the mean of the frame.
        assert certificate.score == pytest.approx((100 - sigma) * FRAME.mean() / 255, abs=1.5)
    assert len(digests) == 4


def test_the_key_covers_sigma(tmp_path: Path) -> None:
    """Two levels with one noise key would draw the same uniform numbers: their digests differ, and so does σ."""
    family = tiny_family(tmp_path / "family", ((0.1, 0.7, 1.0), (0.2, 0.6, 1.0)))
    keys = []
    for sigma in family.sigmas:
        with Certifier(family.path, sigma=sigma, public_seed=1) as certifier:
            noisy = certifier._noisy
            keys.append(noisy.key(noisy.open(FRAME, None).lattice))
            source = noisy.noise
            lattice = noisy.open(FRAME, None).lattice
    assert keys[0] != keys[1]
    digest = family.at(0.1).digest
    assert source.key(lattice, digest, 0.1, 101) != source.key(lattice, digest, 0.2, 101)


@pytest.mark.parametrize("wrong", [0.12, 0.0, -0.06, True, "0.06", float("nan")])
def test_an_unknown_level_is_one_error_with_those_there_are(family: Bundle, wrong: Any) -> None:
    with pytest.raises(ParameterError, match=r"no noise level sigma=.*: it has 0\.06, 0\.25"):
        Certifier(family.path, sigma=wrong)


def test_a_bundle_of_one_level_takes_its_own(tmp_path: Path) -> None:
    single = tiny_bundle(tmp_path / "single")
    with Certifier(single.path, sigma=0.12) as certifier:
        assert certifier.level is None
        assert "level" not in certifier.certify(FRAME).to_dict()
    with pytest.raises(ParameterError, match=r"it has 0\.12 alone"):
        Certifier(single.path, sigma=0.06)
    with pytest.raises(ParameterError, match="downscale belongs to the bundle"):
        Certifier(single.path, downscale=2)


def test_nothing_measured_takes_a_sigma(tmp_path: Path) -> None:
    unknown = tiny_family(tmp_path / "unknown", measured=False)
    with pytest.raises(ParameterError, match=r"give sigma, one of 0\.06, 0\.25"):
        Certifier(unknown.path)
    with Certifier(unknown.path, sigma=0.06) as certifier:
        assert certifier.certify(FRAME)


def test_an_altered_part_is_refused(family: Bundle, tmp_path: Path) -> None:
    shutil.copytree(family.path, tmp_path / "bundle")
    part = tmp_path / "bundle" / "levels" / f"0.25.{MODEL}"
    other = tmp_path / "bundle" / "levels" / f"0.06.{MODEL}"
    part.write_bytes(other.read_bytes())
    opened = open_bundle(tmp_path / "bundle")
    opened.at(0.06).read(MODEL)
    with pytest.raises(BundleError, match=r"levels/0\.25\.model\.onnx is not the file"):
        opened.at(0.25).read(MODEL)
    with pytest.raises(BundleError):
        opened.verify()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda m: m["levels"].reverse(), "levels or schema"),
        (lambda m: m.update(schema=1), "levels or schema"),
        (lambda m: m["levels"][0]["graphs"].pop(MODEL), "levels or schema"),
        (lambda m: m["levels"][0].update(sigma=float(0)), "levels or schema"),
        (lambda m: m["files"].pop(f"levels/shared.{MODEL}"), "levels or schema"),
        (lambda m: m["levels"][1]["measured"].update(offsets=[1.0, 0.0, 2.0]), "levels or schema"),
        (lambda m: m["levels"][1]["measured"].update(srocc=2), "levels or schema"),
        (lambda m: m["levels"][1].update(cost=2), "unknown keys"),
        (lambda m: m.update(levels={}), "levels is not a list"),
        (lambda m: m.update(levels=[]), "files|levels or schema"),
    ],
)
def test_manifests_that_are_wrong(family: Bundle, tmp_path: Path, change: Any, what: str) -> None:
    shutil.copytree(family.path, tmp_path / "bundle")
    path = tmp_path / "bundle" / "manifest.json"
    tree = json.loads(path.read_text())
    change(tree)
    path.write_text(json.dumps(tree))
    with pytest.raises(BundleError, match=what):
        open_bundle(tmp_path / "bundle")


def test_plan_prints_the_levels(family: Bundle, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "--model", str(family.path), "--epsilon", "1", "--samples", "1000"]) == 0
    printed = capsys.readouterr().out
    assert "\n* 0.25 " in printed
    assert "\n  0.06 " in printed
    assert main(["plan", "--model", str(family.path), "--epsilon", "1", "--sigma", "0.06", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["sigma"], made["level"]["why"], made["least_samples"]) == (0.06, "asked for", None)


def test_a_record_replays(family: Bundle, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(FRAME).save(tmp_path / "frame.png")
    log, photo = str(tmp_path / "log.json"), str(tmp_path / "frame.png")
    model, public = ["--model", str(family.path)], ["--public-seed", "1"]
    assert (
        main(["certify", photo, *model, *public, "--epsilon", "1", "--samples", "400", "--json", log, "--quiet"]) == 0
    )
    tree = json.loads(Path(log).read_text())
    assert tree["inputs"][0]["certificate"]["sigma"] == 0.25
    assert tree["inputs"][0]["certificate"]["level"]["why"].startswith("the most accurate at epsilon=1")
    assert main(["replay", log, photo, *model, "--quiet"]) == 0
    tree["inputs"][0]["certificate"]["sigma"] = 0.06
    Path(log).write_text(json.dumps(tree))
    assert main(["replay", log, photo, *model, "--quiet"]) == 2


def test_a_record_made_before_levels_replays() -> None:
    """Made by the default of that time, on a frame that is drawn here again."""
    record, frame = str(OLD / "single.json"), str(OLD / "single.png")
    assert main(["replay", record, frame, "--model", str(SINGLE_BUNDLE), "--quiet"]) == 0


def test_with_another_model_it_says_where_the_old_one_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(OLD / "single.json"), str(OLD / "single.png"), "--quiet"]) == 2
    assert "biqa build --int8 --out single" in capsys.readouterr().err
