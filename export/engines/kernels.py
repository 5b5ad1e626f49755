"""The runtime's CUDA source → machine code for each GPU generation, and PTX for those to come.

NVRTC compiles it: neither a GPU, a driver nor a CUDA toolkit is needed, and the same compiler makes the same bytes.
The bundle files that come out are what ``runtime.samplers.kernels`` names and chooses from.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from runtime.errors import DependencyError, ExportError
from runtime.install import pip_install
from runtime.samplers.gpu.kernels import KERNELS, cubin_file, ptx_file, source, sources_of

SMS = (75, 80, 86, 89, 90, 100, 120)
"""Compute capabilities × 10: Turing, Ampere (data centre, consumer), Ada, Hopper, Blackwell (data centre, consumer)."""

OPTIONS = ("--std=c++17", "--fmad=false", "--ptxas-options=-v")
"""A product is rounded before anything is added to it; the assembler reports what each kernel uses."""


@dataclass(frozen=True)
class Usage:
    """What the assembler says of one kernel: registers a thread, bytes of shared memory a block, local bytes a thread.

    ``local``: stack frame and spills, memory traffic that the source does not ask for.
    """

    kernel: str
    sm: int
    registers: int
    shared: int
    local: int

    def __str__(self) -> str:
        return (
            f"{self.kernel} sm_{self.sm}: {self.registers} registers, {self.shared} bytes shared, {self.local} bytes "
            "local"
        )


def compile_kernels(
    sms: Sequence[int] = SMS, report: Callable[[str], None] = lambda _: None, *, tile: int | None = None
) -> dict[str, bytes]:
    """Bundle file → bytes: machine code of every module for every SM, and PTX for the oldest of them.

    ``tile``: T of a bundle of tiles, which takes a module more.
    ``report`` is called with one line a kernel and SM. Raises DependencyError without NVRTC, ExportError for an SM
    that it does not know, a source that it refuses, or a kernel that spills registers to local memory.
    """
    if not sms:
        raise ExportError("no GPU generation to compile for: give compute capabilities × 10, e.g. 89")
    nvrtc = _nvrtc()
    known = _checked(nvrtc, nvrtc.nvrtcGetSupportedArchs())
    if unknown := sorted(set(sms) - set(known)):
        raise ExportError(f"NVRTC {compiler_version()} cannot compile for {unknown}: it knows {sorted(known)}")
    files = {}
    for module in sources_of(tile):
        for sm in sorted(set(sms)):
            files[cubin_file(module, sm)], log = _compile(nvrtc, source(module), f"{module}.cu", f"sm_{sm}")
            for usage in read_usage(log, [name for name, kernel in KERNELS.items() if kernel.module == module], sm):
                report(str(usage))
        files[ptx_file(module)], _ = _compile(nvrtc, source(module), f"{module}.cu", f"compute_{min(sms)}")
    return files


def compiler_version() -> str:
    """NVRTC's version, for the manifest's ``made_with``. Raises DependencyError."""
    nvrtc = _nvrtc()
    return ".".join(map(str, nvrtc.nvrtcVersion()[1:]))


def read_usage(log: str, kernels: Sequence[str], sm: int) -> list[Usage]:
    """What the assembler's log says of each kernel. Raises ExportError for local memory or a kernel it leaves out."""
    entries = {m[1]: m[2] for m in re.finditer(r"entry function '(\w+)'(.*?)(?=Compiling entry|\Z)", log, re.DOTALL)}
    found = []
    for kernel in kernels:
        text = entries.get(kernel, "")
        registers = re.search(r"Used (\d+) registers", text)
        local = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text)
        if registers is None or local is None:
            raise ExportError(
                f"the assembler's report on {kernel} for sm_{sm} is missing or has changed: {log.strip()}"
            )
        shared = re.search(r"(\d+) bytes smem", text)
        usage = Usage(kernel, sm, int(registers[1]), int(shared[1]) if shared else 0, sum(map(int, local.groups())))
        if usage.local:
            raise ExportError(f"{usage}: registers are spilled to memory")
        found.append(usage)
    return found


def _nvrtc() -> Any:
    """The binding of NVRTC with its library loaded."""
    try:
        from cuda.bindings import nvrtc

        nvrtc.nvrtcVersion()
    except (ImportError, RuntimeError):  # RuntimeError: the binding is there, the library is not
        raise DependencyError(
            f"NVRTC, the compiler of the GPU kernels, is not installed: {pip_install('kernels')}"
        ) from None
    return nvrtc


def _checked(nvrtc: Any, answer: tuple[Any, ...]) -> Any:
    """The value of a call of the binding. Raises ExportError with NVRTC's word for what went wrong."""
    status, *values = answer
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise ExportError(f"NVRTC failed: {status.name}")
    return values[0] if values else None


def _compile(nvrtc: Any, text: str, name: str, architecture: str) -> tuple[bytes, str]:
    """Machine code (sm_…) or PTX (compute_…) of one source, and the compiler's log."""
    program = _checked(nvrtc, nvrtc.nvrtcCreateProgram(text.encode(), name.encode(), 0, [], []))
    try:
        options = [option.encode() for option in (f"--gpu-architecture={architecture}", *OPTIONS)]
        (status,) = nvrtc.nvrtcCompileProgram(program, len(options), options)
        log = _fetch(nvrtc, program, "ProgramLog").decode(errors="replace").strip("\0 \n")
        if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
            raise ExportError(f"NVRTC cannot compile {name} for {architecture}: {log or status.name}")
        return _fetch(nvrtc, program, "CUBIN" if architecture.startswith("sm_") else "PTX"), log
    finally:
        nvrtc.nvrtcDestroyProgram(program)


def _fetch(nvrtc: Any, program: Any, what: str) -> bytes:
    """One of the program's outputs: ``ProgramLog``, ``CUBIN`` or ``PTX``."""
    data = bytes(_checked(nvrtc, getattr(nvrtc, f"nvrtcGet{what}Size")(program)))
    _checked(nvrtc, getattr(nvrtc, f"nvrtcGet{what}")(program, data))
    return data
