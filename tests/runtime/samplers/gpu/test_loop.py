"""The device loop against a GPU made of host memory: same certificates, order, buffers, failures, release."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import Certifier, FrameError, ModelError
from runtime.bundle.manifest import GRAPHS, MODEL
from runtime.bundle.store import Bundle, file_entry, write_bundle
from runtime.frames.lattice import to_lattice
from runtime.samplers import Sampler
from runtime.samplers.gpu.loop import GpuSampler
from runtime.samplers.onnx import OnnxSampler
from tests.support.clips import photograph
from tests.support.device_arrays import CudaArray, DLPackArray
from tests.support.gpu_fake import FakeDevice, FakeEngine
from tests.support.kernel_host import COMPILER, Host, compile_host
from tests.support.tiny import graph, tile_bundle, tiny_bundle

FRAME = photograph()[:50, :70]
KEY = bytes(range(16))
BATCH = 4
Open = Callable[..., tuple[GpuSampler, FakeDevice, FakeEngine]]


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    if COMPILER is None:
        pytest.skip("g++ is not installed: the GPU kernels cannot be run on the host")
    return compile_host(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return tiny_bundle(tmp_path / "b")


@pytest.fixture
def opened(host: Host, bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> Open:
    """A sampler on a fake GPU, its device and its engine. CPU samplers take batches of the same size meanwhile."""
    monkeypatch.setattr("runtime.samplers.onnx.BATCH", BATCH)

    def make(*, eager: bool = True, batch: int = BATCH) -> tuple[GpuSampler, FakeDevice, FakeEngine]:
        device = FakeDevice(host, eager=eager)
        engine = FakeEngine(bundle, device, batch)
        return GpuSampler(bundle, "fp32", device, engine, {"gpu": "GPU A"}), device, engine

    return make


@pytest.mark.parametrize("eager", [False, True])
def test_certificates_are_the_cpus(opened: Open, bundle: Bundle, eager: bool) -> None:
    """Bit for bit, for several frames, sizes and bit depths: 101 samples are 26 batches of 4, the last with padding."""
    sampler, _, _ = opened(eager=eager)
    assert isinstance(sampler, Sampler)
    deep = FRAME.astype(np.uint16) * 4
    with Certifier(bundle.path, public_seed=3) as cpu, Certifier(sampler=sampler, public_seed=3, samples=101) as gpu:
        for frame, depth in ((FRAME, 8), (FRAME[::-1], 8), (FRAME[:30, :41], 8), (deep, 10), (FRAME, 8)):
            ours = gpu.certify(frame, bit_depth=depth).to_dict()
            theirs = cpu.certify(frame, bit_depth=depth).to_dict()
            assert ours.pop("engine") != theirs.pop("engine")
            assert ours == theirs
    sampler.close()


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize(("batch", "start", "count"), [(1, 0, 5), (3, 2, 11), (16, 0, 7), (4, 1 << 40, 8)])
def test_samples_are_those_asked_for(
    opened: Open, bundle: Bundle, eager: bool, batch: int, start: int, count: int
) -> None:
    values = to_lattice(FRAME, downscale=2)
    fixed = tiny_bundle(bundle.path.with_name("fixed"), batch=batch)
    expected = OnnxSampler(fixed).scores(values, KEY, start, count)
    sampler, _, _ = opened(eager=eager, batch=batch)
    found = sampler.scores(values, KEY, start, count)
    assert found.dtype == np.float32
    assert np.array_equal(found, expected)


def test_the_fake_notices_a_missing_wait(opened: Open) -> None:
    """Without the waits between the streams the scores are others: the tests above can fail."""
    values = to_lattice(FRAME, downscale=2)
    expected = opened()[0].scores(values, KEY, 0, 24)
    for name, eager in (("noise waits", True), ("engine waits", False)):
        sampler, device, _ = opened(eager=eager)
        real = device.wait
        device.wait = lambda stream, event, real=real, name=name: (
            None if f"{stream.name} waits" == name else real(stream, event)
        )
        assert not np.array_equal(sampler.scores(values, KEY, 0, 24), expected), name


def test_order_of_one_call(opened: Open) -> None:
    """Noise of batch j+1 is enqueued before engine j, the host waits once, and the frame is uploaded once."""
    sampler, device, _ = opened()
    values = to_lattice(FRAME, downscale=2)
    sampler.scores(values, KEY, 0, 10)
    noise = ["noise waits", "noise_f32", "record on noise"]
    engine = ["engine waits", "engine", "record on engine", "gather_scores"]
    uploads = ["upload uint32", "upload uint16", "upload uint64", "upload int32", "upload float32"]
    rest = [name for name in device.log if name not in ("allocate", "pin", "bind")]
    assert rest == [*uploads, *noise, *noise, *engine, *noise, *engine, *engine, "download", "the host waits"]
    assert device.pending() == 0
    device.log.clear()
    sampler.scores(values, KEY, 10, 3)
    assert device.log == [*noise, *engine, "download", "the host waits"]


def test_nothing_is_allocated_after_the_first_frame(opened: Open) -> None:
    sampler, device, _ = opened()
    certifier = Certifier(sampler=sampler, samples=101)
    certifier.certify(FRAME)
    allocations, live = device.allocations, set(device.live)
    for shift in range(5):
        certifier.certify(np.roll(FRAME, shift, axis=1))
    assert (device.allocations, set(device.live)) == (allocations, live)
    certifier.certify(FRAME[:40])
    assert len(device.live) == len(live)
    assert device.allocations > allocations


def test_close(opened: Open) -> None:
    """Twice is once; memory, engine and device are let go, and there are no scores any more."""
    sampler, device, engine = opened()
    values = to_lattice(FRAME, downscale=2)
    sampler.scores(values, KEY, 0, 5)
    assert device.live
    sampler.close()
    sampler.close()
    assert not device.live
    assert (engine.closed, device.closed) == (True, True)
    with pytest.raises(ModelError, match="tiny was closed"):
        sampler.scores(values, KEY, 0, 5)


def test_every_call_may_fail(opened: Open) -> None:
    """Whichever call of the device fails: one message, all memory free, and the next call gives the right scores."""
    values = to_lattice(FRAME, downscale=2)
    sampler, device, _ = opened()
    expected = sampler.scores(values, KEY, 0, 9)
    for number in range(1, device.calls + 1):
        sampler, device, _ = opened()
        device.fail_at = number
        with pytest.raises(ModelError, match=r"^tiny failed on a 35×25 input: .*out of luck$"):
            sampler.scores(values, KEY, 0, 9)
        assert not device.live, device.log[-1]
        assert np.array_equal(sampler.scores(values, KEY, 0, 9), expected)
        sampler.close()


def test_an_interrupt_releases_too(opened: Open) -> None:
    sampler, device, engine = opened()
    values = to_lattice(FRAME, downscale=2)

    def interrupted(slot: int, stream: object) -> None:
        raise KeyboardInterrupt

    engine.run, real = interrupted, engine.run
    with pytest.raises(KeyboardInterrupt):
        sampler.scores(values, KEY, 0, 5)
    assert not device.live
    engine.run = real
    assert len(sampler.scores(values, KEY, 0, 5)) == 5


def test_a_device_that_is_lost(opened: Open) -> None:
    """Where even freeing fails, the error is still the first one."""
    sampler, device, _ = opened()

    def lost(*_: object) -> None:
        raise RuntimeError("the context is destroyed")

    device.launch = device.free = device.synchronize = lost
    with pytest.raises(ModelError, match="the context is destroyed"):
        sampler.scores(to_lattice(FRAME, downscale=2), KEY, 0, 5)


def test_frames_it_cannot_take_do_not_reach_the_device(opened: Open) -> None:
    sampler, device, engine = opened()
    with pytest.raises(FrameError, match="at least 16×16"):
        sampler.scores(to_lattice(FRAME[:14], downscale=2), KEY, 0, 5)
    assert engine.sizes == []
    assert device.log == []


def _frames_on_the_device(device: FakeDevice) -> list[tuple[np.ndarray, CudaArray | DLPackArray, int]]:
    """(host frame, the same on the device, bit depth)."""
    deep = FRAME.astype(np.uint16) * 4
    frames = [
        (FRAME, CudaArray(FRAME), 8),
        (FRAME[::-1], CudaArray(FRAME[::-1], padding=17), 8),
        (FRAME[:30, :41], DLPackArray(np.ascontiguousarray(FRAME)[:30, :41]), 8),
        (deep, CudaArray(deep, padding=2), 10),
    ]
    device.readable |= {array.address for _, array, _ in frames}
    return frames


@pytest.mark.parametrize("eager", [False, True])
def test_certificates_of_device_frames_are_those_of_host_copies(opened: Open, bundle: Bundle, eager: bool) -> None:
    """Bit for bit: 8 and 10 bits, padded rows, a view. What is certified is not written to."""
    sampler, device, _ = opened(eager=eager)
    with Certifier(bundle.path, public_seed=3) as cpu, Certifier(sampler=sampler, public_seed=3, samples=101) as gpu:
        for frame, array, depth in _frames_on_the_device(device):
            record = cpu.certify(frame, bit_depth=depth).to_dict()
            for given in (array, frame, array):
                found = gpu.certify(given, bit_depth=depth).to_dict()
                assert {**found, "engine": None} == {**record, "engine": None}
            assert np.array_equal(array.pixels, frame)
            assert isinstance(array, DLPackArray) or array.intact()
    sampler.close()


@pytest.mark.parametrize("share_noise", [False, True])
def test_every_question_takes_device_frames(opened: Open, share_noise: bool) -> None:
    sampler, device, _ = opened()
    frames = [photograph()[20 * i : 20 * i + 50, :70] for i in range(3)]
    arrays = [CudaArray(frame, padding=5) for frame in frames]
    device.readable |= {array.address for array in arrays}
    certifier = Certifier(sampler=sampler, public_seed=3, samples=128, share_noise=share_noise)
    for on_host, on_device in (
        (certifier.certify(frames[0], tolerance=1), certifier.certify(arrays[0], tolerance=1)),
        *zip(certifier.stream(frames, jointly=3), certifier.stream(arrays, jointly=3), strict=True),
        (certifier.gate(frames[0], at_least=20), certifier.gate(arrays[0], at_least=20)),
        (certifier.gate(frames, at_least=20), certifier.gate(arrays, at_least=20)),
        (certifier.compare(frames[0], frames[1:]), certifier.compare(arrays[0], arrays[1:])),
    ):
        assert on_device.to_dict() == on_host.to_dict()


def test_a_device_frame_is_read_where_it_lies(opened: Open) -> None:
    """After all work of the context; once to the host, for its hash, and once by the kernel. No lattice is uploaded."""
    sampler, device, _ = opened()
    array = CudaArray(FRAME)
    device.readable.add(array.address)
    certifier = Certifier(sampler=sampler, samples=101)
    certifier.certify(array)
    fetch = ["reads", "the host waits for all", "download rows", "the host waits"]
    assert device.log[: len(fetch)] == fetch
    assert [device.log.count(name) for name in (*fetch[:3], "lattice_u8", "upload int32")] == [1, 1, 1, 1, 0]
    assert device.log.index("lattice_u8") < device.log.index("noise_f32")


def test_a_frame_that_is_still_being_written(opened: Open, bundle: Bundle) -> None:
    """The pixels are those of the callers' streams when they are through, and others without the wait."""
    with Certifier(bundle.path, public_seed=1) as cpu:
        expected = cpu.certify(FRAME)
    for waits in (True, False):
        sampler, device, _ = opened()
        array = CudaArray(np.zeros_like(FRAME))
        device.readable.add(array.address)
        device.callers_stream.enqueue(lambda array=array: array.pixels.__setitem__(..., FRAME))
        if not waits:
            device.synchronize_all = lambda: None
        found = Certifier(sampler=sampler, public_seed=1, samples=101).certify(array)
        assert np.array_equal(found.scores, expected.scores) == waits
        assert (found.provenance.frame_sha256 == expected.provenance.frame_sha256) == waits


