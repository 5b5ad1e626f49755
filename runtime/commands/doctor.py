"""``doctor``: what is installed, which device would be used, what is missing and how to get it."""

from __future__ import annotations

import argparse
import json
import platform
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..bundle.store import Bundle, open_bundle
from ..errors import BiqaError, DeviceError
from ..noise.draw import COMPILED
from ..samplers.gpu import pycuda as pycuda_driver
from ..samplers.gpu.kernels import SOURCES, add_kernels, ptx_file
from ..samplers.gpu.nvidia import find_gpus
from ..samplers.gpu.routes import find_route
from ..samplers.gpu.tensorrt_modules import INSTALL, MODULE_NAMES
from ..version import __version__

_PACKAGES = (
    # distribution, module, what it is for, the extra that brings it
    ("numpy", "numpy", "everything", ""),
    ("scipy", "scipy", "everything", ""),
    ("onnxruntime", "onnxruntime", "device cpu", "cpu"),
    ("av", "av", "video files", "video"),
    ("pillow", "PIL", "picture files", "video"),
    ("tqdm", "tqdm", "progress bars", "video"),
    ("torch", "torch", "export and training", "export"),
    ("onnx", "onnx", "export", "export"),
    ("onnxscript", "onnxscript", "export", "export"),
    ("safetensors", "safetensors", "export and training", "export"),
)

_GPU_PACKAGES = (
    # name, modules, distributions, how to get it
    ("tensorrt", MODULE_NAMES["tensorrt"], ("tensorrt", "tensorrt-cu13", "tensorrt-cu12"), INSTALL["tensorrt"]),
    (
        "tensorrt_rtx",
        MODULE_NAMES["tensorrt-rtx"],
        ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13", "tensorrt-rtx"),
        INSTALL["tensorrt-rtx"],
    ),
    ("pycuda", ("pycuda",), ("pycuda",), pycuda_driver.INSTALL),
    (
        "nvrtc",
        (),
        ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12"),
        "pip install nvidia-cuda-nvrtc, or the CUDA toolkit",
    ),
)


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, which device would be used, what is missing and how to get it",
        description="What is installed, which device would be used, what is missing and how to get it. "
        "Exit status 1 where frames cannot be certified on the CPU with the default model.",
        epilog="examples:\n  python -m runtime doctor --json\n  python -m runtime doctor --model fast",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, help="bundle to look into; default the one that ships")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    report = examine(options.model)
    print(json.dumps(report, indent=2) if options.json else _text(report))
    return 0 if report["devices"]["cpu"]["ready"] and report["model"]["ready"] else 1


def examine(model: Path | None = None) -> dict[str, Any]:
    """The findings as JSON types. ``model``: a bundle, None for the one that ships."""
    packages = {}
    for distribution, module, purpose, extra in _PACKAGES:
        version = _version(distribution, module)
        packages[distribution] = {
            "version": version,
            "for": purpose,
            "install": None
            if version
            else f"pip install 'stochastic-biqa[{extra}]'"
            if extra
            else f"pip install {distribution}",
        }
    return {
        "stochastic-biqa": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "noise": _noise(),
        "model": _model(model),
        "gpu": {"driver": _driver(), **_gpu_packages(), **_gpu_files(model)},
        "devices": {"cpu": _cpu(), "cuda": _cuda(model)},
    }


def _version(distribution: str, module: str) -> str | None:
    if find_spec(module) is None:
        return None
    for name in (distribution, f"{distribution}-gpu"):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return "unknown"


def _noise() -> dict[str, Any]:
    """Which path of ``noise.py`` draws here; the bits are the same."""
    if COMPILED:
        return {"path": "compiled", "install": None}
    return {"path": "NumPy", "install": "install gcc or clang and Python's headers, then stochastic-biqa again"}


def _model(model: Path | None) -> dict[str, Any]:
    try:
        bundle = open_bundle(model)
        bundle.verify()
    except (BiqaError, OSError) as error:
        return {"ready": False, "why": str(error)}
    return {"ready": True, "name": bundle.manifest.name, "sha256": bundle.digest, "path": str(bundle.path)}


