"""Bundle → the same bundle with what a GPU needs: kernels, and engines, each keyed and stored beside its graph.

A family gets an engine for each of its noise levels: σ is in the weights, and every level is a function of its own.

The bundle is rewritten whole or not at all; its graphs, and with them its identity, stay as they are.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from runtime.bundle.manifest import FLAVOURS, GRAPHS, PlanKey
from runtime.bundle.plans import plan_name
from runtime.bundle.precisions import check_precision, narrowest
from runtime.bundle.store import Bundle, file_entry, write_bundle
from runtime.errors import DeviceError, ExportError
from runtime.samplers.gpu.kernels import FOLDER
from runtime.samplers.gpu.nvidia import Gpu, find_gpus
from runtime.samplers.gpu.tensorrt_modules import load_flavour

from ..graph.shared import folded
from ..report import Report, silent
from .kernels import compile_kernels, compiler_version
from .tensorrt import Options, compile_plan, make_profile

CUDA = "cuda"
"""The target without an engine: ONNX Runtime's CUDA provider runs the graph, and only the kernels are needed."""

TARGETS = (CUDA, *FLAVOURS)
"""What a GPU can run a bundle with."""

SMS = ("sm86", "sm89", "sm120")
"""What TensorRT-RTX compiles for where no GPU is here: GeForce and RTX 30, 40 and 50."""

Sizes = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Request:
    """What to compile for one of ``TARGETS``. None leaves the choice: ``precisions`` the narrowest graph the bundle
    has; ``sms`` (sm89 for 8.9, TensorRT-RTX only) the GPU that is here, else ``SMS``; ``batch`` and ``sizes`` as
    ``make_profile`` does; ``hardware`` all GPUs of the compute capability for TensorRT-RTX, the very model for
    TensorRT."""

    flavour: str
    precisions: Sequence[str] | None = None
    sms: Sequence[str] | None = None
    batch: int | None = None
    sizes: Sizes | None = None
    hardware: str | None = None
    version_compatible: bool = False
    timing_cache: Path | None = None

    def check(self) -> None:
        """Raises ExportError for options the flavour does not have."""
        if self.flavour == "tensorrt":
            if self.sms:
                raise ExportError("--sm is for --target tensorrt-rtx: TensorRT compiles for the GPU it runs on")
        elif self.flavour == CUDA:
            if self != Request(CUDA):
                raise ExportError("--target cuda has no engine, and so none of an engine's options")
        elif self.hardware is not None or self.version_compatible or self.timing_cache is not None:
            raise ExportError(
                "--hardware, --version-compatible and --timing-cache are for --target tensorrt: TensorRT-RTX compiles "
                "for the --sm it is given, for its own version, and measures nothing"
            )


def compile_bundle(
    bundle: Bundle, request: Request, *, out: Path | None = None, quiet: bool = False, report: Report = silent
) -> Bundle:
    """Compile kernels and engines and write the bundle that holds them, in its own place or at ``out``.

    Kernels and an engine of the same name are replaced, an engine of another graph dropped. Raises DependencyError
    without NVRTC or the flavour's package, DeviceError without the GPU it needs, ExportError where it cannot compile;
    then nothing is written.
    """
    request.check()
    manifest = bundle.manifest
    levels = [bundle.at(sigma) for sigma in bundle.sigmas]
    plans = (
        ()
        if request.flavour == CUDA
        else itertools.chain.from_iterable([_plans(level, request, quiet, report) for level in levels])
    )
    report("compiling the GPU kernels")
    kernels, compiler = _kernels(bundle.manifest.input.tile), compiler_version()
    hashes = {
        (precision, level.manifest.files[graph].sha256)
        for level in levels
        for precision, graph in GRAPHS.items()
        if graph in level.manifest.files
    }
    engines = {n: e for n, e in manifest.engines.items() if (e.precision, e.model_sha256) in hashes}
    dropped = set(manifest.engines) - set(engines)
    kept = [name for name in manifest.files if name not in dropped and not name.startswith(FOLDER)]
    contents = {**{name: bundle.read(name) for name in kept}, **kernels}
    for name, engine, plan in plans:
        contents[name], engines[name] = plan, engine
    files = {name: file_entry(data) for name, data in contents.items()}
    made_with = {**manifest.made_with, "nvrtc": compiler}
    written = replace(manifest, files=files, engines=engines, made_with=made_with)
    return write_bundle(out or bundle.path, written, contents)


