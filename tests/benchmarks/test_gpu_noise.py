"""gpu_noise.py on a GPU made of host memory: what is launched and freed, and every figure by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import gpu_noise
from runtime import Certifier, DeviceError
from runtime.samplers.gpu import routes
from runtime.samplers.gpu.loop import GpuSampler
from tests.support.gpu_fake import FakeDevice, FakeEngine, Stream
from tests.support.kernel_host import COMPILER, Host, compile_host
from tests.support.tiny import tiny_bundle

MILLISECONDS = {"noise_f32": 0.5, "engine": 4.0, "copy": 0.4}
SIZE = (32, 48)
VALUES = 3 * 16 * 24


class FakeCard:
    """Time passes by what is launched. Memory leaks ``leak`` bytes each time it is asked for."""

    def __init__(self, device: FakeDevice, leak: int = 0) -> None:
        self.device, self.leak, self.free = device, leak, 1 << 30
        self.copied: list[int] = []

    def milliseconds(self, run: Callable[[], None], stream: Stream) -> float:
        self.device.log.clear()
        run()
        took = sum(MILLISECONDS.get(name, 0) for name in self.device.log)
        self.device.synchronize(stream)
        return took

    def copy(self, to: int, source: int, size: int, stream: Stream) -> None:
        self.copied.append(size)
        self.device._call("copy")
        stream.enqueue(lambda: self.device._copy(to, source, size))

    def free_bytes(self) -> int:
        assert self.device.depth == 1
        self.free -= self.leak
        return self.free


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    if COMPILER is None:
        pytest.skip("g++ is not installed: the GPU kernels cannot be run on the host")
    return compile_host(tmp_path_factory.mktemp("kernels"))


@pytest.fixture
def fake(host: Host, tmp_path: Path) -> Iterator[tuple[Certifier, FakeCard]]:
    bundle = tiny_bundle(tmp_path / "b")
    device = FakeDevice(host, eager=True)
    sampler = GpuSampler(bundle, "fp32", device, FakeEngine(bundle, device, 4))
    yield Certifier(sampler=sampler, samples=101), FakeCard(device)
    sampler.close()
    assert not device.live


def test_a_case(fake: tuple[Certifier, FakeCard], monkeypatch: pytest.MonkeyPatch) -> None:
    """101 samples are 64 and 37, 26 batches of 4: 26·4.5 ms of a certificate that takes 130."""
    certifier, card = fake
    monkeypatch.setattr(gpu_noise, "_seconds", lambda certifier, frame: certifier.certify(frame) and 0.13)
    made = gpu_noise.case(certifier, card, SIZE, 3)
    live = set(card.device.live)
    assert made["launch_ms"] == pytest.approx({"noise": 0.5, "copy": 0.4, "engine": 4.0})
    assert made["bytes"] == 4 * VALUES * 5 == 2 * card.copied[0]
    assert made["noise_gb_s"] == pytest.approx(made["bytes"] / 0.5e-3 / 1e9)
    assert made["copy_gb_s"] == pytest.approx(made["bytes"] / 0.4e-3 / 1e9)
    assert made["of_copy"] == pytest.approx(0.8)
    assert (made["size"], made["batch"], made["samples"]) == ("48×32", 4, 101)
    assert made["certificate_ms"] == pytest.approx(130)
    assert made["engine_share"] == pytest.approx(0.8)
    assert made["noise_share"] == pytest.approx(0.1)
    assert made["beyond_engine"] == pytest.approx(0.2)
    gpu_noise.case(certifier, card, SIZE, 1)
    assert set(card.device.live) == live


def test_batches_and_bytes() -> None:
    assert [gpu_noise.batches_of(n, 8) for n in (1, 8, 64, 65, 501)] == [1, 1, 8, 9, 63]
    assert gpu_noise.batches_of(64, 10) == 7
    assert gpu_noise.launch_bytes(100, 8) == 3600


@pytest.mark.parametrize("leak", [0, 1 << 20])
def test_memory(fake: tuple[Certifier, FakeCard], monkeypatch: pytest.MonkeyPatch, leak: int) -> None:
    certifier, card = fake
    monkeypatch.setattr(gpu_noise, "SETTLED", 3)
    card.leak = leak
    made = gpu_noise.memory(certifier, card, 6)
    assert (made["frames"], made["device_bytes"]) == (6, leak)
    assert abs(made["host_bytes"]) < 1 << 28
    assert gpu_noise.memory(certifier, card, 2)["device_bytes"] == 0


def test_the_record_and_its_page(
    fake: tuple[Certifier, FakeCard],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    certifier, card = fake
    asked: list[dict[str, Any]] = []

    class Opened:
        """The certifier that ``device="cuda"`` would give, left open."""

        def __init__(self, path: Path, **options: Any) -> None:
            asked.append(options)

        def __enter__(self) -> Certifier:
            return certifier

        def __exit__(self, *_: object) -> None:
            """Nothing is closed."""

    monkeypatch.setattr(gpu_noise, "Certifier", Opened)
    monkeypatch.setattr(gpu_noise, "CudaCard", lambda: card)
    monkeypatch.setattr(gpu_noise, "SIZES", {"256": SIZE})
    path = tmp_path / "results" / "card-noise.json"
    arguments = ["--model", str(tmp_path / "b"), "--repetitions", "1", "--frames", "2", "--json", str(path)]
    assert gpu_noise.main(arguments) == 0
    assert [(one["device"], one["precision"]) for one in asked] == [("cuda", "fp32")] * 2
    record = json.loads(path.read_text())
    assert record["engines"]["fp32"]["engine"]["provider"] == "fake"
    assert record["engines"]["fp32"]["cases"][0]["of_copy"] == pytest.approx(0.8)
    said = capsys.readouterr().out
    assert said == gpu_noise.page(record) + "\n"
    assert "| 48×32 | 4 | 0.500 | 0 | 0 | 80% |" in said
    assert "after 2 frames, less that after 2: 0.0 MiB on the device" in said


def test_without_a_gpu(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """One line, exit status 2, no record."""

    def none() -> Any:
        raise DeviceError("no NVIDIA device is here")

    monkeypatch.setattr(routes, "find_gpus", none)
    assert gpu_noise.main(["--json", str(tmp_path / "x.json")]) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: device 'cuda' cannot be used")
    assert "(1) no NVIDIA device is here" in said.err
    assert (said.err.count("\n"), said.out) == (1, "")
    assert not (tmp_path / "x.json").exists()
    with pytest.raises(SystemExit, match="2"):
        gpu_noise.main(["--frames", "0"])
    assert "a whole number, 1 or more, not '0'" in capsys.readouterr().err
