"""Graph → TensorRT plan: one builder for full TensorRT (10 and later) and TensorRT-RTX.

    parse  →  compare the ends with the contract  →  profile and options  →  build

The network is strongly typed: every tensor has the type the graph states, so fp16 is what ``precision/fp16.py`` made it
and nothing else. TF32 is off, or fp32 layers would be multiplied with fp16's significand. The batch is fixed, because
a score must not depend on how many frames are scored with it; height and width range over a profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.atomic import whole_file
from runtime.bundle.manifest import HARDWARE, InputContract, Profile
from runtime.errors import ExportError
from runtime.samplers.gpu.tensorrt_modules import make_logger

from ..graph.canonical import INPUTS, OUTPUT

BATCH = 8
OPTIMUM, MAXIMUM = (540, 960), (1920, 1920)
"""(height, width) of the engine's input: 1080p and up to 4K, upright or lying, behind a 2×2 box."""

_LEVELS = dict(zip(HARDWARE, ("NONE", "SAME_COMPUTE_CAPABILITY", "AMPERE_PLUS"), strict=True))


@dataclass(frozen=True)
class Options:
    """What a plan is compiled for besides its graph.

    ``sm``: the capability TensorRT-RTX compiles for, sm89 for 8.9; None for TensorRT, which compiles for the GPU that
    is here and for those that ``hardware`` of ``bundle.HARDWARE`` adds. ``version_compatible``: run on later versions
    too. ``timing_cache``: file that kernel timings are kept in from build to build. ``quiet``: no progress bar.
    """

    profile: Profile
    sm: str | None = None
    hardware: str = "same-gpu"
    version_compatible: bool = False
    timing_cache: Path | None = None
    quiet: bool = False


def make_profile(
    contract: InputContract,
    batch: int | None = None,
    sizes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]] | None = None,
) -> Profile:
    """The profile of an engine: given, else the contract's fixed sizes, else the defaults above.

    ``sizes``: smallest, tuned for, largest (height, width). Raises ExportError where they contradict the contract.
    """
    least = (contract.height or contract.minimum_height, contract.width or contract.minimum_width)
    fixed = contract.height is not None, contract.width is not None
    wanted = sizes or (
        least,
        _both(lambda axis: least[axis] if fixed[axis] else max(OPTIMUM[axis], least[axis])),
        _both(lambda axis: least[axis] if fixed[axis] else max(MAXIMUM[axis], least[axis])),
    )
    count = batch or contract.batch or BATCH
    for axis, name in enumerate(("height", "width")):
        low, best, high = (size[axis] for size in wanted)
        if not least[axis] <= low <= best <= high or (fixed[axis] and high != least[axis]):
            allowed = f"{least[axis]} only" if fixed[axis] else f"{least[axis]} or more, in rising order"
            raise ExportError(f"the {name}s {low}, {best}, {high} of the engine's sizes: the graph takes {allowed}")
    if count < 1 or contract.batch not in (None, count):
        raise ExportError(f"an engine batch of {count}: the graph takes {contract.batch or 'any from 1'}")
    return Profile(count, *wanted)


def _both(size: Any) -> tuple[int, int]:
    return size(0), size(1)


def compile_plan(trt: Any, graph: bytes, options: Options) -> bytes:
    """Compile a graph with ``trt``, a module of ``load_flavour``. Raises ExportError with TensorRT's own words."""
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    # TensorRT 10 asks for the flag, 11 has nothing else.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        errors = [parser.get_error(index).desc() for index in range(parser.num_errors)]
        raise ExportError(
            f"TensorRT {trt.__version__} does not take the graph: {'; '.join(errors) or 'no reason given'}"
        )
    _check_ends(trt, network)
    config = configure(trt, builder, network, options)
    monitor = None if options.quiet else _watch(trt, config)
    plan = builder.build_serialized_network(network, config)
    if monitor is not None:
        monitor.close()
    if plan is None:
        said = "; ".join(logger.errors) or "it gave no reason"
        raise ExportError(f"TensorRT {trt.__version__} cannot build the engine for {options.sm or 'this GPU'}: {said}")
    if options.timing_cache is not None:
        with whole_file(options.timing_cache) as file:
            file.write(bytes(memoryview(config.get_timing_cache().serialize())))
    return bytes(memoryview(plan))


def configure(trt: Any, builder: Any, network: Any, options: Options) -> Any:
    """A builder configuration for these options. Raises ExportError for one this flavour or version does not have."""
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.sm is not None:
        offered = [name for name in dir(trt.ComputeCapability) if name.startswith("SM")]
        if options.sm.upper() not in offered:
            raise ExportError(
                f"TensorRT-RTX {trt.__version__} compiles for {', '.join(offered).lower()}, not for {options.sm}: "
                "for others use full TensorRT on that GPU, --target tensorrt"
            )
        config.num_compute_capabilities = 1
        config.set_compute_capability(getattr(trt.ComputeCapability, options.sm.upper()), 0)
    else:
        level = getattr(trt.HardwareCompatibilityLevel, _LEVELS[options.hardware])
        config.hardware_compatibility_level = level
        if config.hardware_compatibility_level != level:  # some flavours ignore what they do not have
            raise ExportError(f"TensorRT {trt.__version__} does not compile engines for {options.hardware}")
    if options.version_compatible:
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.timing_cache is not None:
        data = options.timing_cache.read_bytes() if options.timing_cache.exists() else b""
        cache = config.create_timing_cache(data)
        if cache is None or not config.set_timing_cache(cache, ignore_mismatch=False):
            raise ExportError(f"{options.timing_cache} is no timing cache of this GPU and TensorRT: delete it")
    lattice = network.get_input(0)
    if -1 in tuple(lattice.shape):
        shapes = options.profile
        profile = builder.create_optimization_profile()
        sizes = (shapes.minimum, shapes.optimum, shapes.maximum)
        profile.set_shape(lattice.name, *((shapes.batch, 3, *size) for size in sizes))
        config.add_optimization_profile(profile)
    return config


def _check_ends(trt: Any, network: Any) -> None:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    found = [tensor.name for tensor in (*inputs, *outputs)]
    if found != [*INPUTS, OUTPUT] or any(tensor.dtype != trt.float32 for tensor in (*inputs, *outputs)):
        raise ExportError(f"the graph has the inputs and outputs {found}, not fp32 {', '.join((*INPUTS, OUTPUT))}")


def _watch(trt: Any, config: Any) -> Any:
    """Show TensorRT's phases as one progress bar on a terminal. Ctrl-C ends the build at its next step."""
    from tqdm import tqdm

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.bar = tqdm(unit="step", leave=False, disable=None)
            self.root = ""
            self.interrupted = False

        # An exception must not pass through TensorRT's own frames.
        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            with self.noting_interrupts():
                if parent is None:
                    self.root = phase
                    self.bar.reset(steps)
                self.bar.set_description(phase)

        def step_complete(self, phase: str, step: int) -> bool:
            with self.noting_interrupts():
                if phase == self.root:
                    self.bar.update(step + 1 - self.bar.n)
            return not self.interrupted

        def phase_finish(self, phase: str) -> None:
            pass

        @contextmanager
        def noting_interrupts(self) -> Iterator[None]:
            try:
                yield
            except KeyboardInterrupt:
                self.interrupted = True

        def close(self) -> None:
            self.bar.close()
            if self.interrupted:
                raise KeyboardInterrupt

    config.progress_monitor = monitor = Monitor()
    return monitor
