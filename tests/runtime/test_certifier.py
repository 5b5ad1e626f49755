"""The loop and its result, with functions in place of a network."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Certificate, Certifier, FrameError, ModelError, ParameterError
from runtime.frames.lattice import Lattice, sigma_in_steps
from runtime.frames.planes import Conversion
from runtime.noise.table import noise_table
from runtime.results.claims import claim, l2_within
from runtime.samplers.function import CallableSampler

FRAME = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
SECRET = b"sixteen bytes or more"


def mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear in its input, a hundredth of a score unit a grey level."""
    return 100 * images.reshape(len(images), -1).mean(1)


def make(**options: object) -> Certifier:
    given = {"sampler": mean, "sigma": 0.12, "epsilon": 0.05, "samples": 100, "secret": SECRET, **options}
    return Certifier(**given)  # type: ignore[arg-type]


def test_score_and_interval_of_a_linear_function() -> None:
    certificate = make(samples=501).certify(FRAME)
    sd = 100 * 0.12 / math.sqrt(FRAME.size)
    assert certificate.score == np.median(certificate.scores)
    assert certificate.score == pytest.approx(100 * FRAME.mean() / 255, abs=5 * sd / math.sqrt(501))
    shift = 0.05 / 0.12
    assert certificate.upper - certificate.score > shift * sd
    assert certificate.upper - certificate.lower < 4 * shift * sd
    assert bool(certificate)
    assert not certificate.abstained
    assert certificate.reason is None


def test_same_secret_same_bits_other_secret_other_bits() -> None:
    first, again = make().certify(FRAME), make().certify(FRAME)
    assert first.scores.tobytes() == again.scores.tobytes()
    assert first.to_dict() == again.to_dict()
    other = make(secret=b"another sixteen bytes").certify(FRAME)
    assert first.scores.tobytes() != other.scores.tobytes()
    assert make(secret=None).certify(FRAME).scores.tobytes() != first.scores.tobytes()


def test_every_part_of_the_key_changes_the_noise() -> None:
    first = make().certify(FRAME).scores
    moved = FRAME.copy()
    moved[0, 0, 0] ^= 1
    assert make().certify(moved).scores[0] != pytest.approx(first[0], abs=1e-4)
    assert make(samples=101).certify(FRAME).scores[0] != first[0]
    assert make(sigma=0.1200001).certify(FRAME).scores[0] != pytest.approx(first[0], abs=1e-4)


def test_failed_samples_are_counted_not_dropped() -> None:
    def flaky(images: NDArray[np.float32]) -> NDArray[np.float32]:
        scores = mean(images)
        scores[scores > np.quantile(scores, 0.9)] = np.nan
        return scores

    flaky.__name__ = "mean"  # the same name gives the same noise
    whole, failed = make().certify(FRAME), make(sampler=flaky).certify(FRAME)
    assert failed.failed_samples == int(np.isnan(failed.scores).sum()) > 0
    assert failed.samples == len(failed.scores) == 100
    assert failed.upper >= whole.upper
    assert failed.lower <= whole.lower
    assert failed.radius(5.0) is None


def test_a_model_of_nan_is_an_error() -> None:
    with pytest.raises(ModelError, match="no median"):
        make(sampler=lambda images: np.full(len(images), np.nan)).certify(FRAME)


def test_too_many_failures_abstain() -> None:
    calls = np.random.default_rng(1)
    certificate = make(
        sampler=lambda images: np.where(calls.random(len(images)) < 0.3, np.nan, mean(images)), epsilon=0.1
    ).certify(FRAME)
    assert certificate.abstained
    assert "not finite" in (certificate.reason or "")
    assert math.isfinite(certificate.score)


def test_too_few_samples_abstain_with_the_number_that_would_do() -> None:
    certificate = make(epsilon=0.24).certify(FRAME)
    assert certificate.abstained
    assert (certificate.lower, certificate.upper) == (-math.inf, math.inf)
    assert "n=100 cannot bound ε/σ=2 at α=0.001" in (certificate.reason or "")
    assert "n ≥ 331" in (certificate.reason or "")
    record = certificate.to_dict()
    assert record["lower"] is None
    assert record["abstained"] is True
    assert not certificate


