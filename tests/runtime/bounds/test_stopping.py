"""Bounds that hold at every look: crossing probabilities in exact fractions, and simulated stops of the worst kinds.

Simulations count the certificates whose side is wrong at *any* look: the stopping rule that looks at the truth and
stops where it is worst. Each count is compared with the 99.9% quantile of Bin(runs, α/2), so a check raises a false
alarm at most once in 1,000 fresh seeds (the seeds here are fixed).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import ndtr
from scipy.stats import binom

from runtime import Certifier, Comparison, Gate, ParameterError
from runtime.bounds.alpha import Scope
from runtime.bounds.ranks import order_statistics, reported_shift, scope_ranks, sorted_sides
from runtime.bounds.stopping import (
    STEP,
    boundary,
    crossing,
    looks_from,
    schedule,
    scope_radius_shift,
    spending_ranks,
    stray_shift,
)

ALPHA = 0.05
RUNS = 20_000
SHIFT = 0.5
SAMPLES = 200
SECRET = b"sixteen bytes or more"


def exact_crossing(looks: tuple[int, ...], ranks: tuple[int, ...], p: Fraction) -> list[Fraction]:
    """P(S_{n_i} ≤ r_i − 1 for some i ≤ j) for each j, draw by draw, in exact fractions."""
    alive = {0: Fraction(1)}
    crossed, total = [], Fraction(0)
    for n in range(1, looks[-1] + 1):
        stepped: dict[int, Fraction] = {}
        for count, mass in alive.items():
            stepped[count] = stepped.get(count, Fraction(0)) + mass * (1 - p)
            stepped[count + 1] = stepped.get(count + 1, Fraction(0)) + mass * p
        alive = stepped
        if n in looks:
            rank = ranks[looks.index(n)]
            total += sum((mass for count, mass in alive.items() if count < rank), Fraction(0))
            alive = {count: mass for count, mass in alive.items() if count >= rank}
            crossed.append(total)
    return crossed


def random_case(rng: np.random.Generator) -> tuple[tuple[int, ...], float, float]:
    """Looks, p in 256ths, which keeps the fractions short, and an error."""
    looks = tuple(sorted(rng.choice(np.arange(1, 48), int(rng.integers(1, 7)), replace=False).tolist()))
    return looks, int(rng.integers(16, 129)) / 256, float(10 ** rng.uniform(-4, -0.5))


def test_crossing_by_brute_force() -> None:
    rng = np.random.default_rng(1)
    for _ in range(60):
        looks, p, _ = random_case(rng)
        ranks = tuple(int(rng.integers(0, n * p + 1)) for n in looks)
        exact = float(exact_crossing(looks, ranks, Fraction(p))[-1])
        assert crossing(looks, ranks, p) == pytest.approx(exact, rel=1e-11)


def test_every_sequence_of_twelve_draws() -> None:
    """All 4,096 of them, counted one by one, for p = 1/3."""
    looks, ranks = (3, 7, 12), (1, 2, 4)
    total = Fraction(0)
    for bits in range(2**12):
        draws = [bits >> i & 1 for i in range(12)]
        if any(sum(draws[:n]) < rank for n, rank in zip(looks, ranks, strict=True)):
            total += Fraction(1, 3) ** sum(draws) * Fraction(2, 3) ** (12 - sum(draws))
    assert crossing(looks, ranks, 1 / 3) == pytest.approx(float(total), rel=1e-12)


def test_ranks_are_the_largest_within_the_error_spent() -> None:
    """At each look: within its share of the error, and one rank more would not be."""
    rng = np.random.default_rng(2)
    for _ in range(30):
        looks, p, error = random_case(rng)
        ranks = spending_ranks(looks, p, error)
        shares = [Fraction(error) * n / looks[-1] for n in looks]
        crossed = exact_crossing(looks, tuple(ranks), Fraction(p))
        assert all(so_far <= share for so_far, share in zip(crossed, shares, strict=True))
        assert ranks == sorted(ranks)
        for j in range(len(looks)):
            more = (*ranks[:j], ranks[j] + 1)
            assert exact_crossing(looks[: j + 1], more, Fraction(p))[-1] > shares[j] * Fraction(1 - 2e-6)


@pytest.mark.parametrize("shift", [0.1, 0.42, 1.0, 2.0])
@pytest.mark.parametrize("samples", [501, 4000])
def test_cut_tails_stay_within_the_reserve(samples: int, shift: float) -> None:
    """The whole walk, nothing cut off, crosses with probability at most α/2, and wastes little of it."""
    made = schedule(samples, shift, 0.001, "smoothed")
    total = crossing(made.looks, [rank or 0 for rank in made.lower_ranks], float(ndtr(-shift)))
    assert total <= 0.0005
    assert total > 0.0003 or shift == 2.0


def test_one_look_is_the_fixed_certificate() -> None:
    for samples, shift in ((100, 0.5), (501, 0.42), (1000, 2.0)):
        assert boundary((samples,), shift, 0.001, "smoothed")[0] == order_statistics(samples, shift, 0.001)[0]
        assert boundary((samples,), shift, 0.001, "reported")[0] == scope_ranks(samples, shift, 0.001, "reported")[0]


def test_looks() -> None:
    looks = looks_from(STEP, 501)
    assert looks[-1] == 501
    assert all(n % STEP == 0 for n in looks[:-1])
    assert all(b > a for a, b in pairwise(looks))
    assert all(b <= max(a + STEP, 1.1 * a + STEP) for a, b in pairwise(looks))
    assert looks_from(STEP, 5) == (5,)


def test_a_clear_case_costs_a_tenth() -> None:
    """The default model's numbers: n = 501, α = 0.001, ε/σ = 0.42. The first look that bounds anything is early."""
    made = schedule(501, 0.1 / 2 / 0.12, 0.001, "smoothed")
    assert made.looks[0] <= 50
    assert made.ranks(0) == (2, 31)
    # Stopping costs little where it does not come to it: at the last look the rank is nearly the fixed one.
    assert (made.lower_ranks[-1] or 0) >= 0.96 * (order_statistics(501, 0.1 / 2 / 0.12, 0.001)[0] or 0)


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
def test_every_look_has_a_rank_or_there_is_one_look(scope: Scope) -> None:
    for samples in (5, 20, 101, 501, 3000):
        for shift in (0.0, 0.42, 1.0, 2.0, 3.0):
            made = schedule(samples, shift, 0.001, scope)
            if made.lower_ranks[0] is None:
                assert made.looks == (samples,)
                assert scope_ranks(samples, shift, 0.001, scope)[0] is None
            assert scope == "smoothed" or made.looks[0] >= samples / 4


