"""A curve to the user's own scale: what is fitted, what is refused, what a record says of it."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from export.__main__ import main as export
from export.calibrate import calibrate, fit
from runtime import BundleError, Certifier, ExportError
from runtime.__main__ import main
from runtime.bounds.calibration import Calibration
from runtime.bundle.store import open_bundle
from tests.support.tiny import tiny_bundle, tiny_family

FRAME = np.random.default_rng(1).integers(0, 256, (32, 48, 3), np.uint8)
SCORES = np.linspace(5, 95, 60)


def opinions(scores: np.ndarray) -> np.ndarray:
    return 1 + 4 / (1 + np.exp(-(scores - 45) / 12))


def table(path: Path, rows: Sequence[Sequence[object]], header: Sequence[str] = ("score", "opinion")) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return table(tmp_path / "scores.csv", list(zip(SCORES, opinions(SCORES), strict=True)))


def test_a_logistic_is_found_again() -> None:
    made = fit(SCORES, opinions(SCORES), "logistic", "0" * 64)
    assert made.values == pytest.approx((1, 5, 45, 12), rel=1e-3)
    assert made.deviation < 1e-4
    assert made(45) == pytest.approx(3, abs=1e-3)


def test_an_isotonic_does_not_fall() -> None:
    rng = np.random.default_rng(1)
    made = fit(SCORES, opinions(SCORES) + rng.normal(0, 0.3, 60), "isotonic", "0" * 64)
    values = [made(score) for score in np.linspace(-10, 110, 500)]
    assert values == sorted(values)
    assert made.deviation < 0.4
    assert made(-1e9) == made.values[0]


@pytest.mark.parametrize("kind", ["logistic", "isotonic"])
def test_bounds_are_carried_through(kind: str, scores: Path, tmp_path: Path) -> None:
    """The interval of the curve of the scores is the curve of the interval: the ranks pick the same samples."""
    plain = tiny_bundle(tmp_path / "plain")
    bundle, curve = calibrate(plain, scores, out=tmp_path / "mine.zip", kind=kind)
    assert bundle.digest != plain.digest
    with Certifier(bundle.path, public_seed=1) as certifier:
        certificate = certifier.certify(FRAME)
    lower, upper = certificate.ranks
    assert lower is not None
    assert upper is not None
    ordered = np.sort([curve(float(score)) for score in certificate.scores])
    score = curve(certificate.score)
    assert certificate.calibrated == (score, ordered[lower - 1], ordered[upper - 1])
    record = certificate.to_dict()
    assert record["calibrated"]["lower"] == ordered[lower - 1]
    assert record["calibration"] == curve.to_dict()
    assert record["model_sha256"] == bundle.digest
    json.dumps(record, allow_nan=False)


def test_bounds_that_are_missing_stay_missing(scores: Path, tmp_path: Path) -> None:
    bundle, _ = calibrate(tiny_bundle(tmp_path / "plain"), scores, out=tmp_path / "mine")
    with Certifier(bundle.path, public_seed=1, epsilon=1.0, samples=11) as certifier:
        record = certifier.certify(FRAME).to_dict()
    assert record["abstained"]
    assert record["calibrated"]["upper"] is None


def test_a_family_takes_the_level_of_the_scores(scores: Path, tmp_path: Path) -> None:
    family = tiny_family(tmp_path / "family")
    bundle, curve = calibrate(family, scores, out=tmp_path / "mine", sigma=0.06)
    assert bundle.at(0.06).manifest.calibration == curve
    assert bundle.at(0.06).digest != family.at(0.06).digest
    assert bundle.at(0.25).digest == family.at(0.25).digest
    for sigma, there in ((0.06, True), (0.25, False)):
        with Certifier(bundle.path, sigma=sigma, public_seed=1) as certifier:
            assert ("calibrated" in certifier.certify(FRAME).to_dict()) == there
    with pytest.raises(ExportError, match=r"say with --sigma"):
        calibrate(family, scores, out=tmp_path / "other")
    with pytest.raises(ExportError, match=r"no noise level sigma=0\.1"):
        calibrate(family, scores, out=tmp_path / "other", sigma=0.1)


def test_its_record_replays_with_it_alone(scores: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.fromarray(FRAME).save(tmp_path / "frame.png")
    plain = tiny_bundle(tmp_path / "plain")
    assert export(["calibrate", str(plain.path), str(scores), "--out", str(tmp_path / "mine")]) == 0
    photo, log = str(tmp_path / "frame.png"), str(tmp_path / "log.json")
    model = ["--model", str(tmp_path / "mine"), "--quiet"]
    assert main(["certify", photo, *model, "--public-seed", "1", "--json", log]) == 0
    tree = json.loads(Path(log).read_text())
    assert set(tree["frames"][0]["certificate"]["calibrated"]) == {"score", "lower", "upper"}
    assert main(["replay", log, photo, *model]) == 0
    assert main(["replay", log, photo, "--model", str(plain.path), "--quiet"]) == 2
    tree["frames"][0]["certificate"]["calibrated"]["upper"] += 0.1
    Path(log).write_text(json.dumps(tree))
    assert main(["replay", log, photo, *model]) == 1


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda rows: rows[:19], "19 rows, too few"),
        (lambda rows: [*rows[:30], (1.0, "nan"), *rows[30:]], "line 32: opinion is 'nan'"),
        (lambda rows: [*rows[:30], ("", 3), *rows[30:]], "line 32: score is ''"),
        (lambda rows: [(score, -opinion) for score, opinion in rows], "fall as scores rise"),
        (lambda rows: [(score, 3) for score, _ in rows], "the same"),
        (lambda rows: [], "needs the columns"),
    ],
)
def test_tables_that_are_refused(
    change: Callable[[list[tuple[float, float]]], list[tuple[object, object]]], what: str, tmp_path: Path
) -> None:
    rows = list(zip(SCORES.tolist(), opinions(SCORES).tolist(), strict=True))
    plain, wrong = tiny_bundle(tmp_path / "plain"), table(tmp_path / "wrong.csv", change(rows))
    with pytest.raises(ExportError, match=what):
        calibrate(plain, wrong, out=tmp_path / "mine")
    assert not (tmp_path / "mine").exists()


def test_a_bundle_is_not_calibrated_in_place(scores: Path, tmp_path: Path) -> None:
    plain = tiny_bundle(tmp_path / "plain")
    with pytest.raises(ExportError, match="name it with --out"):
        calibrate(plain, scores, out=plain.path)


@pytest.mark.parametrize(
    "change", [{"values": [5, 1, 45, 12]}, {"values": [1, 5, 45, -12]}, {"kind": "cubic"}, {"rows": 0}]
)
def test_a_curve_that_is_not_monotone_is_no_manifest(change: dict[str, object], scores: Path, tmp_path: Path) -> None:
    bundle, _ = calibrate(tiny_bundle(tmp_path / "plain"), scores, out=tmp_path / "mine")
    path = bundle.path / "manifest.json"
    tree = json.loads(path.read_text())
    tree["calibration"].update(change)
    path.write_text(json.dumps(tree))
    with pytest.raises(BundleError, match="not a monotone curve"):
        open_bundle(bundle.path)


def test_the_curve_of_an_infinite_bound() -> None:
    curve = Calibration("logistic", (1.0, 5.0, 45.0, 12.0), (), 20, "0" * 64, 0.1)
    assert curve(float("inf")) == float("inf")