def test_a_device_frame_is_let_go(opened: Open) -> None:
    """With the answer, and where there is none."""
    sampler, device, _ = opened()
    certifier = Certifier(sampler=sampler, samples=24)
    for fails in (False, True):
        array = CudaArray(FRAME)
        device.readable.add(array.address)
        if fails:
            device.fail_at = device.calls + 10
            with pytest.raises(ModelError):
                certifier.certify(array)
        else:
            certificate = certifier.certify(array)
            assert certificate.samples == 24
        watched = weakref.ref(array)
        del array
        gc.collect()
        assert watched() is None


def test_nothing_is_allocated_after_the_first_device_frame(opened: Open) -> None:
    sampler, device, _ = opened()
    certifier = Certifier(sampler=sampler, samples=101)
    arrays = [CudaArray(np.roll(FRAME, shift, axis=1), padding=shift) for shift in range(4)]
    device.readable |= {array.address for array in arrays}
    certifier.certify(arrays[0])
    allocations, live = device.allocations, set(device.live)
    for array in arrays:
        certifier.certify(array)
        certifier.certify(array.pixels)
    assert (device.allocations, set(device.live)) == (allocations, live)


def test_every_call_on_a_device_frame_may_fail(opened: Open) -> None:
    array = CudaArray(FRAME)

    def certify(fail_at: int) -> tuple[Certifier, FakeDevice]:
        sampler, device, _ = opened(batch=16)
        device.readable.add(array.address)
        device.fail_at = fail_at
        return Certifier(sampler=sampler, public_seed=1, samples=24), device

    certifier, device = certify(-1)
    expected = certifier.certify(array).scores
    for number in range(1, device.calls + 1):
        certifier, device = certify(number)
        which = "could not fetch a 70×50 frame from device memory" if number <= 4 else "failed on a 35×25 input"
        with pytest.raises(ModelError, match=rf"^tiny {which}: .*out of luck$"):
            certifier.certify(array)
        assert not device.live, device.log[-1]
        assert device.pending() == 0
        assert np.array_equal(certifier.certify(array).scores, expected)
    assert array.intact()


