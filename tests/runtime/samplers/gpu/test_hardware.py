"""On a real GPU, by `make gpu-check`: the kernels' bits, the engines' scores, certificates, memory.

GPU_BUNDLE names a bundle with kernels, a graph in fp16 and what engines this machine can compile; without it the
default model with kernels alone is used.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from runtime import BundleError, Certifier, DependencyError, DeviceError, FrameError
from runtime.bundle.manifest import MODEL
from runtime.bundle.plans import Target, find_plan
from runtime.bundle.precisions import check_precision
from runtime.bundle.store import Bundle, file_entry, open_bundle, write_bundle
from runtime.frames.lattice import Lattice, sigma_in_steps, steps, to_lattice
from runtime.noise.draw import draw_noise, key_words
from runtime.noise.table import noise_table
from runtime.samplers.gpu import routes
from runtime.samplers.gpu.kernels import lattice_grid, noise_grid
from runtime.samplers.gpu.kernels.table import device_table
from runtime.samplers.gpu.loop import GpuSampler
from runtime.samplers.gpu.nvidia import Gpu, find_gpus
from runtime.samplers.gpu.onnx_cuda import load_onnxruntime, open_onnx_cuda
from runtime.samplers.gpu.pycuda import PyCudaDevice, load_pycuda
from runtime.samplers.gpu.tensorrt import open_tensorrt
from runtime.samplers.gpu.tensorrt_modules import load_flavour
from runtime.samplers.onnx import OnnxSampler
from tests.support.clips import photograph
from tests.support.tiny import SINGLE_BUNDLE, tile_bundle

pytestmark = pytest.mark.gpu

KEY = bytes(range(16))
TOLERANCE = {"fp32": 1e-3, "fp16": 1e-2}
"""Largest difference from the CPU's fp32 scores, as a share of the score range. fp32: another order of sums; fp16: what
the gate of ``export build --fp16`` allows."""

FRAMES = 10_000
Run = Callable[..., np.ndarray]


@pytest.fixture(scope="session")
def gpu() -> Gpu:
    try:
        (found, *_) = find_gpus()
        load_pycuda()
    except ValueError:
        pytest.skip("the NVIDIA driver is here, but shows no GPU")
    except (DeviceError, DependencyError) as error:
        pytest.skip(str(error))
    return found


@pytest.fixture(scope="session")
def bundle(gpu: Gpu, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    if "GPU_BUNDLE" in os.environ:
        return open_bundle(Path(os.environ["GPU_BUNDLE"]))
    kernels = pytest.importorskip("export.engines.kernels")
    shipped = open_bundle(SINGLE_BUNDLE)
    try:
        contents = {MODEL: shipped.read(MODEL), **kernels.compile_kernels()}
    except DependencyError as error:
        pytest.skip(str(error))
    manifest = replace(shipped.manifest, files={name: file_entry(data) for name, data in contents.items()})
    return write_bundle(tmp_path_factory.mktemp("gpu") / "bundle", manifest, contents)


@pytest.fixture
def run(bundle: Bundle) -> Iterator[Run]:
    """One launch of a kernel: arrays are uploaded in its arguments, and what it wrote to the last one comes back."""
    device = PyCudaDevice(bundle)

    def launch(kernel: str, grid: tuple[int, int], *arguments: Any, out: np.ndarray) -> np.ndarray:
        with device.current():
            places = []
            for value in (*arguments, out):
                if isinstance(value, np.ndarray):
                    address = device.allocate(value.nbytes)
                    device.upload(address, value, device.engine_stream)
                    places.append(address)
                else:
                    places.append(value)
            device.launch(kernel, grid, places, device.engine_stream)
            device.download(out, places[-1], device.engine_stream)
            device.synchronize(device.engine_stream)
        return out

    yield launch
    device.close()


@pytest.mark.parametrize(("bit_depth", "downscale"), [(8, 1), (8, 2), (10, 2), (16, 1)])
@pytest.mark.parametrize(("height", "width"), [(5, 7), (41, 67), (540, 960)])
def test_noise_is_numpys(run: Run, bit_depth: int, downscale: int, height: int, width: int) -> None:
    table = noise_table(sigma_in_steps(0.12 if bit_depth < 16 else 0.03, bit_depth, downscale))
    values = np.random.default_rng(height).integers(0, steps(bit_depth, downscale) + 1, (3, height, width), np.int32)
    noise = np.empty((3, *values.shape), np.int32)
    draw_noise(table, KEY, 5, noise)
    expected = (noise + values).astype(np.float32)
    device = device_table(table)
    words = [int(word) for word in key_words(KEY)]
    given = (values, values.size, 3, *device.arguments(device.jumps, device.ranks, device.upper), *words, 5)  # type: ignore[arg-type]
    for resident in (1, 500):
        grid = noise_grid(values.size, 3, resident)
        assert np.array_equal(run("noise_f32", grid, *given, out=np.empty_like(expected)), expected)
    unit = np.float32(1 / steps(bit_depth, downscale))
    halves = run("noise_f16", grid, *given, float(unit), out=np.empty(expected.shape, np.float16))
    assert np.array_equal(halves.view(np.uint16), (expected * unit).astype(np.float16).view(np.uint16))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("downscale", [1, 2, 3])
def test_lattice_is_numpys(run: Run, dtype: type, downscale: int) -> None:
    frame = np.random.default_rng(1).integers(0, np.iinfo(dtype).max, (211, 307, 3), dtype, endpoint=True)
    expected = to_lattice(frame, downscale=downscale).values
    h, w = expected.shape[1:]
    name = "lattice_u8" if dtype == np.uint8 else "lattice_u16"
    out = run(name, lattice_grid(h, w), frame, 3 * 307, downscale, h, w, out=np.empty_like(expected))
    assert np.array_equal(out, expected)


@pytest.fixture(params=["fp32", "fp16"])
def precision(request: pytest.FixtureRequest, bundle: Bundle) -> str:
    try:
        check_precision(bundle, request.param, "cuda")
    except BundleError as error:
        pytest.skip(str(error))
    return str(request.param)


@pytest.fixture(params=["tensorrt", "tensorrt-rtx", "onnxruntime"])
def sampler(request: pytest.FixtureRequest, bundle: Bundle, gpu: Gpu, precision: str) -> Iterator[GpuSampler]:
    """Every route there is, in every precision there is."""
    try:
        if request.param == "onnxruntime":
            load_onnxruntime()
            opened = open_onnx_cuda(bundle, precision, {})
        else:
            target = Target(request.param, load_flavour(request.param).__version__, gpu.sm, gpu.name)
            opened = open_tensorrt(bundle, precision, find_plan(bundle, target, precision), target)
    except (DependencyError, DeviceError, BundleError) as error:
        pytest.skip(str(error))
    yield opened
    opened.close()


def _lattice(height: int = 256, width: int = 320) -> Lattice:
    return to_lattice(np.ascontiguousarray(photograph()[:height, :width]), downscale=2)


def test_scores_are_the_cpus(sampler: GpuSampler, bundle: Bundle, precision: str) -> None:
    """On the same key, up to the engine's arithmetic; a second time bit for bit; whatever the batches."""
    values, score = _lattice(), bundle.manifest.score
    expected = OnnxSampler(bundle).scores(values, KEY, 0, 45)
    found = sampler.scores(values, KEY, 0, 45)
    assert score.maximum is not None
    assert score.minimum is not None
    assert np.abs(found - expected).max() <= TOLERANCE[precision] * (score.maximum - score.minimum)
    assert np.array_equal(sampler.scores(values, KEY, 0, 45), found)
    assert np.array_equal(sampler.scores(values, KEY, 13, 20), found[13:33])