def test_remainder_batch_changes_nothing() -> None:
    whole = Certifier(sampler=CallableSampler(mean, 0.12, batch=1), samples=67, secret=SECRET).certify(FRAME)
    for batch in (3, 64, 100):
        other = Certifier(sampler=CallableSampler(mean, 0.12, batch=batch), samples=67, secret=SECRET).certify(FRAME)
        assert np.array_equal(whole.scores, other.scores)


def test_downscale_divides_the_radius() -> None:
    plain, halved = make().certify(FRAME), make(downscale=2).certify(FRAME)
    assert (plain.epsilon_engine, halved.epsilon_engine) == (0.05, 0.025)
    assert make(downscale=2).plan().shift == pytest.approx(0.025 / 0.12)


def test_sixteen_bits_agree_with_eight() -> None:
    wide = make().certify(FRAME.astype(np.uint16) * 257)
    assert wide.score == pytest.approx(make().certify(FRAME).score, abs=0.5)
    assert wide.provenance.bit_depth == 16


def test_planes() -> None:
    y = np.full((16, 16), 126, np.uint8)
    chroma = np.full((8, 8), 128, np.uint8)
    conversion = Conversion("bt709", "limited", 8, "4:2:0", "left", ())
    certificate = make().certify_planes([y, chroma, chroma], conversion)
    assert certificate.score == pytest.approx(100 * (126 - 16) / 219, abs=1.5)
    assert certificate.to_dict()["conversion"]["matrix"] == "bt709"


def test_stream_shares_alpha() -> None:
    certificates = list(make().stream([FRAME, FRAME[::-1].copy()], jointly=2))
    assert [c.alpha for c in certificates] == [0.0005, 0.0005]
    assert [c.alpha for c in make().stream([FRAME])] == [0.001]
    with pytest.raises(ParameterError, match="more than the 1"):
        list(make().stream([FRAME, FRAME], jointly=1))