def test_a_frame_in_another_context_is_not_read(opened: Open) -> None:
    sampler, device, _ = opened()
    with pytest.raises(FrameError, match=r"another GPU or CUDA context than tiny: .*pycuda\.autoprimaryctx"):
        Certifier(sampler=sampler).certify(CudaArray(FRAME))
    assert device.log == ["reads", "the host waits", "the host waits"]


def test_pixels_of_a_device_frame_are_checked_on_the_host(opened: Open) -> None:
    sampler, device, _ = opened()
    deep, small = CudaArray(FRAME.astype(np.uint16) * 8), CudaArray(FRAME[:14])
    device.readable |= {deep.address, small.address}
    certifier = Certifier(sampler=sampler)
    with pytest.raises(FrameError, match="more than 10 bits can"):
        certifier.certify(deep, bit_depth=10)
    with pytest.raises(FrameError, match="at least 16×16"):
        certifier.certify(small)
    sampler.close()
    with pytest.raises(ModelError, match="tiny was closed"):
        certifier.certify(small)


def test_threads_take_turns(opened: Open, bundle: Bundle) -> None:
    frames = [photograph()[: 40 + 10 * (i % 2), : 60 + i] for i in range(6)]
    with Certifier(bundle.path, public_seed=1, samples=96) as cpu:
        expected = [cpu.certify(frame).scores for frame in frames]
    sampler, device, _ = opened()
    given = [CudaArray(frame) if i % 3 else frame for i, frame in enumerate(frames)]
    device.readable |= {array.address for array in given if isinstance(array, CudaArray)}
    with Certifier(sampler=sampler, public_seed=1, samples=96) as gpu, ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda frame: gpu.certify(frame).scores, given))
    assert all(map(np.array_equal, found, expected))