def _plans(bundle: Bundle, request: Request, quiet: bool, report: Report) -> Iterator[tuple[str, PlanKey, bytes]]:
    """Name, key and bytes of each engine of a request, compiled as they are asked for; what is wrong is said before."""
    manifest = bundle.manifest
    profile = make_profile(manifest.input, request.batch, request.sizes)
    precisions = request.precisions or [narrowest(bundle)]
    for precision in precisions:
        check_precision(bundle, precision, "cuda")
    trt = load_flavour(request.flavour)
    full = request.flavour == "tensorrt"
    gpus = _gpus(needed=full)
    hardware = (request.hardware or "same-gpu") if full else "same-sm"
    made_on = gpus[0] if gpus else None

    def compiled(precision: str, sm: str) -> tuple[str, PlanKey, bytes]:
        report(f"compiling {precision} for {sm} with {request.flavour} {trt.__version__}")
        started = time.monotonic()
        options = Options(
            profile, None if full else sm, hardware, request.version_compatible, request.timing_cache, quiet
        )
        plan = compile_plan(trt, folded(bundle.read(GRAPHS[precision])), options)
        sigma = None if bundle.family is None else manifest.input.sigma
        name = plan_name(sm, request.flavour, trt.__version__, precision, sigma)
        report(f"{name}: {len(plan) / 1e6:.1f} MB in {time.monotonic() - started:.1f} s")
        engine = PlanKey(
            model_sha256=manifest.files[GRAPHS[precision]].sha256,
            precision=precision,
            flavour=request.flavour,
            version=trt.__version__,
            sm=sm,
            profile=profile,
            hardware=hardware,
            version_compatible=request.version_compatible,
            gpu=made_on.name if made_on else None,
            driver=made_on.driver if made_on else None,
            cuda=made_on.cuda if made_on else None,
        )
        return name, engine, plan

    return itertools.starmap(compiled, itertools.product(precisions, _sms(request, gpus)))


@cache
def _kernels(tile: int | None) -> Mapping[str, bytes]:
    """The kernels for every GPU: one compiler and source make the same bytes, so once a process."""
    return compile_kernels(tile=tile)


def finishing_command(path: Path, request: Request) -> str:
    """The command that compiles the same later, on another machine."""
    words = ["biqa compile", str(path), "--target", request.flavour]
    for precision in request.precisions or ():
        words += ["--precision", precision]
    for sm in request.sms or ():
        words += ["--sm", sm.removeprefix("sm")]
    if request.batch is not None:
        words += ["--engine-batch", str(request.batch)]
    if request.sizes is not None:
        words += ["--sizes", *(f"{height}x{width}" for height, width in request.sizes)]
    if request.hardware is not None:
        words += ["--hardware", request.hardware]
    if request.version_compatible:
        words.append("--version-compatible")
    if request.timing_cache is not None:
        words += ["--timing-cache", str(request.timing_cache)]
    return " ".join(words)


def _gpus(needed: bool) -> list[Gpu]:
    try:
        found = find_gpus()
    except DeviceError:
        if needed:
            raise
        return []
    if needed and not found:
        raise DeviceError("TensorRT compiles on the GPU it will run on, and the NVIDIA driver shows none here")
    return found


def _sms(request: Request, gpus: list[Gpu]) -> list[str]:
    if request.sms:
        return list(dict.fromkeys(request.sms))
    return [gpus[0].sm] if gpus else list(SMS)