def test_alpha_shared_later_is_alpha_shared_from_the_start() -> None:
    frames = [FRAME, FRAME[::-1].copy(), FRAME // 2]
    known = list(make().stream(frames, jointly=3))
    later = [certificate.shared_by(3) for certificate in make().stream(frames)]
    assert [one.to_dict() for one in later] == [one.to_dict() for one in known]
    with pytest.raises(ParameterError, match="only a certificate of all its samples"):
        make().certify(FRAME, tolerance=100).shared_by(3)
    with pytest.raises(ParameterError, match="by 1 frame or more"):
        known[0].shared_by(0)


def test_curve_splits_alpha_and_grows() -> None:
    certificate = make(samples=501).certify(FRAME)
    curve = certificate.curve([0.01, 0.05, 0.1])
    assert [point[0] for point in curve] == [0.01, 0.05, 0.1]
    widths = [upper - lower for _, lower, upper in curve]
    assert widths == sorted(widths)
    assert curve[1][1] <= certificate.lower
    assert certificate.curve([0.05])[0][1:] == (certificate.lower, certificate.upper)


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
def test_radius(scope: str) -> None:
    certificate = make(samples=1001, scope=scope).certify(FRAME)
    sd = 100 * 0.12 / math.sqrt(FRAME.size)
    radius = certificate.radius(1.5 * sd)
    assert radius is not None
    assert 0.6 * 1.5 * 0.12 < radius < 1.5 * 0.12
    assert (certificate.radius(2 * sd) or 0) >= radius
    assert certificate.radius(0.0) is None


def test_record_is_json_and_says_what_it_claims() -> None:
    record = make().certify(FRAME).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert "every frame" in record["claim"]
    assert record["noise"] == "secret"
    assert SECRET.hex() not in json.dumps(record)
    assert len(record["secret_sha256"]) == 64
    assert make(secret=None, public_seed=3).certify(FRAME).to_dict()["noise"] == "public seed"


def test_noise_is_added_on_the_lattice() -> None:
    """What reaches the function is (v + K)/(255 k²) with integer v + K, and K has the standard deviation asked for."""
    seen: list[NDArray[np.float32]] = []

    def keep(images: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(images.copy())
        return mean(images)

    make(sampler=keep, downscale=2).certify(FRAME)
    values = np.concatenate(seen) * np.float32(1020)
    assert np.abs(values - np.round(values)).max() < 1e-3
    sums = FRAME.astype(int).reshape(12, 2, 10, 2, 3).sum((1, 3)).transpose(2, 0, 1)
    assert (values - sums).std() == pytest.approx(122.4, rel=0.02)


def test_distance_of_the_noise_is_in_the_certificate() -> None:
    certificate = make().certify(FRAME)
    assert certificate.noise_distance == noise_table(sigma_in_steps(0.12, 8, 1)).distance * FRAME.size


def test_progress_counts_samples() -> None:
    drawn: list[int] = []
    make(samples=130, progress=drawn.append).certify(FRAME)
    assert sum(drawn) == 130


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (FRAME[:, :, 0], "grey"),
        (FRAME[:, :, :1], "grey"),
        (np.zeros((8, 8, 4), np.uint8), "RGBA"),
        (FRAME / 255.0, "uint8 or uint16"),
        (FRAME.astype(np.int32), "uint8 or uint16"),
        (FRAME[:0], "empty"),
        (FRAME.tolist(), "NumPy array"),
        (np.zeros((4, 8, 8, 3), np.uint8), "H×W×3"),
    ],
)
def test_not_an_rgb_frame(frame: object, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        make().certify(frame)  # type: ignore[arg-type]


def test_bit_depth_must_fit() -> None:
    with pytest.raises(FrameError, match="more than 10 bits"):
        make().certify(np.full((8, 8, 3), 1024, np.uint16), bit_depth=10)
    with pytest.raises(FrameError, match="bit_depth"):
        make().certify(FRAME, bit_depth=10)
    with pytest.raises(FrameError, match="smaller than one"):
        make(downscale=32).certify(FRAME)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epsilon": -1}, ParameterError, "epsilon"),
        ({"epsilon": math.nan}, ParameterError, "epsilon"),
        ({"alpha": 0}, ParameterError, "alpha"),
        ({"samples": 0}, ParameterError, "samples"),
        ({"scope": "ideal"}, ParameterError, "scope"),
        ({"sigma": None}, ParameterError, "sigma"),
        ({"sampler": 3}, ParameterError, "function of a noisy image"),
        ({"secret": b"short"}, ParameterError, "16 random bytes"),
        ({"public_seed": 1}, ParameterError, "not both"),
        ({"device": "tpu"}, ParameterError, "tpu"),
        ({"threads": 0}, ParameterError, "threads"),
        ({"model": "somewhere"}, ParameterError, "not both"),
        ({"device": "cuda"}, ParameterError, "belong to a model"),
        ({"threads": 2}, ParameterError, "belong to a model"),
        ({"threads": "two"}, ParameterError, "threads"),
        ({"downscale": 0}, ParameterError, "downscale"),
        ({"downscale": 1.5}, ParameterError, "downscale"),
        ({"downscale": True}, ParameterError, "downscale"),
        ({"sigma": 0}, ParameterError, "sigma"),
        ({"sigma": math.inf}, ParameterError, "sigma"),
        ({"sigma": "x"}, ParameterError, "sigma"),
        ({"sampler": CallableSampler(mean, math.nan), "sigma": None}, ParameterError, "sigma"),
        ({"alpha": "x"}, ParameterError, "alpha"),
        ({"secret": None, "public_seed": "x"}, ParameterError, "public_seed"),
        ({"secret": None, "public_seed": 1.5}, ParameterError, "public_seed"),
    ],
)
def test_bad_options(options: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        make(**options)


def test_terms_are_read_only_and_json() -> None:
    certifier = make(samples=np.int64(100), alpha=np.float32(0.01), downscale=np.int64(2))
    for name in ("epsilon", "alpha", "samples", "scope"):
        with pytest.raises(AttributeError):
            setattr(certifier, name, 1)
    assert type(certifier.samples) is int
    json.dumps(certifier.certify(FRAME).to_dict(), allow_nan=False)


def test_stream_of_ten_bits() -> None:
    frame = FRAME.astype(np.uint16) * 4
    (streamed,) = make().stream([frame], bit_depth=10)
    assert streamed.to_dict() == make().certify(frame, bit_depth=10).to_dict()


def test_a_given_sampler_stays_open() -> None:
    class Closing(CallableSampler):
        closed = 0

        def close(self) -> None:
            self.closed += 1

    sampler = Closing(mean, 0.12)
    with Certifier(sampler=sampler):
        pass
    assert sampler.closed == 0


def test_the_record_says_that_a_function_is_known_by_its_name() -> None:
    assert "name" in make().certify(FRAME).to_dict()["engine"]["model_sha256_of"]


def test_function_of_the_wrong_shape() -> None:
    with pytest.raises(ModelError, match="shape"):
        make(sampler=lambda images: images.mean()).certify(FRAME)


def test_plan() -> None:
    plan = make().plan()
    assert plan.shift == pytest.approx(0.05 / 0.12)
    assert (plan.lower_rank, plan.upper_rank) == make().certify(FRAME).ranks
    assert plan.reason is None
    refused = make().plan(epsilon=0.24)
    assert refused.least_samples == 331
    assert "331" in (refused.reason or "")


def test_memory_does_not_grow_with_samples() -> None:
    """Peak of traced allocations at 16 times the samples: the scores alone may grow."""
    import tracemalloc

    def peak(samples: int) -> int:
        certifier = make(samples=samples)
        tracemalloc.start()
        certifier.certify(FRAME)
        _, top = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return top

    peak(64)
    assert peak(1024) - peak(64) < 64 * 1024


def test_certificate_is_frozen() -> None:
    certificate: Certificate = make().certify(FRAME)
    with pytest.raises(AttributeError):
        certificate.score = 1.0  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        certificate.scores[0] = 1.0


def test_lattice_sums_blocks() -> None:
    from runtime.frames.lattice import to_lattice

    made = to_lattice(FRAME[:23, :19], downscale=3)
    assert isinstance(made, Lattice)
    expected = FRAME[:21, :18].astype(int).reshape(7, 3, 6, 3, 3).sum((1, 3)).transpose(2, 0, 1)
    assert np.array_equal(made.values, expected)
    assert made.steps == 255 * 9


def test_claim_prints_numbers_as_they_are() -> None:
    assert "at most 1e-11 over" in claim(l2_within(0.1), 1e-11, "smoothed", 501)
    assert "distance 0.1234567 " in claim(l2_within(0.1234567), 0.001, "smoothed", 501)
    assert "any one frame" in claim(l2_within(0.1), 0.001, "reported", 501)
    assert "same size and bit depth" in claim(l2_within(0.1), 0.001, "reported", 501)


def test_a_sampler_of_another_count_is_refused() -> None:
    class Short(CallableSampler):
        def scores(self, lattice, key, start, count):  # type: ignore[no-untyped-def]
            return np.array([5.0], np.float32)

    with pytest.raises(ModelError, match="shape"):
        Certifier(sampler=Short(lambda x: x.mean((1, 2, 3)), 0.12), samples=20).certify(FRAME)


def test_radius_takes_its_share_of_alpha() -> None:
    certificate = Certifier(sampler=lambda x: 100 * x.mean((1, 2, 3)), sigma=0.12, samples=400).certify(FRAME)
    tolerance = 2 * float(certificate.scores.std())
    full, half = certificate.radius(tolerance), certificate.radius(tolerance, alpha=certificate.alpha / 2)
    assert full is not None
    assert half is not None
    assert half < full
