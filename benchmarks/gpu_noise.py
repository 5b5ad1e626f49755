"""What the noise costs on a GPU: the bandwidth of its kernel, its share of a certificate, and that memory stays flat.

    python -m benchmarks.gpu_noise --model build/gpu --json benchmarks/results/MACHINE-noise.json

Takes an NVIDIA GPU and a bundle with kernels; where either is missing, one line says so and the exit status is 2.

**Bandwidth.** One launch of ``noise_f32`` writes batch × values float32 and reads as many int32 as the lattice has
values, once: 4·values·(batch + 1) bytes. A copy within the device's memory that reads and writes as many bytes together
is what the card can do with them; the noise is to reach GOAL of it. CUDA events time LAUNCHES of each, in turn. At the
smaller sizes both may stay within the L2 cache: the largest size is the one to look at.

**Shares.** Noise and engine, each alone on the GPU and times the batches of a certificate, against the time of
``Certifier.certify`` on the host's clock. In a certificate they run beside each other on two streams, so that the two
shares may come to more than 1; what the certificate takes beyond its engine is the last column.

**Memory.** The device's free memory as the driver tells it, and the resident memory of this process, after the first
SETTLED frames and after all of them. Medians of interleaved repetitions throughout; frames are random pixels, as the
time depends on none of them.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from runtime import BiqaError, Certifier, open_bundle
from runtime.bundle import ENGINE_PRECISIONS, GRAPHS
from runtime.frames import Lattice, to_lattice
from runtime.noise import KEY_BYTES, key_words, table_for
from runtime.samplers.gpu import Device, Engine, GpuSampler, load_pycuda
from runtime.samplers.gpu.kernels import device_table, noise_grid
from runtime.scores import CHUNK

from .report.machine import in_words, machine
from .report.page import table

SIZES = {"256": (256, 256), "512": (512, 512), "1080p": (1080, 1920)}
GOAL = 0.7
LAUNCHES, REPETITIONS = 10, 20
FRAMES, SETTLED, SIDE, FEW = 10_000, 100, 64, 24
"""Of the memory's measurement: frames of SIDE×SIDE pixels, FEW samples each."""

KEY = bytes(KEY_BYTES)


class Card(Protocol):
    """What is measured with. Everything is called while the driver's context is current."""

    def milliseconds(self, run: Callable[[], None], stream: Any) -> float:
        """What ``run`` enqueues on a stream takes there."""
        ...

    def copy(self, to: int, source: int, size: int, stream: Any) -> None:
        """Enqueue a copy of ``size`` bytes within the device's memory."""
        ...

    def free_bytes(self) -> int: ...


class CudaCard:
    """A card by PyCUDA: events with a time, which the device loop has no use for."""

    def __init__(self) -> None:
        self._cuda = load_pycuda()

    def milliseconds(self, run: Callable[[], None], stream: Any) -> float:
        start, end = self._cuda.Event(), self._cuda.Event()
        start.record(stream)
        run()
        end.record(stream)
        end.synchronize()
        return float(start.time_till(end))

    def copy(self, to: int, source: int, size: int, stream: Any) -> None:
        self._cuda.memcpy_dtod_async(to, source, size, stream)

    def free_bytes(self) -> int:
        free, _ = self._cuda.mem_get_info()
        return int(free)


def case(certifier: Certifier, card: Card, size: tuple[int, int], repetitions: int) -> dict[str, Any]:
    """Frames of (height, width): milliseconds of noise, copy and engine a launch, and of a certificate; ratios."""
    sampler = certifier.sampler
    assert isinstance(sampler, GpuSampler)
    frame = np.random.default_rng(1).integers(0, 256, (*size, 3), np.uint8)
    clean = to_lattice(frame, downscale=sampler.downscale)
    device, engine = sampler.parts
    certificates = [_seconds(certifier, frame) for _ in range(repetitions + 1)][1:]
    with device.current():
        alone = _alone(card, device, engine, clean, sampler.sigma, repetitions)
    whole = statistics.median(certificates) * 1e3
    values, batch = clean.values.size, engine.batch
    batches = batches_of(certifier.samples, batch)
    engine_ms, noise_ms = batches * alone["engine"], batches * alone["noise"]
    return {
        "size": f"{size[1]}×{size[0]}",
        "batch": batch,
        "launch_ms": alone,
        "bytes": launch_bytes(values, batch),
        "noise_gb_s": launch_bytes(values, batch) / alone["noise"] / 1e6,
        "copy_gb_s": launch_bytes(values, batch) / alone["copy"] / 1e6,
        "of_copy": alone["copy"] / alone["noise"],
        "samples": certifier.samples,
        "certificate_ms": whole,
        "engine_share": engine_ms / whole,
        "noise_share": noise_ms / whole,
        "beyond_engine": 1 - engine_ms / whole,
    }


def launch_bytes(values: int, batch: int) -> int:
    """Bytes that one launch of the noise kernel moves: the engine's input written, the lattice read."""
    return 4 * values * (batch + 1)


