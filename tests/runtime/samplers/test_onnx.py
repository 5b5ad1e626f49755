"""The ONNX Runtime sampler against the same function in NumPy, and what it refuses."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import BundleError, Certifier, DeviceError, FrameError, ModelError, ParameterError
from runtime.bundle.manifest import ScoreContract
from runtime.bundle.store import file_entry, write_bundle
from runtime.frames.lattice import Lattice, to_lattice
from runtime.samplers import onnx
from runtime.samplers.function import CallableSampler
from runtime.samplers.onnx import WORKERS, OnnxSampler
from tests.support.clips import photograph
from tests.support.tiny import tiny_bundle

FRAME = photograph()[:50, :70]
KEY = bytes(16)


def clamped_mean(images: NDArray[np.float32]) -> NDArray[np.float32]:
    return 100 * np.clip(images, 0, 1).reshape(len(images), -1).mean(1)


def test_equals_the_function_it_holds(tmp_path: Path) -> None:
    values = to_lattice(FRAME, downscale=2)
    ours = OnnxSampler(tiny_bundle(tmp_path / "b")).scores(values, KEY, 3, 11)
    expected = CallableSampler(clamped_mean, 0.12, downscale=2).scores(values, KEY, 3, 11)
    assert ours == pytest.approx(expected, abs=1e-3)


def test_clean_score_is_the_frame_itself(tmp_path: Path) -> None:
    values = to_lattice(FRAME, downscale=2)
    ours = OnnxSampler(tiny_bundle(tmp_path / "b")).clean_score(values)
    assert ours == pytest.approx(100 * values.values.mean() / values.steps, abs=1e-3)


@pytest.mark.parametrize("batch", [1, 3, 16])
def test_remainders_and_batches_change_nothing(tmp_path: Path, batch: int) -> None:
    values = to_lattice(FRAME, downscale=2)
    whole = OnnxSampler(tiny_bundle(tmp_path / "a")).scores(values, KEY, 0, 13)
    other = OnnxSampler(tiny_bundle(tmp_path / "b", batch=batch))
    assert other.engine["batch"] == batch
    # ONNX Runtime sums in another order for another batch: equal up to a float32 rounding or two.
    assert other.scores(values, KEY, 0, 13) == pytest.approx(whole, rel=3e-7)
    assert other.scores(values, KEY, 5, 4) == pytest.approx(whole[5:9], rel=3e-7)
    assert np.array_equal(other.scores(values, KEY, 0, 13), other.scores(values, KEY, 0, 13))


def test_frame_sizes_may_change(tmp_path: Path) -> None:
    with Certifier(tiny_bundle(tmp_path / "b").path, public_seed=1) as certifier:
        first = certifier.certify(FRAME)
        certifier.certify(FRAME[:20, :40])
        assert certifier.certify(FRAME).to_dict() == first.to_dict()


def test_record_names_what_ran(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    record = Certifier(bundle.path, public_seed=1).certify(FRAME).to_dict()
    assert record["engine"]["device"] == "cpu"
    assert record["engine"]["provider"] == "CPUExecutionProvider"
    assert record["engine"]["version"].startswith("onnxruntime ")
    assert record["model_sha256"] == bundle.digest
    assert (record["samples"], record["epsilon"], record["alpha"]) == (101, 0.1, 0.001)


def test_precision_chooses_the_graph(tmp_path: Path) -> None:
    """Another precision is another function: its own scores, digest and noise."""
    bundle = tiny_bundle(tmp_path / "b", int8=True)
    records = {}
    for precision in ("fp32", "int8"):
        with Certifier(bundle.path, public_seed=1, precision=precision) as certifier:
            records[precision] = certifier.certify(FRAME).to_dict()
        assert records[precision]["engine"]["precision"] == precision
        assert records[precision]["model_sha256"] == bundle.graph_digest(precision)
    assert records["fp32"]["model_sha256"] == bundle.digest != bundle.graph_digest("int8")
    values, key = to_lattice(FRAME, downscale=2), bytes(16)
    scores = [OnnxSampler(bundle, precision=precision).scores(values, key, 0, 5) for precision in records]
    assert scores[1] == pytest.approx(0.99 * scores[0], rel=1e-6)


def test_no_precision_stands_in_for_another(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=r"has no model\.int8\.onnx: build it again with --int8 added"):
        Certifier(bundle.path, precision="int8")
    with pytest.raises(ParameterError, match="'cpu' is fp32 or int8, not 'fp16'; fp16 is for device 'cuda'"):
        Certifier(bundle.path, precision="fp16")
    with pytest.raises(ParameterError, match="device, precision, threads and trusted_keys belong to a model"):
        Certifier(sampler=clamped_mean, sigma=0.12, precision="int8")


def test_zip_is_the_same_model(tmp_path: Path) -> None:
    folder, packed = tiny_bundle(tmp_path / "b"), tiny_bundle(tmp_path / "b.zip")
    made = [Certifier(bundle.path, public_seed=1).certify(FRAME).to_dict() for bundle in (folder, packed)]
    assert made[0] == made[1]


def test_refusals(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    certifier = Certifier(bundle.path)
    with pytest.raises(FrameError, match="at least 16×16"):
        certifier.certify(FRAME[:14])
    with pytest.raises(DeviceError, match="cuda"):
        Certifier(bundle.path, device="cuda")
    with pytest.raises(FrameError, match="64×64 only"):
        Certifier(tiny_bundle(tmp_path / "f", height=32, width=32).path).certify(FRAME)
    with pytest.raises(ModelError, match="NaN"):
        Certifier(tiny_bundle(tmp_path / "n", extra="nan").path).certify(FRAME)
    with pytest.raises(ModelError, match="failed on a 35×25 input"):
        Certifier(tiny_bundle(tmp_path / "s", extra="sixteen").path).certify(FRAME)
    (bundle.path / "model.onnx").write_bytes(b"something else")
    with pytest.raises(BundleError, match="altered"):
        Certifier(bundle.path)


def test_not_a_network(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    manifest = replace(bundle.manifest, files={"model.onnx": file_entry(b"no graph")})
    write_bundle(tmp_path / "b", manifest, {"model.onnx": b"no graph"})
    with pytest.raises(BundleError, match=r"wire type|no ONNX"):
        Certifier(tmp_path / "b")


def test_two_threads_get_what_one_gets(tmp_path: Path) -> None:
    """Frames of two sizes, which the shared input buffer is made for in turn."""
    frames = [photograph()[: 40 + 10 * (i % 2), : 60 + i] for i in range(8)]
    with Certifier(tiny_bundle(tmp_path / "b").path, public_seed=1, threads=1) as certifier:
        expected = [certifier.certify(frame).to_dict() for frame in frames]
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda frame: certifier.certify(frame).to_dict(), frames))
    assert found == expected


@pytest.mark.parametrize("threads", [1, 2])
def test_large_frames_go_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """One engine, one input, a batch of one, and the record says so; the lattice's size alone decides."""
    small = to_lattice(FRAME, downscale=2)
    bundle = tiny_bundle(tmp_path / "b")
    wanted = OnnxSampler(bundle, threads=threads).scores(small, KEY, 3, 5)
    monkeypatch.setattr(onnx, "LARGE", small.height * small.width - 1)
    sampler = OnnxSampler(bundle, threads=threads)
    assert sampler.scores(small, KEY, 3, 5) == pytest.approx(wanted, rel=3e-7)
    assert sampler.engine_for(small)["batch"] == 1
    assert [noisy.shape for noisy in sampler._inputs] == [(1, 3, 25, 35)]
    assert sampler.clean_score(small) == OnnxSampler(bundle).clean_score(small)
    less = to_lattice(FRAME[:, :-2], downscale=2)
    assert sampler.engine_for(less)["batch"] == onnx.BATCH
    sampler.scores(less, KEY, 3, 5)
    assert len(sampler._inputs) == threads + 1
    again = sampler.scores(small, KEY, 3, 5)
    assert np.array_equal(again, OnnxSampler(bundle, threads=3 - threads).scores(small, KEY, 3, 5))


