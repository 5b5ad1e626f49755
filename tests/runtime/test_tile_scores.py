"""Certificates of tiles: closed forms of a linear score, attacks of every kind, and what is recorded."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import norm

import runtime
from runtime.bounds.aggregates import Aggregate
from runtime.errors import FrameError, ModelError, ParameterError
from runtime.frames.lattice import to_lattice
from runtime.frames.tiles import tiling
from runtime.results.pooled import pooled
from runtime.results.tile_certificate import TileCertificate
from runtime.samplers.function import CallableSampler
from runtime.samplers.onnx import OnnxSampler
from tests.support.clips import photograph
from tests.support.tiny import tile_bundle, tiny_bundle

TILE, SIGMA = 8, 0.12
SIGNS = np.random.default_rng(1).choice([-1.0, 1.0], (3, TILE, TILE))
WEIGHTS = (0.4 * SIGNS * np.random.default_rng(2).uniform(0.7, 1, SIGNS.shape)).astype(np.float32)
"""The score is 50 + Σ w·(x − ½), of one tile: from 17 to 83, with noise of deviation σ‖w‖ = 0.57 and no clamp."""

Frame = NDArray[Any]
DEPTH = {"uint8": 8, "uint16": 12}


def linear(tiles: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(50 + np.tensordot(tiles - 0.5, WEIGHTS, 3), np.float32)


def linear_sampler(aggregate: str = "mean", downscale: int = 1, **options: Any) -> CallableSampler:
    given = {"score_range": (0.0, 100.0), "tile": TILE, "aggregate": Aggregate(aggregate), **options}
    return CallableSampler(linear, SIGMA, downscale=downscale, **given)


def medians(frame: Frame, downscale: int) -> NDArray[np.float64]:
    """The smoothed score of each tile of a frame, exactly: that of its clean pixels, since the score is linear."""
    lattice = to_lattice(frame, downscale=downscale, bit_depth=DEPTH[frame.dtype.name])
    tiles = tiling(lattice.height, lattice.width, TILE)
    cut = np.empty((tiles.count, 3, TILE, TILE))
    tiles.cut(lattice.values / lattice.steps, 0, cut)
    return np.asarray(50 + np.tensordot(cut - 0.5, WEIGHTS.astype(np.float64), 3))


def steepest(frame: Frame, downscale: int) -> NDArray[np.float64]:
    """The gradient of the sum of all tiles' scores at the source frame, H×W×3: of mirrored rows what both weigh."""
    lattice = to_lattice(frame, downscale=downscale)
    tiles = tiling(lattice.height, lattice.width, TILE)
    index = np.arange(lattice.values.size).reshape(lattice.values.shape).astype(np.float64)
    cut = np.empty((tiles.count, 3, TILE, TILE))
    tiles.cut(index, 0, cut)
    summed = np.zeros(lattice.values.size)
    np.add.at(summed, cut.astype(int), np.broadcast_to(WEIGHTS, cut.shape))
    on_domain = summed.reshape(lattice.values.shape).transpose(1, 2, 0)
    spread = np.zeros(frame.shape)
    grown = on_domain.repeat(downscale, axis=0).repeat(downscale, axis=1) / downscale**2
    spread[: grown.shape[0], : grown.shape[1]] = grown
    return spread


def grey_attack(rng: np.random.Generator, frame: Frame, slope: NDArray[np.float64], way: int) -> Frame:
    """Every code value by 1 at most: along the slope, or on some of the pixels, or at random."""
    step = np.sign(slope) * way if rng.random() < 0.5 else rng.integers(-1, 2, frame.shape)
    kept = rng.random(frame.shape) < rng.choice([0.5, 0.9, 1.0])
    return np.clip(frame + step * kept, 0, 255).astype(frame.dtype)