def _cpu() -> dict[str, Any]:
    if find_spec("onnxruntime") is None:
        return {"ready": False, "why": "ONNX Runtime is missing: pip install 'stochastic-biqa[cpu]'"}
    try:
        import onnxruntime

        version = str(onnxruntime.__version__)
    except Exception as error:  # a broken installation fails in any way it likes
        said = " ".join(str(error).split())
        repair = "pip install --force-reinstall onnxruntime"
        return {"ready": False, "why": f"ONNX Runtime cannot be loaded ({type(error).__name__}: {said}): {repair}"}
    return {"ready": True, "provider": "CPUExecutionProvider", "onnxruntime": version}


def _cuda(model: Path | None) -> dict[str, Any]:
    """Which route ``device="cuda"`` would take, or all that is missing. No engine is opened, nothing is started."""
    try:
        route = find_route(open_bundle(model))
    except (BiqaError, OSError) as error:
        return {"ready": False, "why": str(error)}
    if route.missing:
        return {"ready": False, "why": ". ".join(route.missing), "missing": list(route.missing)}
    return {"ready": True, "provider": route.provider, "precision": route.precision, "plan": route.plan}


def _driver() -> dict[str, Any]:
    try:
        gpus = find_gpus()
    except DeviceError as error:
        return {"found": None, "install": str(error)}
    said = ", ".join(f"{gpu.name} ({gpu.sm})" for gpu in gpus) or "no GPU"
    version = f"{gpus[0].driver or 'version unknown'}, CUDA {gpus[0].cuda}: " if gpus else ""
    return {"found": version + said, "install": None, "gpus": [asdict(gpu) for gpu in gpus]}


def _gpu_packages() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, modules, distributions, install in _GPU_PACKAGES:
        version = next((v for v in map(_installed, distributions) if v is not None), None)
        if version is None and any(find_spec(module) for module in modules):
            version = "version unknown"
        found[name] = {"found": version, "install": None if version else install}
    return found


def _installed(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def _gpu_files(model: Path | None) -> dict[str, Any]:
    """Kernels and engines of a bundle. None is opened; ``engines.py`` says which fits when one is."""
    try:
        bundle = open_bundle(model)
    except (BiqaError, OSError) as error:
        return {name: {"found": None, "install": str(error)} for name in ("kernels", "engines")}
    names = list(bundle.manifest.engines)
    command = f"python -m export compile {bundle.path} --target tensorrt-rtx, or tensorrt on the GPU that will run it"
    return {
        "kernels": _kernels(bundle),
        "engines": {"found": ", ".join(names) or None, "install": None if names else command, "names": names},
    }


def _kernels(bundle: Bundle) -> dict[str, Any]:
    found = all(ptx_file(module) in bundle.manifest.files for module in SOURCES)
    return {"found": ", ".join(SOURCES) if found else None, "install": None if found else add_kernels(bundle.path)}


def _text(report: dict[str, Any]) -> str:
    lines = [f"stochastic-biqa {report['stochastic-biqa']}, Python {report['python']}, {report['machine']}", ""]
    for name, package in report["packages"].items():
        found = package["version"] or f"missing: {package['install']}  # for"
        lines.append(f"  {name:14} {found:12} {package['for']}")
    noise = report["noise"]
    slow = f", two to four times slower than compiled, the same bits: {noise['install']}" if noise["install"] else ""
    lines += ["", f"  noise          {noise['path']}{slow}"]
    model = report["model"]
    lines.append(f"  model          {model['name'] + ' ' + model['sha256'][:12] if model['ready'] else model['why']}")
    lines.append("")
    for name, part in report["gpu"].items():
        lines.append(f"  {name:14} {part['found'] or 'missing: ' + part['install']}")
    lines.append("")
    for name, device in report["devices"].items():
        lines.append(
            f"  device {name:7} {'ready: ' + device['provider'] if device['ready'] else 'not ready: ' + device['why']}"
        )
    return "\n".join(lines)