def test_large_frames_are_replayed_the_same_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "LARGE", 25 * 35 - 1)
    path = tiny_bundle(tmp_path / "b").path
    with Certifier(path, public_seed=1, threads=1) as one, Certifier(path, public_seed=1, threads=2) as two:
        record = one.certify(FRAME).to_dict()
        assert record["engine"]["batch"] == 1
        assert two.certify(FRAME).to_dict() == record


@pytest.mark.parametrize("threads", [1, 2, WORKERS, WORKERS + 3])
def test_any_number_of_threads_gives_the_same_scores(tmp_path: Path, threads: int) -> None:
    values = to_lattice(FRAME, downscale=2)
    bundle = tiny_bundle(tmp_path / "b")
    wanted = OnnxSampler(bundle, threads=1).scores(values, KEY, 0, 41)
    sampler = OnnxSampler(bundle, threads=threads)
    for start, count in ((0, 41), (40, 1), (3, 2), (7, 0)):
        assert sampler.scores(values, KEY, start, count) == pytest.approx(wanted[start : start + count], rel=3e-7)
    assert np.array_equal(sampler.scores(values, KEY, 0, 41), wanted)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_failing_call_stops_all_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    """The first failure is what is raised, hardly anything is scored after it, and the next call finds all in order."""
    values = to_lattice(FRAME, downscale=2)
    sampler = OnnxSampler(tiny_bundle(tmp_path / "b"), threads=threads)
    wanted = sampler.scores(values, KEY, 0, 20)
    calls: list[int] = []

    def fails_once(noisy: NDArray[np.float32], _: Lattice) -> NDArray[np.float32]:
        calls.append(1)
        if len(calls) == 5:
            raise ModelError("out of order")
        return np.zeros(len(noisy), np.float32)

    with monkeypatch.context() as broken:
        broken.setattr(sampler, "_run", fails_once)
        with pytest.raises(ModelError, match="out of order"):
            sampler.scores(values, KEY, 0, 20_000)
    assert len(calls) < 1000
    assert np.array_equal(sampler.scores(values, KEY, 0, 20), wanted)


