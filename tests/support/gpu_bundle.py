"""Bundles with kernels and plans that only look like some, for what is decided before any of them is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from runtime.bundle.manifest import GRAPHS, MODEL, PlanKey, Profile
from runtime.bundle.plans import plan_name
from runtime.bundle.store import Bundle, file_entry, write_bundle
from runtime.samplers.gpu.kernels import SOURCES, cubin_file, ptx_file
from tests.support.tiny import graph, tiny_bundle

VERSION = "1.7.1.116"
PROFILE = Profile(8, (8, 8), (540, 960), (1080, 1920))
KERNEL_FILES = {cubin_file(m, 86): b"cubin" for m in SOURCES} | {ptx_file(m): b"ptx" for m in SOURCES}
PLAN = plan_name("sm89", "tensorrt-rtx", VERSION, "fp32")


def gpu_bundle(path: Path, *precisions: str, kernels: bool = True, fp16: bool = False, **key: Any) -> Bundle:
    """The tiny bundle with kernels and a plan a precision, none of them real."""
    bundle = tiny_bundle(path)
    contents = {MODEL: bundle.read(MODEL), **(KERNEL_FILES if kernels else {})}
    if fp16:
        contents[GRAPHS["fp16"]] = graph("sixteen")
    engines = {}
    for precision in precisions:
        name = plan_name("sm89", "tensorrt-rtx", VERSION, precision)
        contents[name] = f"plan {precision}".encode()
        digest = file_entry(contents[GRAPHS[precision]]).sha256
        engines[name] = replace(PlanKey(digest, precision, "tensorrt-rtx", VERSION, "sm89", PROFILE), **key)
    files = {name: file_entry(data) for name, data in contents.items()}
    return write_bundle(path, replace(bundle.manifest, files=files, engines=engines), contents)
