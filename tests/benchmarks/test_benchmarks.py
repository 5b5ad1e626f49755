"""The pieces of the evidence that could be wrong unseen: ladders, attacks, and pages that scripts write."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import skimage.data
from PIL import Image

torch = pytest.importorskip("torch")

from benchmarks import correlation, int8, steadiness  # noqa: E402
from benchmarks.parts import attacks, defences, scoring, spoilt_pictures  # noqa: E402
from benchmarks.report import bootstrap, page  # noqa: E402
from export.family import FAMILY  # noqa: E402
from runtime import open_bundle  # noqa: E402
from training.data import KINDS  # noqa: E402
from training.networks.levelled import load_family  # noqa: E402

PICTURE = torch.from_numpy(skimage.data.astronaut()[:32, :40].copy()).permute(2, 0, 1).float() / 255


def brightness(pictures: torch.Tensor) -> torch.Tensor:
    return 100 * pictures.mean((1, 2, 3))


def test_ladders_get_worse_step_by_step(tmp_path: Path) -> None:
    source = skimage.data.astronaut()[:101, :131]
    Image.fromarray(source).save(tmp_path / "one.png")
    rungs = spoilt_pictures.rungs(tmp_path)
    assert len(rungs) == 1 + 5 * len(KINDS)
    clean = spoilt_pictures.make_rung(rungs[0])
    assert np.array_equal(clean, source[:100, :130])
    for kind in KINDS:
        errors = [
            np.abs(spoilt_pictures.make_rung(rung).astype(float) - clean).mean() for rung in rungs if rung.kind == kind
        ]
        assert errors == sorted(errors)
        assert errors[0] > 0
    noisy = next(rung for rung in rungs if rung.kind == "grain")
    assert np.array_equal(spoilt_pictures.make_rung(noisy), spoilt_pictures.make_rung(noisy))
    with pytest.raises(ValueError, match="no PNG"):
        spoilt_pictures.rungs(tmp_path / "nothing")


@pytest.mark.parametrize("sign", [1, -1])
def test_attacks_stay_in_their_ball_and_move_the_score(sign: int) -> None:
    """Of a linear score the best perturbation is known: the radius along the gradient."""
    radius = 0.5
    best = 100 * radius / PICTURE.numel() ** 0.5
    before = brightness(PICTURE[None]).item()
    generator = torch.Generator().manual_seed(0)
    delta = attacks.pgd(brightness, PICTURE, radius, sign, 10)
    assert delta.norm().item() <= radius * (1 + 1e-5)
    assert sign * (brightness((PICTURE + delta)[None]).item() - before) == pytest.approx(best, rel=1e-3)
    adaptive = attacks.expectation(brightness, 0.1, 4, generator)
    delta = attacks.pgd(adaptive, PICTURE, radius, sign, 10)
    assert sign * (brightness((PICTURE + delta)[None]).item() - before) > 0.8 * best
    delta = attacks.nes(brightness, PICTURE, radius, sign, steps=10, pairs=20, generator=generator)
    assert delta.norm().item() <= radius * (1 + 1e-5)
    assert sign * (brightness((PICTURE + delta)[None]).item() - before) > 0
    direction = attacks.universal(
        brightness, PICTURE[None].repeat(4, 1, 1, 1), sign, steps=30, batch=2, generator=generator
    )
    assert direction.norm().item() == pytest.approx(1, rel=1e-5)
    assert sign * direction.sum().item() > 0
    assert attacks.random_direction(PICTURE, radius, generator).norm().item() == pytest.approx(radius, rel=1e-5)


def test_defences_are_set_against_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores that follow the truth, more or less noise: their correlations, widths and paired differences."""
    monkeypatch.setattr(bootstrap, "RESAMPLES", 100)
    rng = np.random.default_rng(0)
    truth = rng.uniform(size=60)
    noise = rng.standard_normal((60, 44)).astype(np.float32)
    scores = scoring.Scores(
        none=(100 * truth).astype(np.float32),
        smoothed={
            "DMS": (rng.permutation(100 * truth)[:, None] + noise).astype(np.float32),
            "DMS-IQA": (100 * truth[:, None] + 2 * noise).astype(np.float32),
        },
    )
    half = np.arange(60) < 30
    subsets = {"pooled": np.ones(60, bool), "half": half}
    made = correlation.figures(correlation.Dataset("made up", 44, [], truth, np.arange(60), subsets), scores)
    assert made["pooled"]["none"]["srocc"] == 1
    assert made["pooled"]["DMS-IQA"]["width"]["0.25"] == pytest.approx(
        2 * made["pooled"]["DMS"]["width"]["0.25"], rel=1e-3
    )
    assert made["half"]["pictures"] == 30
    (pair,) = made["pooled"]["differences"]
    low, high = made["pooled"]["differences"][pair]["srocc"]["95"]
    assert pair == "DMS-IQA − DMS"
    assert 0 < low < made["pooled"]["differences"][pair]["srocc"]["value"] < high
    assert "| pooled (60) | none | 1.000" in correlation.page(
        {"metrics": {"m": {"made up": {"samples": 44, "subsets": made}}}, "sigmas": {}}
    )
    for defence in ("MS", "joint", "family"):
        made["pooled"][defence] = made["pooled"]["DMS"]
    for better, worse in correlation.PAIRS:
        made["pooled"]["differences"][f"{better} − {worse}"] = made["pooled"]["differences"][pair]
    lines = correlation.summary({"metrics": {defences.MAIN_METRIC: {"made up": {"subsets": made}}}}).splitlines()
    assert lines[0].startswith("| made up, 60 photographs | SROCC [95%] |")
    assert lines[2].endswith("| 1.000 [1.000, 1.000] | 1.000 | – |  |")
    assert "| MS: +" in lines[4]
    assert len(lines) == 2 + 6