def test_nan_scores_arrive(host: Host, tmp_path: Path) -> None:
    bundle = tiny_bundle(tmp_path / "n", extra="nan")
    device = FakeDevice(host, eager=True)
    sampler = GpuSampler(bundle, "fp32", device, FakeEngine(bundle, device, 4))
    assert np.isnan(sampler.scores(to_lattice(FRAME, downscale=2), KEY, 0, 6)).all()


def test_the_record_names_the_graph_that_runs(host: Host, bundle: Bundle) -> None:
    """fp16 is another function: its own SHA-256 is in the record and in the noise key."""
    contents = {MODEL: bundle.read(MODEL), GRAPHS["fp16"]: graph("sixteen")}
    manifest = replace(bundle.manifest, files={name: file_entry(data) for name, data in contents.items()})
    both = write_bundle(bundle.path, manifest, contents)
    made = {}
    for precision in ("fp32", "fp16"):
        device = FakeDevice(host, eager=True)
        sampler = GpuSampler(both, precision, device, FakeEngine(both, device, 4), {"gpu": "GPU A", "sm": "sm89"})
        with Certifier(sampler=sampler, public_seed=1, samples=24) as certifier:
            made[precision] = certifier.certify(FRAME)
        record = made[precision].to_dict()
        assert record["model_sha256"] == both.manifest.files[GRAPHS[precision]].sha256 == both.graph_digest(precision)
        assert record["engine"] == {
            "device": "cuda", "provider": "fake", "version": "fake 1", "precision": precision, "batch": 4,
            "gpu": "GPU A", "sm": "sm89",
        }  # fmt: skip
    assert not np.array_equal(made["fp32"].scores, made["fp16"].scores)
    assert both.digest == bundle.digest