def test_tiles_are_the_cpus(gpu: Gpu, tmp_path: Path) -> None:
    """A score that is a mean: on the same key up to the order of its sums, for sizes that take mirrored tiles."""
    kernels = pytest.importorskip("export.engines.kernels")
    plain = tile_bundle(tmp_path / "tiles", tile=64)
    try:
        contents = {MODEL: plain.read(MODEL), **kernels.compile_kernels(tile=64)}
        load_onnxruntime()
    except DependencyError as error:
        pytest.skip(str(error))
    manifest = replace(plain.manifest, files={name: file_entry(data) for name, data in contents.items()})
    bundle = write_bundle(tmp_path / "tiles", manifest, contents)
    opened = open_onnx_cuda(bundle, "fp32", {})
    for height, width in ((256, 320), (201, 330), (90, 100)):
        values = _lattice(height, width)
        found = opened.scores(values, KEY, 0, 45)
        np.testing.assert_allclose(found, OnnxSampler(bundle).scores(values, KEY, 0, 45), rtol=1e-4)
        assert np.array_equal(opened.scores(values, KEY, 13, 20), found[13:33])
    opened.close()


def test_intervals_overlap(sampler: GpuSampler, bundle: Bundle) -> None:
    frame = np.ascontiguousarray(photograph()[:256, :320])
    with Certifier(bundle.path, public_seed=1) as cpu, Certifier(sampler=sampler, public_seed=1) as gpu_certifier:
        theirs, ours = cpu.certify(frame), gpu_certifier.certify(frame)
    assert ours
    assert max(ours.lower, theirs.lower) <= min(ours.upper, theirs.upper)
    assert ours.to_dict()["engine"]["device"] == "cuda"