def test_what_ships_is_the_last_defence_of_the_main_metric() -> None:
    assert defences.SMOOTHED[defences.MAIN_METRIC][-1] == defences.SHIPPED
    assert defences.bundle_path(Path("nowhere"), defences.MAIN_METRIC, defences.SHIPPED) == open_bundle().path
    assert open_bundle().at(defences.SIGMA).manifest.input.sigma == defences.SIGMA
    metric, denoiser = defences.networks_of(defences.MAIN_METRIC, defences.SHIPPED)
    assert denoiser is not None
    pair = load_family(FAMILY).weights_at(defences.SIGMA)
    assert torch.equal(metric.state_dict()["head.bias"], pair["metric.head.bias"])
    assert [*defences.SMOOTHED[defences.SECOND_METRIC]] == ["MS", "DMS", "DMS-IQA"]


def test_precisions_are_compared_picture_by_picture() -> None:
    """A variant with twice the scores of fp32 has the same order, intervals twice as wide, medians moved by theirs."""
    rng = np.random.default_rng(0)
    truth = rng.normal(0, 1, 40)
    fp32 = (truth[:, None] + rng.normal(0, 0.3, (40, 32))).astype(np.float32)
    rows = int8.figures(np.stack([fp32, 2 * fp32, -fp32], axis=1), ["fp32", "double", "negated"], truth)
    assert rows["fp32"].keys() == {"srocc", "width"}
    assert rows["fp32"]["width"].keys() == {"0.25", "0.5"}
    assert rows["double"]["srocc_difference"] == 0
    assert rows["double"]["width_ratio"] == {"0.25": 2, "0.5": 2}
    assert rows["double"]["score_difference"]["largest"] == pytest.approx(np.abs(np.median(fp32, 1)).max(), abs=1e-3)
    assert rows["negated"]["srocc"] == -rows["fp32"]["srocc"]
    low, high = rows["negated"]["srocc_difference_95"]
    assert low < rows["negated"]["srocc_difference"] < high < -1
    assert "| double | " in int8.page({name: rows[name] for name in ("fp32", "double")})


def test_clips_of_the_steadiness_benchmark() -> None:
    still, panned = steadiness.clips(3).values()
    assert np.abs(still[0].astype(int) - still[1]).max() <= 2
    assert np.array_equal(panned[0][:, steadiness.STEP :], panned[1][:, : -steadiness.STEP])


def test_only_the_marked_section_changes(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    path.write_text("before\n<!-- x -->\nold\n<!-- /x -->\nafter\n")
    page.write_section(path, "x", page.table(["a", "b"], [["1", "2"]]))
    assert path.read_text() == "before\n<!-- x -->\n| a | b |\n| --- | --- |\n| 1 | 2 |\n<!-- /x -->\nafter\n"
    with pytest.raises(ValueError, match="needs the marks"):
        page.write_section(path, "y", "")