@pytest.fixture
def tiled(host: Host, tmp_path: Path) -> Callable[..., tuple[GpuSampler, FakeDevice, FakeEngine]]:
    """A sampler of 16×16 tiles on a fake GPU, its device and its engine."""
    bundle = tile_bundle(tmp_path / "tiles")

    def make(*, eager: bool = True, batch: int = BATCH) -> tuple[GpuSampler, FakeDevice, FakeEngine]:
        device = FakeDevice(host, eager=eager)
        engine = FakeEngine(bundle, device, batch)
        return GpuSampler(bundle, "fp32", device, engine), device, engine

    return make


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("batch", [1, 4, 5, 13, 40])
def test_tiles_are_the_cpus(tiled: Open, tmp_path: Path, eager: bool, batch: int) -> None:
    """Bit for bit: one, three or six tiles, most of them mirrored; fewer and more than a batch takes."""
    sampler, _, engine = tiled(eager=eager, batch=batch)
    on_cpu = OnnxSampler(tile_bundle(tmp_path / "fixed", batch=batch))
    deep = FRAME.astype(np.uint16) * 4
    for frame, depth in ((FRAME, 8), (FRAME[:32, :32], 8), (deep[:, :66], 10), (FRAME[:19, ::-1], 8)):
        values = to_lattice(frame, downscale=2, bit_depth=depth)
        for start, count in ((0, 9), (7, 1), (1 << 40, 5)):
            found = sampler.scores(values, KEY, start, count)
            assert np.array_equal(found, on_cpu.scores(values, KEY, start, count))
    assert set(engine.sizes) == {(16, 16)}
    sampler.close()


def test_tiles_notice_a_missing_wait_and_allocate_once(tiled: Open) -> None:
    values = to_lattice(FRAME, downscale=2)
    expected = tiled()[0].scores(values, KEY, 0, 12)
    for name, eager in (("noise waits", True), ("engine waits", False)):
        sampler, device, _ = tiled(eager=eager)
        real = device.wait
        device.wait = lambda stream, event, real=real, name=name: (
            None if f"{stream.name} waits" == name else real(stream, event)
        )
        assert not np.array_equal(sampler.scores(values, KEY, 0, 12), expected), name
    sampler, device, _ = tiled()
    sampler.scores(values, KEY, 0, 12)
    before = device.allocations
    sampler.scores(values, KEY, 12, 12)
    assert device.allocations == before
    sampler.close()
    assert device.live == {}


def test_certificates_of_tiles_are_the_cpus(tiled: Open, tmp_path: Path) -> None:
    sampler, _, _ = tiled()
    bundle = tile_bundle(tmp_path / "fixed", batch=BATCH)
    with (
        Certifier(bundle.path, public_seed=3, samples=101, levels=0.5) as cpu,
        Certifier(sampler=sampler, public_seed=3, samples=101, levels=0.5) as gpu,
    ):
        ours, theirs = gpu.certify(FRAME).to_dict(), cpu.certify(FRAME).to_dict()
        assert ours.pop("engine") != theirs.pop("engine")
        assert ours == theirs