def test_device_frames_are_certified_as_their_host_copies(sampler: GpuSampler) -> None:
    """PyCUDA's arrays and PyTorch's, 8 and 10 bits, whole and as views with padded rows."""
    from pycuda import gpuarray

    frame = np.ascontiguousarray(photograph()[:256, :320])
    certifier = Certifier(sampler=sampler, public_seed=1, samples=101)

    def same(on_device: Any, host: np.ndarray, bit_depth: int = 8) -> None:
        found = certifier.certify(on_device, bit_depth=bit_depth)
        expected = certifier.certify(np.ascontiguousarray(host), bit_depth=bit_depth)
        assert np.array_equal(found.scores, expected.scores)
        assert found.to_dict() == expected.to_dict()

    for pixels, bit_depth in ((frame, 8), (frame.astype(np.uint16) * 4, 10)):
        with sampler.parts[0].current():
            array = gpuarray.to_gpu(pixels)
        same(array, pixels, bit_depth)
        same(array[:, :301], pixels[:, :301], bit_depth)
        with sampler.parts[0].current():
            assert np.array_equal(array.get(), pixels)
            del array
    try:
        import torch
    except ImportError:
        return
    if torch.cuda.is_available():
        for pixels, bit_depth in ((frame, 8), (frame.astype(np.uint16) * 4, 10)):
            tensor = torch.from_numpy(pixels).cuda()
            same(tensor, pixels, bit_depth)
            same(tensor[3:, 5:], pixels[3:, 5:], bit_depth)
            with torch.cuda.stream(torch.cuda.Stream()):  # still being written when it is handed over
                torch.cuda._sleep(10**8)
                late = tensor.clone()
            same(late, pixels, bit_depth)


def test_memory_of_another_context_is_refused_and_does_no_harm(sampler: GpuSampler) -> None:
    cuda = load_pycuda()
    frame = np.ascontiguousarray(photograph()[:256, :320])
    certifier = Certifier(sampler=sampler, public_seed=1, samples=24)
    other = cuda.Device(0).make_context()
    memory = cuda.to_device(frame)
    other.pop()
    interface = {"shape": frame.shape, "typestr": "|u1", "data": (int(memory), False), "version": 3, "stream": None}
    with pytest.raises(FrameError, match="another GPU or CUDA context"):
        certifier.certify(SimpleNamespace(__cuda_array_interface__=interface))
    assert certifier.certify(frame).drawn == 24
    memory.free()
    other.detach()


def test_memory_is_flat(sampler: GpuSampler) -> None:
    """Free device memory and this process's, after the first hundred of many frames and after all of them."""
    import resource

    cuda = load_pycuda()
    photo = photograph()
    used: list[tuple[int, int]] = []
    for index in range(FRAMES):
        sampler.scores(to_lattice(np.roll(photo[:64, :64], index, axis=1), downscale=2), KEY, 0, 8)
        if index in (100, FRAMES - 1):
            with sampler.parts[0].current():
                free, _ = cuda.mem_get_info()
            used.append((free, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
    (free_before, host_before), (free_after, host_after) = used
    assert free_before - free_after <= 2 << 20
    assert host_after - host_before < 20_000


def test_the_certifier_runs_on_the_gpu(bundle: Bundle, gpu: Gpu) -> None:
    route = routes.find_route(bundle)
    if route.missing:
        pytest.skip(". ".join(route.missing))
    with Certifier(bundle.path, device="cuda", samples=101) as certifier:
        engine = certifier.certify(np.ascontiguousarray(photograph()[:256, :320])).to_dict()["engine"]
    assert (engine["device"], engine["provider"]) == ("cuda", route.provider)
    assert (engine["precision"], engine["gpu"], engine["sm"]) == (route.precision, gpu.name, gpu.sm)