def l2_attack(rng: np.random.Generator, frame: Frame, slope: NDArray[np.float64], way: int) -> Frame:
    """L2 distance EPSILON at most, of a 12-bit frame: along the slope of some rows and columns, or at random."""
    direction = slope * way if rng.random() < 0.7 else rng.normal(size=frame.shape)
    direction = direction * (rng.random((frame.shape[0], 1, 1)) < rng.choice([0.1, 0.5, 1.0]))
    direction = direction * (rng.random((1, frame.shape[1], 1)) < rng.choice([0.1, 0.5, 1.0]))
    length = math.sqrt(float((direction**2).sum())) or 1.0
    moved = frame + np.trunc(direction / length * EPSILON * 4095)
    attacked = np.clip(moved, 0, 4095).astype(np.uint16)
    assert math.sqrt(float((((attacked - frame.astype(float)) / 4095) ** 2).sum())) <= EPSILON
    return attacked


def patch_attack(rng: np.random.Generator, frame: Frame, slope: NDArray[np.float64], way: int) -> Frame:
    """Anything in one rectangle of PATCH: the worst colours, or black, white or random ones."""
    width, height = PATCH
    top = rng.integers(0, frame.shape[0] - height + 1)
    left = rng.integers(0, frame.shape[1] - width + 1)
    attacked = frame.copy()
    inside = np.s_[top : top + height, left : left + width]
    kinds: list[Any] = [
        np.where(slope[inside] * way > 0, 255, 0),
        rng.choice([0, 255]),
        rng.integers(0, 256, (height, width, 3)),
    ]
    attacked[inside] = kinds[rng.integers(3)]
    return attacked


EPSILON = 0.1
PATCH = 9, 12
TRIALS = 2000
ATTACKS: list[tuple[runtime.Tampering, Callable[..., Frame], float]] = [
    (runtime.Tampering(levels=1), grey_attack, 0.4),
    (runtime.Tampering(epsilon=EPSILON), l2_attack, 0.1),
    (runtime.Tampering(patch=PATCH), patch_attack, 0.07),
]
"""What may be done, how it is tried, and the part of the certified width that the best trial must reach."""


@pytest.mark.parametrize("aggregate", ["mean", "median"])
@pytest.mark.parametrize(("tampering", "attack", "reached"), ATTACKS)
@pytest.mark.parametrize(
    ("size", "downscale"),
    [((40, 48), 1), ((61, 75), 2), pytest.param((301, 399), 2, marks=pytest.mark.long)],
)
def test_no_attack_leaves_the_interval(
    aggregate: str,
    tampering: runtime.Tampering,
    attack: Callable[..., Frame],
    reached: float,
    size: tuple[int, int],
    downscale: int,
) -> None:
    """2,000 trials each on a part of a photograph. A fresh seed would fail with probability alpha = 0.001 at most."""
    rng = np.random.default_rng(3)
    frame = photograph()[100 : 100 + size[0], 200 : 200 + size[1]].copy()
    if tampering.epsilon is not None:
        frame = (frame.astype(np.uint16) * 16).astype(np.uint16)
    sampler = linear_sampler(aggregate, downscale)
    with runtime.Certifier(sampler=sampler, samples=301, public_seed=4) as certifier:
        certificate = certifier.certify(frame, bit_depth=DEPTH[frame.dtype.name])
    assert isinstance(certificate, TileCertificate)
    claim = certificate.claims(tampering)[0]
    assert 0 < claim.lower <= claim.score <= claim.upper < 100
    exact = sampler.aggregate
    assert exact is not None
    clean = exact.of(medians(frame, downscale))
    slope = steepest(frame, downscale)
    scores = [
        exact.of(medians(attack(rng, frame, slope, 1 if trial % 2 else -1), downscale)) for trial in range(TRIALS)
    ]
    assert claim.lower <= min(scores) <= clean <= max(scores) <= claim.upper
    if aggregate == "mean" and max(size) < 100:  # of a large frame, steps of 12 bits are too coarse for so short a way
        assert max(scores) - clean >= reached * (claim.upper - clean)