def test_close(tmp_path: Path) -> None:
    """Twice is once; afterwards there are no scores, and a message that says so."""
    sampler = OnnxSampler(tiny_bundle(tmp_path / "b"))
    with Certifier(sampler=sampler, public_seed=1, samples=20) as given:
        given.certify(FRAME)
    sampler.clean_score(to_lattice(FRAME, downscale=2))  # a sampler that was given stays open
    owner = Certifier(tmp_path / "b", public_seed=1)
    owner.close()
    owner.close()
    with pytest.raises(ModelError, match="tiny was closed"):
        owner.certify(FRAME)


def test_a_model_whose_lower_scores_are_better(tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "b")
    manifest = replace(bundle.manifest, score=ScoreContract(0.0, 100.0, False))
    write_bundle(tmp_path / "b", manifest, {"model.onnx": bundle.read("model.onnx")})
    certifier = Certifier(tmp_path / "b", public_seed=1, epsilon=0.01)
    assert not certifier.higher_is_better
    with pytest.raises(ParameterError, match="export the metric negated"):
        certifier.gate(FRAME, at_least=10)
    made = certifier.compare(np.full_like(FRAME, 200), np.full_like(FRAME, 20))
    assert made.decision == "a"
    assert made.to_dict()["higher_is_better"] is False
    assert made.claim.endswith("A lower score of this model is the better one.")


def test_resident_memory_is_flat(tmp_path: Path) -> None:
    """Peak resident memory of the process from 2,000 to 6,000 samples: no n×frame buffer, which would be 90 MB."""
    import resource

    with Certifier(tiny_bundle(tmp_path / "b").path, samples=2000) as certifier:
        certifier.certify(FRAME)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with Certifier(tmp_path / "b", samples=6000) as certifier:
        certifier.certify(FRAME)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000