def test_the_noise_distance_enters() -> None:
    near, far = schedule(501, 0.42, 0.001, "smoothed"), schedule(501, 0.42, 0.001, "smoothed", 0.01)
    assert (far.lower_ranks[-1] or 0) < (near.lower_ranks[-1] or 0)
    assert (schedule(501, 0.42, 0.001, "reported", 0.01).lower_ranks[-1] or 0) < (
        schedule(501, 0.42, 0.001, "reported").lower_ranks[-1] or 0
    )
    assert schedule(501, 3.0, 0.001, "smoothed", 0.01).lower_ranks == (None,)


def test_stray_shift_inverts_the_exact_crossing() -> None:
    looks = looks_from(56, 200)
    shift = stray_shift(looks, 0.01)
    middles = tuple(n // 2 + 1 for n in looks)
    # A multiple of 1/4096 above and one below, to keep the fractions short.
    level = 4096 * float(ndtr(shift))
    assert exact_crossing(looks, middles, Fraction(math.ceil(level), 4096))[-1] <= Fraction(1, 100)
    assert exact_crossing(looks, middles, Fraction(math.floor(level) - 8, 4096))[-1] > Fraction(1, 100)
    assert stray_shift((101,), 0.01) == reported_shift(101, 0.01)


def test_bad_parameters() -> None:
    for arguments in ((0, 0.1, 0.1, "smoothed"), (9, -1, 0.1, "smoothed"), (9, 0.1, 2, "smoothed"), (9, 1, 0.1, "x")):
        with pytest.raises(ParameterError):
            schedule(*arguments)  # type: ignore[arg-type]


def _staircase(z: NDArray[np.float64]) -> NDArray[np.float64]:
    """Skewed, with atoms: an atom at 0 holding the median, steps of a quarter above, growing exponentially."""
    return np.expm1(np.maximum(0.0, np.floor(4 * (z - 0.1)) / 4))


Function = Callable[[NDArray[np.float64]], NDArray[np.float64]]
FUNCTIONS: dict[str, Function] = {"linear": lambda z: z, "staircase": _staircase}


def simulated_intervals(
    function: Function, scope: Scope, rng: np.random.Generator, failing: float = 0.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(lower, upper) float64[RUNS, K] at every look of RUNS frames, f(z) with z ~ N(0, 1)."""
    made = schedule(SAMPLES, SHIFT, ALPHA, scope)
    scores = function(rng.standard_normal((RUNS, SAMPLES)))
    failed = rng.random(scores.shape) < failing
    lower, upper = np.empty((2, RUNS, len(made.looks)))
    for look, n in enumerate(made.looks):
        low_rank, high_rank = made.ranks(look)
        assert low_rank is not None
        assert high_rank is not None
        low = np.sort(np.where(failed[:, :n], -np.inf, scores[:, :n]), axis=1)
        high = np.sort(np.where(failed[:, :n], np.inf, scores[:, :n]), axis=1)
        lower[:, look], upper[:, look] = low[:, low_rank - 1], high[:, high_rank - 1]
    return lower, upper


@pytest.mark.parametrize("function", FUNCTIONS)
def test_no_stopping_rule_misses_more_often(function: str) -> None:
    """20,000 frames attacked by ±ε, z ~ N(±s, 1). Wrong at any look, at a random one, at the narrowest interval, at
    the first that passes a gate just above the truth ("stop when it looks good"): each side at most α/2."""
    f = FUNCTIONS[function]
    rng = np.random.default_rng(len(function))
    lower, upper = simulated_intervals(f, "smoothed", rng)
    down, up = f(np.array([-SHIFT, SHIFT]))
    limit = binom.ppf(0.999, RUNS, ALPHA / 2)
    runs = np.arange(RUNS)
    good = lower > down
    stops = {
        "worst for the lower side": lower.argmax(1),
        "worst for the upper side": upper.argmin(1),
        "random": rng.integers(0, lower.shape[1], RUNS),
        "narrowest": (upper - lower).argmin(1),
        "looks good": np.where(good.any(1), good.argmax(1), lower.shape[1] - 1),
    }
    for rule, look in stops.items():
        assert (lower[runs, look] > down).sum() <= limit, rule
        assert (upper[runs, look] < up).sum() <= limit, rule
    if function == "linear":
        # Not idle: the error is nearly used up, and fixed ranks at every look would be wrong far more often.
        assert (lower.max(1) > down).sum() > 0.85 * RUNS * ALPHA / 2
        assert (upper.min(1) < up).sum() > 0.85 * RUNS * ALPHA / 2


def test_ranks_of_a_fixed_number_would_not_do() -> None:
    """What the boundary is for: ranks for a fixed n at each look miss more than twice as often as α allows."""
    rng = np.random.default_rng(4)
    scores = rng.standard_normal((RUNS, SAMPLES))
    wrong = np.zeros(RUNS, bool)
    for n in schedule(SAMPLES, SHIFT, ALPHA, "smoothed").looks:
        rank = order_statistics(n, SHIFT, ALPHA)[0]
        assert rank is not None
        wrong |= np.sort(scores[:, :n], axis=1)[:, rank - 1] > -SHIFT
    assert wrong.sum() > 2 * binom.ppf(0.999, RUNS, ALPHA / 2)


def test_failed_samples_count_against_both_sides() -> None:
    """A tenth of the scores fail: the intervals still cover, at every look, and are wider."""
    rng = np.random.default_rng(8)
    lower, upper = simulated_intervals(FUNCTIONS["linear"], "smoothed", rng, failing=0.1)
    limit = binom.ppf(0.999, RUNS, ALPHA / 2)
    assert (lower.max(1) > -SHIFT).sum() <= limit
    assert (upper.min(1) < SHIFT).sum() <= limit
    assert np.isinf(lower).any()


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_next_report_is_covered_wherever_it_stops(function: str) -> None:
    """Scope "reported": both the certificate and the next report, of the attacked frame, stop where it is worst."""
    f = FUNCTIONS[function]
    rng = np.random.default_rng((5, len(function)))
    lower, upper = simulated_intervals(f, "reported", rng)
    looks = schedule(SAMPLES, SHIFT, ALPHA, "reported").looks
    fresh = rng.standard_normal((RUNS, SAMPLES))
    highest = np.max([np.median(f(fresh[:, :n] + SHIFT), axis=1) for n in looks], axis=0)
    lowest = np.min([np.median(f(fresh[:, :n] - SHIFT), axis=1) for n in looks], axis=0)
    limit = binom.ppf(0.999, RUNS, ALPHA / 2)
    assert (highest > upper.min(1)).sum() <= limit
    assert (lowest < lower.max(1)).sum() <= limit


@pytest.mark.parametrize("tolerance", [0.7, 1.5])
def test_the_radius_holds_at_the_worst_look(tolerance: float) -> None:
    rng = np.random.default_rng(6)
    looks = (40, 80, 160)
    runs = 4000
    wrong = claimed = 0
    for _ in range(runs):
        scores = rng.standard_normal(looks[-1])
        bad = False
        for n in looks:
            ordered = np.sort(scores[:n])
            centre = float(np.median(ordered))
            shift = scope_radius_shift(ordered, centre, tolerance, ALPHA, "smoothed", looks)
            claimed += shift is not None
            bad |= shift is not None and (shift > centre + tolerance or -shift < centre - tolerance)
        wrong += bad
    assert wrong <= binom.ppf(0.999, runs, ALPHA)
    assert claimed


FRAME = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
SPREAD = 100 * 0.12 / math.sqrt(FRAME.size)
MEAN = 100 * FRAME.mean() / 255


def mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Linear in its input, a hundredth of a score unit a grey level."""
    return 100 * images.reshape(len(images), -1).mean(1)


def make(**options: object) -> Certifier:
    given = {"sampler": mean, "sigma": 0.12, "epsilon": 0.05, "samples": 501, "secret": SECRET, **options}
    return Certifier(**given)  # type: ignore[arg-type]


def test_tolerance_stops_at_the_first_look_that_is_narrow() -> None:
    tolerance = 2 * (0.05 / 0.12 + 0.5) * SPREAD
    full, stopped = make().certify(FRAME), make().certify(FRAME, tolerance=tolerance)
    assert stopped.stopping is not None
    made, look = stopped.stopping.schedule, stopped.stopping.look
    assert stopped.drawn == made.looks[look] < 501 == stopped.samples
    assert stopped.upper - stopped.lower <= tolerance
    assert np.array_equal(stopped.scores, full.scores[: stopped.drawn])  # the same noise, as far as it went
    for earlier in range(look):
        lower, upper = made.ranks(earlier)
        assert lower is not None
        assert upper is not None
        ordered = np.sort(full.scores[: made.looks[earlier]])
        assert ordered[upper - 1] - ordered[lower - 1] > tolerance
    assert stopped.lower <= stopped.score <= stopped.upper


def test_a_tolerance_out_of_reach_draws_them_all() -> None:
    certificate = make().certify(FRAME, tolerance=0.0)
    assert certificate.drawn == 501
    assert certificate.upper - certificate.lower > 0
    for tolerance in (-1.0, math.nan, math.inf):
        with pytest.raises(ParameterError, match="tolerance"):
            make().certify(FRAME, tolerance=tolerance)


def test_too_few_samples_abstain_as_without_stopping() -> None:
    certificate = make(samples=100, epsilon=0.24).certify(FRAME, tolerance=1.0)
    assert certificate.abstained
    assert "n ≥ 331" in (certificate.reason or "")


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
def test_the_record_of_a_stop(scope: Scope) -> None:
    certificate = make(scope=scope).certify(FRAME, tolerance=6 * SPREAD)
    record = certificate.to_dict()
    assert record["samples"] == 501
    assert record["drawn"] == certificate.drawn < 501
    stopping = record["stopping"]
    assert stopping["rule"] == {"kind": "tolerance", "tolerance": 6 * SPREAD}
    assert stopping["lower_ranks"][stopping["looks"].index(record["drawn"])] == record["lower_rank"]
    assert "whatever reason" in record["claim"]
    if scope == "reported":
        assert ", ".join(map(str, stopping["looks"])) in record["claim"]
    assert "stopping" not in make().certify(FRAME).to_dict()


def test_curve_and_radius_of_a_stopped_certificate_hold_at_every_look() -> None:
    certificate = make().certify(FRAME, tolerance=4 * SPREAD)
    full = make(samples=certificate.drawn).certify(FRAME)
    assert certificate.curve([0.05])[0][1:] == (certificate.lower, certificate.upper)
    # Another key, but linear: a stopped certificate is worth less than one of as many samples that were fixed.
    assert (certificate.radius(2 * SPREAD) or 0) < (full.radius(2 * SPREAD) or 0)
    widths = [upper - lower for _, lower, upper in certificate.curve([0.01, 0.05, 0.08])]
    assert widths == sorted(widths)


@pytest.mark.parametrize(("margin", "decision"), [(-6, "pass"), (6, "fail"), (0, "undecided")])
def test_gate(margin: int, decision: str) -> None:
    gate = make().gate(FRAME, at_least=MEAN + margin * SPREAD)
    assert isinstance(gate, Gate)
    assert gate.decision == decision
    assert bool(gate) == (decision == "pass")
    assert gate.pooled.drawn == (501 if decision == "undecided" else gate.pooled.certificates[0].drawn)
    assert decision == "undecided" or gate.pooled.drawn <= 50
    assert gate.to_dict()["decision"] == decision


def test_gate_at_the_bound_itself_passes() -> None:
    """At least means ≥: a threshold equal to the lower bound of the first look passes there."""
    gate = make().gate(FRAME, at_least=MEAN - 10 * SPREAD)
    again = make().gate(FRAME, at_least=gate.pooled.lower)
    assert again.decision == "pass"
    assert again.pooled.drawn == gate.pooled.drawn


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
def test_gate_of_a_clip(scope: Scope) -> None:
    """Three frames at α/3 each; the pooled mean is gated, or the least of them."""
    frames = [FRAME, np.full_like(FRAME, 200), np.full_like(FRAME, 90)]
    scores = [100 * frame.mean() / 255 for frame in frames]
    certifier = make(scope=scope)
    gate = certifier.gate(frames, at_least=float(np.mean(scores)) - 5 * SPREAD)
    assert gate.decision == "pass"
    assert [c.alpha for c in gate.pooled.certificates] == [0.001 / 3] * 3
    assert gate.pooled.score == pytest.approx(np.mean(scores), abs=SPREAD)
    assert gate.pooled.drawn < gate.pooled.samples == 3 * 501
    assert certifier.gate(frames, at_least=min(scores) + 5 * SPREAD, pool="min").decision == "fail"
    assert certifier.gate(frames, at_least=min(scores) - 5 * SPREAD, pool="min").decision == "pass"
    # The same noise and the same bounds as one frame at the same share of alpha.
    alone = make(scope=scope, alpha=0.001 / 3).gate(FRAME, at_least=0.0)
    assert alone.pooled.certificates[0].scores[:8].tobytes() == gate.pooled.certificates[0].scores[:8].tobytes()


class Reread:
    """Frames that change from pass to pass."""

    def __init__(self, *passes: list[NDArray[np.uint8]]) -> None:
        self._passes = iter(passes)

    def __len__(self) -> int:
        return 2

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(next(self._passes))


def test_a_clip_that_changes_between_looks_is_refused() -> None:
    other = FRAME[::-1].copy()
    for second, message in (([FRAME, FRAME], "changed"), ([FRAME], "1 frames"), ([FRAME, other, other], "more than")):
        with pytest.raises(ParameterError, match=message):
            make().gate(Reread([FRAME, other], second), at_least=MEAN)


def test_compare() -> None:
    better = np.clip(FRAME.astype(int) + 3, 0, 255).astype(np.uint8)
    comparison = make().compare(better, FRAME)
    assert isinstance(comparison, Comparison)
    assert comparison.decision == "a"
    assert make().compare(FRAME, better).decision == "b"
    assert comparison.a.certificates[0].alpha == comparison.b.certificates[0].alpha == 0.0005
    assert comparison.a.drawn < 100
    same = make().compare(FRAME, FRAME)
    assert same.decision == "undecided"
    assert not same
    assert (same.a.drawn, same.b.drawn) == (501, 501)
    assert make().compare([FRAME, FRAME], [better]).decision == "b"


@pytest.mark.parametrize("scope", ["smoothed", "reported"])
@pytest.mark.parametrize("frames", [1, 2])
def test_decisions_claim_no_more_than_certificates(scope: Scope, frames: int) -> None:
    """Every condition of a certificate's claim is in that of a gate and of a comparison."""
    clip = [FRAME, FRAME[::-1].copy()][:frames]
    better = [np.clip(frame.astype(int) + 20, 0, 255).astype(np.uint8) for frame in clip]
    gate, comparison = make(scope=scope).gate(clip, at_least=10), make(scope=scope).compare(better, clip)
    assert (gate.decision, comparison.decision) == ("pass", "a")
    looks = ", ".join(map(str, gate.pooled.certificates[0].looks))
    conditions = ["of the same size and bit depth", "for whatever reason sampling stopped"]
    if scope == "reported":
        conditions += [f"any of the looks has ({looks})", "without knowledge of the secret and of earlier results"]
    for said in (gate.pooled.certificates[0].to_dict()["claim"], gate.claim, comparison.claim):
        assert all(condition in said for condition in conditions)
    assert ("mean" in gate.claim) == (frames > 1)
    assert ("first frame as received" if frames == 1 else "first clip's frame as received") in comparison.claim
    assert comparison.to_dict()["higher_is_better"] is True


def test_a_gate_that_abstains_says_why() -> None:
    abstaining = make(epsilon=0.3, samples=20)
    gate, comparison = abstaining.gate(FRAME, at_least=1), abstaining.compare(FRAME, FRAME)
    for made in (gate, comparison):
        assert made.decision == "undecided"
        assert "n=20 cannot bound" in (made.reason or "")
        assert made.to_dict()["reason"] == made.reason
    below = make(sampler=lambda images: mean(images) - 200).gate([FRAME, FRAME], at_least=1, pool="harmonic_mean")
    assert "not above -1" in (below.reason or "")
    decided, close = make().gate(FRAME, at_least=1), make().gate(FRAME, at_least=MEAN)
    assert decided.reason is None
    assert close.reason is None
    assert "reason" not in close.to_dict()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.gate(FRAME, at_least=math.nan), "at_least"),
        (lambda c: c.gate(FRAME, at_least="60"), "at_least"),
        (lambda c: c.certify(FRAME, tolerance="1"), "tolerance"),
        (lambda c: next(c.stream([FRAME], jointly=1.5)), "jointly"),
        (lambda c: c.gate(FRAME, at_least=1, pool="median"), "pool"),
        (lambda c: c.gate([], at_least=1), "no frame"),
        (lambda c: c.gate(iter([FRAME]), at_least=1), "once a look"),
        (lambda c: c.compare(FRAME, None), "once a look"),
    ],
)
def test_bad_questions(call: Callable[[Certifier], object], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        call(make())


@pytest.mark.parametrize("question", ["gate", "compare"])
def test_answers_are_wrong_no_more_often_than_alpha(question: str) -> None:
    """The whole road on 500 small frames: a gate exactly at the smoothed score of the worst attack, at which "pass"
    is wrong, and two frames whose intervals touch, of which neither is certainly better. Each at most α/2 a side."""
    rng = np.random.default_rng(3)
    runs, sd, shift = 500, 100 * 0.12 / math.sqrt(12), 0.05 / 0.12
    certifier = make(alpha=0.2, samples=80, secret=None, public_seed=9)
    wrong = {"pass": 0, "fail": 0, "a": 0, "b": 0, "undecided": 0}
    for _ in range(runs):
        frame = rng.integers(60, 196, (2, 2, 3), np.uint8)
        score = 100 * frame.mean() / 255
        if question == "gate":
            # The least threshold that some frame within ε misses; rounding of the noise moves it by less than 1e-6.
            wrong[certifier.gate(frame, at_least=score - shift * sd + 1e-6).decision] += 1
        else:
            other = rng.permutation(frame.reshape(-1)).reshape(frame.shape)  # the same score, other noise
            wrong[certifier.compare(frame, other).decision] += 1
    del wrong["undecided"]
    assert max(wrong.values()) <= binom.ppf(0.999, runs, 0.1)


def test_sorted_sides_of_a_stop_with_failures() -> None:
    """A model that fails now and then: the certificate of the stop counts only the failures it drew."""
    calls = np.random.default_rng(1)
    certifier = make(sampler=lambda images: np.where(calls.random(len(images)) < 0.05, np.nan, mean(images)))
    certificate = certifier.certify(FRAME, tolerance=5 * SPREAD)
    assert certificate.drawn < 501
    assert certificate.failed_samples == int(np.isnan(certificate.scores).sum())
    low, high = sorted_sides(certificate.scores)
    lower, upper = certificate.ranks
    assert lower is not None
    assert upper is not None
    assert (certificate.lower, certificate.upper) == (low[lower - 1], high[upper - 1])