def test_grey_levels_come_close_to_the_closed_form() -> None:
    """The most a level could move a tile is √192·‖w‖/255, for |w| all alike; the bound adds sampling errors."""
    frame = np.full((64, 64, 3), 100, np.uint8)
    with runtime.Certifier(sampler=linear_sampler(), samples=1001, public_seed=1) as certifier:
        claim = certifier.certify(frame).levels(1)
    clean = float(medians(frame, 1).mean())
    ideal = math.sqrt(3 * TILE * TILE) / 255 * float(np.linalg.norm(WEIGHTS))
    assert ideal < claim.upper - clean < ideal + 0.25 * SIGMA * float(np.linalg.norm(WEIGHTS))
    assert -ideal > claim.lower - clean > -ideal - 0.25 * SIGMA * float(np.linalg.norm(WEIGHTS))


def test_tiles_have_noise_of_their_own_that_is_the_frames() -> None:
    """The tiles of a sample are cut from the noisy frame that a whole-frame sampler sees; they do not vary together."""
    rng = np.random.default_rng(5)
    frame = rng.integers(0, 256, (19, 27, 3)).astype(np.uint8)
    lattice = to_lattice(frame)
    seen: list[NDArray[np.float32]] = []

    def keep(images: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(images.copy())
        return np.zeros(len(images), np.float32)

    CallableSampler(keep, SIGMA, batch=1).scores(lattice, bytes(16), 3, 2)
    tiles = tiling(19, 27, TILE)
    cut = np.empty((2, tiles.count, 3, TILE, TILE), np.float32)
    for whole, out in zip(seen, cut, strict=True):
        tiles.cut(whole[0], 0, out)
    wanted = np.stack([linear(part) for part in cut])
    for batch in (1, 5, 64):
        made = linear_sampler(batch=batch).scores(lattice, bytes(16), 3, 2)
        np.testing.assert_array_equal(made, wanted)
    many = linear_sampler().scores(lattice, bytes(16), 0, 2000).astype(np.float64)
    correlations = np.corrcoef(many.T)[np.triu_indices(tiles.count, 1)]
    # Independent ones have deviation 1/√2000; 66 pairs beyond 4.5 deviations: once in 2,000 seeds.
    assert np.abs(correlations).max() < 4.5 / math.sqrt(2000)


@pytest.mark.parametrize("size", [(32, 48), (35, 51), (16, 90), (47, 33)])
def test_the_engine_is_given_the_same_tiles(tmp_path: Path, size: tuple[int, int]) -> None:
    """ONNX Runtime and a function of the same score: bit for bit but for the order of their sums."""
    bundle = tile_bundle(tmp_path / "tiles")
    frame = np.random.default_rng(6).integers(0, 256, (*size, 3)).astype(np.uint8)

    def mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
        return 100 * images.clip(0, 1).mean(axis=(1, 2, 3))

    lattice = to_lattice(frame, downscale=2)
    own = CallableSampler(mean, SIGMA, downscale=2, score_range=(0, 100), tile=16)
    with runtime.Certifier(bundle.path, samples=41, public_seed=2) as certifier:
        made = certifier.sampler.scores(lattice, bytes(16), 0, 41)
        parts = [certifier.sampler.scores(lattice, bytes(16), start, 20) for start in (0, 20)]
        np.testing.assert_array_equal(made[:40], np.concatenate(parts))
        np.testing.assert_allclose(made, own.scores(lattice, bytes(16), 0, 41), rtol=1e-5)
        certificate = certifier.certify(frame)
    assert certificate.scores.shape == made.shape
    tiles = tiling(lattice.height, lattice.width, 16)
    cut = np.empty((tiles.count, 3, 16, 16), np.float32)
    tiles.cut(lattice.values.astype(np.float32) / lattice.steps, 0, cut)
    assert OnnxSampler(bundle).clean_score(lattice) == pytest.approx(float(mean(cut).mean()), rel=1e-5)


def test_claims_share_alpha_and_widen_with_what_is_allowed(tmp_path: Path) -> None:
    bundle = tile_bundle(tmp_path / "tiles", tile=8)
    frame = np.random.default_rng(7).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    with runtime.Certifier(bundle.path, samples=201, public_seed=3, epsilon=0.2) as certifier:
        certificate = certifier.certify(frame)
    assert isinstance(certificate, TileCertificate)
    alone = certificate.l2(0.2)
    assert (alone.lower, alone.upper) == (certificate.lower, certificate.upper)
    joint = certificate.claims(
        runtime.Tampering(epsilon=0.2), runtime.Tampering(levels=0.5), runtime.Tampering(patch=(5, 5))
    )
    assert [claim.alpha for claim in joint] == [certificate.alpha / 3] * 3
    assert joint[0].lower < alone.lower
    assert alone.upper < joint[0].upper
    assert "0.0003333" in joint[0].claim
    wider = [certificate.levels(0), certificate.levels(0.5), certificate.levels(1)]
    assert wider[0].upper < wider[1].upper < wider[2].upper
    both, plain = certificate.patch(5, 5, levels=0.5), certificate.patch(5, 5)
    assert both.lower < plain.lower < certificate.levels(0).lower
    assert [(round(e, 3)) for e, _, _ in certificate.curve([0.1, 0.3])] == [0.1, 0.3]
    half = certificate.shared_by(2)
    assert half.alpha == certificate.alpha / 2
    assert half.upper > certificate.upper
    with pytest.raises(ParameterError, match="no radius"):
        certificate.radius(1)


def test_the_map_says_where_and_how_sure(tmp_path: Path) -> None:
    bundle = tile_bundle(tmp_path / "tiles")
    frame = np.full((64, 100, 3), 50, np.uint8)
    frame[:32, 50:] = 200
    with runtime.Certifier(bundle.path, samples=201, public_seed=3, levels=1) as certifier:
        certificate = certifier.certify(frame)
    assert isinstance(certificate, TileCertificate)
    tiles = certificate.map
    assert len(tiles) == 8
    assert sum(tile.place.height * tile.place.width for tile in tiles) == 64 * 100
    assert all(tile.lower <= tile.median <= tile.upper for tile in tiles)
    bright = [tile for tile in tiles if tile.median > 50]
    assert [(tile.place.top, tile.place.left) for tile in bright] == [(0, 50), (0, 74)]
    assert max(tile.upper for tile in tiles if tile.median < 50) < min(tile.lower for tile in bright)


def test_the_record_says_what_was_not_seen_and_what_is_claimed(tmp_path: Path) -> None:
    bundle = tile_bundle(tmp_path / "tiles", aggregate="trimmed_mean", trim=0.2)
    frame = np.random.default_rng(8).integers(0, 256, (101, 99, 3)).astype(np.uint8)
    with runtime.Certifier(bundle.path, samples=101, public_seed=3, levels=1, patch=(3, 4)) as certifier:
        record = json.loads(json.dumps(certifier.certify(frame).to_dict(), allow_nan=False))
    tiles = record["tiles"]
    assert (tiles["unseen_rows"], tiles["unseen_columns"]) == (1, 1)
    assert tiles["unseen_share"] == pytest.approx(1 - 100 * 98 / (101 * 99))
    assert tiles["row_edges"] == [0, 24, 50, 74, 100]
    assert tiles["dropped"] == 3
    assert tiles["patch_touches"] == 4
    assert record["epsilon"] is None
    assert record["tampering"] == {"levels": 1, "patch": [3, 4]}
    assert "one rectangle of 3×4 pixels" in record["claim"]
    assert "mean without 20% at each end" in record["claim"]
    assert math.fsum(record["tile_bound"]["shares"].values()) == pytest.approx(0.001)
    assert len(record["map"]["median"]) == 16


def test_less_than_a_hundredth_of_a_frame_is_lost_at_odd_sizes(tmp_path: Path) -> None:
    """Twenty of them. Seen is what moves the lattice: the named rows and columns do not, whatever they hold."""
    rng = np.random.default_rng(20)
    bundle = tile_bundle(tmp_path / "tiles", tile=64, samples=15)
    with runtime.Certifier(bundle.path, public_seed=3, levels=0.0) as certifier:
        for height, width in 2 * rng.integers(100, 300, (20, 2)) + 1:
            frame = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
            tiles = certifier.certify(frame).to_dict()["tiles"]
            rows, columns = tiles["unseen_rows"], tiles["unseen_columns"]
            assert (tiles["row_edges"][-1], tiles["column_edges"][-1]) == (height - rows, width - columns)
            unseen = np.ones((height, width), bool)
            unseen[: height - rows, : width - columns] = False
            assert unseen.mean() == pytest.approx(tiles["unseen_share"])
            assert 0 < tiles["unseen_share"] < 0.01
            other = np.where(unseen[..., None], 255 - frame, frame).astype(np.uint8)
            lattices = [to_lattice(one, downscale=2).values for one in (frame, other)]
            assert np.array_equal(*lattices)
            cut = tiling(*lattices[0].shape[1:], 64)
            assert sum(place.height * place.width for place in cut.places(2)) == (~unseen).sum()


def test_gate_compare_and_tolerance_stop_early(tmp_path: Path) -> None:
    bundle = tile_bundle(tmp_path / "tiles", tile=8)
    frame = np.full((96, 96, 3), 100, np.uint8)
    with runtime.Certifier(bundle.path, samples=401, public_seed=3, levels=0.5) as certifier:
        gate = certifier.gate(frame, at_least=20)
        assert (gate.decision, gate.pooled.drawn < 401) == ("pass", True)
        assert "0.5 grey levels" in gate.claim
        assert certifier.gate(frame, at_least=60).decision == "fail"
        compared = certifier.compare(frame, frame // 2)
        assert compared.decision == "a"
        stopped = certifier.certify(frame, tolerance=20)
        assert stopped.drawn < 401
        assert stopped.upper - stopped.lower <= 20
        full = certifier.certify(frame)
        assert isinstance(stopped, TileCertificate)
        # Each look has its part of alpha, and a claim of a stopped certificate too.
        assert stopped.evidence.alpha == pytest.approx(0.001 / len(stopped.looks))
        assert stopped.levels(0.5).evidence.alpha == pytest.approx(0.001 / len(stopped.looks))
        clip = certifier.gate([frame, frame // 2], at_least=35, pool="min")
        assert (clip.decision, clip.pooled.bound) == ("fail", "frame-by-frame")
    with runtime.Certifier(bundle.path, samples=101, public_seed=3, levels=0.5, scope="reported") as certifier:
        assert certifier.gate(frame, at_least=20).pooled.drawn == 101
    assert full.lower < full.score < full.upper


def test_median_of_exact_scores_is_inside_for_the_next_report(tmp_path: Path) -> None:
    bundle = tile_bundle(tmp_path / "tiles", tile=8)
    frame = np.random.default_rng(9).integers(60, 200, (96, 96, 3)).astype(np.uint8)
    with runtime.Certifier(bundle.path, samples=101, public_seed=3, epsilon=0.1, scope="reported") as certifier:
        certificate = certifier.certify(frame)
    with runtime.Certifier(bundle.path, samples=101, public_seed=4, epsilon=0.1) as other:
        again = other.certify(frame)
        assert certificate.lower < again.score < certificate.upper
        assert again.upper < certificate.upper


def test_what_cannot_be_certified_is_refused(tmp_path: Path) -> None:
    tiles, whole = tile_bundle(tmp_path / "tiles").path, tiny_bundle(tmp_path / "whole").path
    frame = np.full((64, 64, 3), 100, np.uint8)
    with pytest.raises(ParameterError, match="whole frames"):
        runtime.Certifier(whole, levels=1)
    with pytest.raises(ParameterError, match="one kind"):
        runtime.Certifier(tiles, levels=1, epsilon=0.1)
    for wrong in ({"levels": -1}, {"levels": math.nan}, {"patch": (0, 4)}, {"patch": 4}):
        with pytest.raises(ParameterError):
            runtime.Certifier(tiles, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ParameterError, match="score_range"):
        CallableSampler(linear, SIGMA, tile=8)
    with runtime.Certifier(tiles, samples=11) as certifier:
        with pytest.raises(FrameError, match="at least 8×8"):
            certifier.certify(frame[:14])
        with pytest.raises(ParameterError, match="whole frames"):
            certifier.plan()
    with runtime.Certifier(tiles, samples=11, levels=4) as certifier:
        abstained = certifier.certify(frame)
        assert not abstained
        assert "bound nothing" in (abstained.reason or "")
    broken = tile_bundle(tmp_path / "broken", extra="nan").path
    with runtime.Certifier(broken, samples=11) as certifier, pytest.raises(ModelError, match="noisy tiles"):
        certifier.certify(frame)


def test_scores_out_of_the_stated_range_are_refused() -> None:
    with (
        runtime.Certifier(sampler=linear_sampler(score_range=(0.0, 50.0)), samples=41) as certifier,
        pytest.raises(ParameterError, match="leave their range"),
    ):
        certifier.certify(np.full((32, 32, 3), 200, np.uint8))


def test_a_tile_of_a_linear_score_has_its_normal_law() -> None:
    """Medians and quantiles of one tile, against Φ: 20,000 draws, within 5 deviations."""
    frame = np.random.default_rng(10).integers(60, 200, (8, 8, 3)).astype(np.uint8)
    drawn = linear_sampler().scores(to_lattice(frame), bytes(16), 0, 20000)[:, 0]
    deviation = SIGMA * float(np.linalg.norm(WEIGHTS))
    for p in (0.1, 0.5, 0.9):
        expected = float(medians(frame, 1)[0]) + deviation * norm.ppf(p)
        room = 5 * math.sqrt(p * (1 - p) / 20000) / norm.pdf(norm.ppf(p)) * deviation
        assert abs(np.quantile(drawn, p) - expected) < room


def test_all_tiles_of_a_clip_are_units_of_one_mean() -> None:
    """Frames of two sizes and one that comes twice: narrower than frame by frame, around the exact mean."""
    rng = np.random.default_rng(11)
    frames = [rng.integers(60, 196, (height, 40, 3)).astype(np.uint8) for height in (40, 40, 24, 40, 56)]
    frames.append(frames[0])
    exact = float(np.mean([medians(frame, 1).mean() for frame in frames]))
    ideal = math.sqrt(3 * TILE * TILE) / 255 * float(np.linalg.norm(WEIGHTS))
    found = {}
    for bound in ("collective", "frame-by-frame"):
        with runtime.Certifier(sampler=linear_sampler(), samples=151, public_seed=5, levels=1) as certifier:
            certificates = list(certifier.stream(frames, jointly=len(frames), bound=bound))
        found[bound] = pooled("mean", certificates, 0.001, bound=bound)
        assert found[bound].bound == bound
        assert found[bound].lower < exact - ideal
        assert exact + ideal < found[bound].upper
    together = found["collective"]
    assert together.evidence is not None
    assert together.evidence.score == pytest.approx(together.score, abs=1e-9)
    assert sum(unit.count for unit in together.evidence.units) == sum(
        certificate.scores.shape[1] for certificate in together.certificates[:5]
    )
    apart = found["frame-by-frame"]
    assert apart.lower < together.lower < together.upper < apart.upper


@pytest.mark.parametrize("asked", [{"epsilon": 0.1}, {"patch": (3, 3)}, {"levels": 1.0, "patch": (3, 3)}])
def test_clips_whose_tiles_cannot_be_bounded_together(asked: dict[str, Any]) -> None:
    frames = [np.full((40, 40, 3), value, np.uint8) for value in (80, 90)]
    with runtime.Certifier(sampler=linear_sampler(), samples=31, **asked) as certifier:
        certificates = list(certifier.stream(frames, jointly=2))
        assert pooled("mean", certificates, 0.001).bound == "frame-by-frame"
        with pytest.raises(ParameterError, match="no collective bound"):
            list(certifier.stream(frames, jointly=2, bound="collective"))
    medians_alone = runtime.Certifier(sampler=linear_sampler("median"), samples=31, levels=1)
    with pytest.raises(ParameterError, match="mean of means"):
        list(medians_alone.stream(frames, jointly=2, bound="collective"))
    means = runtime.Certifier(sampler=linear_sampler(), samples=31, levels=1)
    with pytest.raises(ParameterError, match="no collective bound"):
        means.gate(frames, at_least=1, bound="collective")