def batches_of(samples: int, batch: int) -> int:
    """Batches of a certificate: scores are asked for CHUNK at a time, and each of these is padded to whole batches."""
    full, rest = divmod(samples, CHUNK)
    return full * -(-CHUNK // batch) + -(-rest // batch)


def _seconds(certifier: Certifier, frame: NDArray[np.uint8]) -> float:
    start = time.perf_counter()
    certifier.certify(frame)
    return time.perf_counter() - start


def _alone(
    card: Card, device: Device, engine: Engine, clean: Lattice, sigma: float, repetitions: int
) -> dict[str, float]:
    """Median milliseconds a launch of the noise, a copy of as many bytes, and a run of the engine on its last input."""
    stream, values, batch = device.engine_stream, clean.values.size, engine.batch
    law = device_table(table_for(sigma, clean))
    moved = launch_bytes(values, batch) // 2
    held: list[int] = []

    def room(size: int) -> int:
        held.append(address := device.allocate(size))
        return address

    def uploaded(array: NDArray[Any]) -> int:
        device.upload(address := room(array.nbytes), array, stream)
        return address

    try:
        tables = law.arguments(*(uploaded(array) for array in (law.jumps, law.ranks, law.upper)))
        words = [int(word) for word in key_words(KEY)]
        given = (uploaded(clean.values), values, batch, *tables, *words, 0, room(4 * values * batch))
        grid = noise_grid(values, batch, device.resident("noise_f32"))
        source, to = room(moved), room(moved)
        jobs: dict[str, Callable[[], None]] = {
            "noise": lambda: device.launch("noise_f32", grid, given, stream),
            "copy": lambda: card.copy(to, source, moved, stream),
            "engine": lambda: engine.run(0, stream),
        }
        times: dict[str, list[float]] = {name: [] for name in jobs}
        for repetition in range(repetitions + 1):
            for name, job in jobs.items():
                found = card.milliseconds(lambda job=job: _often(job), stream) / LAUNCHES  # type: ignore[misc]
                if repetition:  # the first one warms up
                    times[name].append(found)
        return {name: statistics.median(found) for name, found in times.items()}
    finally:
        device.synchronize(stream)
        for address in held:
            device.free(address)


def _often(job: Callable[[], None]) -> None:
    for _ in range(LAUNCHES):
        job()


def memory(certifier: Certifier, card: Card, frames: int) -> dict[str, int]:
    """Bytes in use more after ``frames`` frames than after the first SETTLED, on the device and on the host."""
    sampler = certifier.sampler
    assert isinstance(sampler, GpuSampler)
    device, _ = sampler.parts
    pixels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    used: list[tuple[int, int]] = []
    for index in tqdm(range(frames), "memory", disable=None):
        certifier.certify(np.roll(pixels, index, axis=1))
        if index + 1 in (min(SETTLED, frames), frames):
            with device.current():
                used.append((-card.free_bytes(), _resident()))
    (card_bytes, host), (card_last, host_last) = used[0], used[-1]
    return {"frames": frames, "device_bytes": card_last - card_bytes, "host_bytes": host_last - host}


def _resident() -> int:
    """Bytes of this process in memory, as Linux reports it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The record. Raises DeviceError naming what is missing, before anything is measured."""
    bundle = open_bundle(options.model)
    bundle = bundle.at(bundle.manifest.input.sigma)
    record: dict[str, Any] = {"machine": machine(), "repetitions": options.repetitions, "goal": GOAL, "engines": {}}
    for precision in (name for name in ENGINE_PRECISIONS if GRAPHS[name] in bundle.manifest.files):
        with Certifier(bundle.path, device="cuda", precision=precision, public_seed=1) as certifier:
            card = CudaCard()
            sizes = [SIZES[name] for name in options.size or SIZES]
            cases = [case(certifier, card, size, options.repetitions) for size in tqdm(sizes, precision, disable=None)]
            record["engines"][precision] = {"engine": dict(certifier.sampler.engine), "cases": cases}
        with Certifier(bundle.path, device="cuda", precision=precision, samples=FEW, public_seed=1) as certifier:
            record["engines"][precision]["memory"] = memory(certifier, card, options.frames)
    return record


def page(record: dict[str, Any]) -> str:
    """The Markdown."""
    parts = [in_words(record["machine"])]
    for precision, made in record["engines"].items():
        parts.append(f"**{precision}, {made['engine']['provider']}.** Medians of {record['repetitions']} repetitions.")
        parts.append(
            table(
                [
                    "frame",
                    "batch",
                    "noise, ms a batch",
                    "GB/s",
                    "copy, GB/s",
                    f"of the copy (goal {record['goal']:.0%})",
                ],
                [
                    [
                        row["size"],
                        str(row["batch"]),
                        f"{row['launch_ms']['noise']:.3f}",
                        f"{row['noise_gb_s']:.0f}",
                        f"{row['copy_gb_s']:.0f}",
                        f"{row['of_copy']:.0%}",
                    ]
                    for row in made["cases"]
                ],
            )
        )
        parts.append(
            table(
                ["frame", "samples", "certificate, ms", "engine alone", "noise alone", "beyond the engine"],
                [
                    [
                        row["size"],
                        str(row["samples"]),
                        f"{row['certificate_ms']:.1f}",
                        f"{row['engine_share']:.0%}",
                        f"{row['noise_share']:.0%}",
                        f"{row['beyond_engine']:.0%}",
                    ]
                    for row in made["cases"]
                ],
            )
        )
        frames, device, host = (made["memory"][name] for name in ("frames", "device_bytes", "host_bytes"))
        parts.append(
            f"Memory in use after {frames:,} frames, less that after {min(SETTLED, frames)}: "
            f"{device / 2**20:.1f} MiB on the device, {host / 2**20:.1f} MiB on the host."
        )
    return "\n\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print the page, and write the record; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="bundle with kernels; default: the default model")
    parser.add_argument("--size", choices=tuple(SIZES), action="append", help="repeatable; default: all")
    parser.add_argument("--repetitions", type=_count, default=REPETITIONS, help=f"default {REPETITIONS}")
    parser.add_argument(
        "--frames", type=_count, default=FRAMES, help=f"of the memory's measurement; default {FRAMES:,}"
    )
    parser.add_argument("--json", type=Path, help="write the record here")
    options = parser.parse_args(arguments)
    try:
        record = measure(options)
    except BiqaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(page(record))
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"a whole number, 1 or more, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
