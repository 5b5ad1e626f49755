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

from ..bundle.manifest import MODEL
from ..bundle.store import Bundle, open_bundle
from ..errors import BiqaError, DeviceError
from ..install import pip_install
from ..noise.draw import COMPILED
from ..samplers.gpu import pycuda as pycuda_driver
from ..samplers.gpu.kernels import add_kernels, ptx_file, sources_of
from ..samplers.gpu.nvidia import find_gpus
from ..samplers.gpu.routes import find_route
from ..samplers.gpu.tensorrt_modules import MODULE_NAMES, install_advice
from ..version import __version__

_PACKAGES = (
    # distribution, module, what it is for, the extra that brings it, whether certifying takes it
    ("numpy", "numpy", "everything", "", True),
    ("scipy", "scipy", "everything", "", True),
    ("onnxruntime", "onnxruntime", "device cpu", "cpu", True),
    ("av", "av", "video files", "video", True),
    ("pillow", "PIL", "stills", "video", True),
    ("simplejpeg", "simplejpeg", "stills: damage in JPEGs", "video", True),
    ("tifffile", "tifffile", "stills: TIFF", "video", True),
    ("imagecodecs", "imagecodecs", "stills: 16 bits, colours", "video", True),
    ("pillow-heif", "pillow_heif", "stills: HEIF", "video", True),
    ("tqdm", "tqdm", "progress bars", "video", True),
    ("torch", "torch", "export and training", "export", False),
    ("onnx", "onnx", "export", "export", False),
    ("onnxscript", "onnxscript", "export", "export", False),
    ("safetensors", "safetensors", "export and training", "export", False),
)

_TENSORRT = ("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
_TENSORRT_RTX = ("tensorrt-rtx-cu13-bindings", "tensorrt-rtx-cu13", "tensorrt-rtx")
_NVRTC = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12")

_NO_MODEL = "not examined: it takes a model, and the one named cannot be opened"


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, which device would be used, what is missing and how to get it",
        description="What is installed, which device would be used, what is missing and how to get it.\n"
        "Exit status 1 where frames cannot be certified on the CPU with the model.",
        epilog="examples:\n  biqa doctor\n  biqa doctor --all --model fast\n  biqa doctor --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", type=Path, help="bundle to look into; default the one that ships")
    parser.add_argument("--all", action="store_true", help="also what export, training and every GPU route take")
    parser.add_argument("--json", action="store_true", help="print JSON, which holds everything")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    report = examine(options.model)
    print(json.dumps(report, indent=2) if options.json else _text(report, options.all))
    return 0 if report["devices"]["cpu"]["ready"] and report["model"]["ready"] else 1


def examine(model: Path | None = None) -> dict[str, Any]:
    """The findings as JSON types. ``model``: a bundle, None for the one that ships."""
    packages = {}
    for distribution, module, purpose, extra, _ in _PACKAGES:
        version = _version(distribution, module)
        advice = pip_install(extra, distribution) if extra else f"pip install {distribution}"
        packages[distribution] = {"version": version, "for": purpose, "install": None if version else advice}
    found, bundle = _model(model)
    return {
        "stochastic-biqa": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "noise": _noise(),
        "model": found,
        "gpu": {"driver": _driver(), **_gpu_packages(), **_gpu_files(bundle)},
        "devices": {"cpu": _cpu(), "cuda": _cuda(bundle)},
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
    """Which path of ``noise/draw.py`` draws here; the bits are the same."""
    if COMPILED:
        return {"path": "compiled", "install": None}
    return {"path": "NumPy", "install": "install gcc or clang and Python's headers, then stochastic-biqa again"}


def _model(model: Path | None) -> tuple[dict[str, Any], Bundle | None]:
    """The findings, and the bundle where it can be opened."""
    bundle = None
    try:
        bundle = open_bundle(model)
        bundle.verify()
    except (BiqaError, OSError) as error:
        return {"ready": False, "why": str(error)}, bundle
    known = bundle.at(bundle.manifest.input.sigma).manifest.files[MODEL].sha256 in bundle.manifest.known_answers
    answer = "checked at opening" if known else "not checked: the bundle has none, build it again with `biqa build`"
    found = {"name": bundle.manifest.name, "sha256": bundle.digest, "path": str(bundle.path), "known_answer": answer}
    return {"ready": True, **found}, bundle


def _cpu() -> dict[str, Any]:
    if find_spec("onnxruntime") is None:
        return {"ready": False, "why": f"ONNX Runtime is missing: {pip_install('cpu')}"}
    try:
        import onnxruntime

        version = str(onnxruntime.__version__)
    except Exception as error:  # a broken installation fails in any way it likes
        said = " ".join(str(error).split())
        repair = "pip install --force-reinstall onnxruntime"
        return {"ready": False, "why": f"ONNX Runtime cannot be loaded ({type(error).__name__}: {said}): {repair}"}
    return {"ready": True, "provider": "CPUExecutionProvider", "onnxruntime": version}


def _cuda(bundle: Bundle | None) -> dict[str, Any]:
    """Which route ``device="cuda"`` would take, or all that is missing. No engine is opened, nothing is started."""
    if bundle is None:
        return {"ready": False, "why": _NO_MODEL}
    try:
        route = find_route(bundle.at(bundle.manifest.input.sigma))
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
    for name, modules, distributions, install in (
        ("tensorrt", MODULE_NAMES["tensorrt"], _TENSORRT, install_advice("tensorrt")),
        ("tensorrt_rtx", MODULE_NAMES["tensorrt-rtx"], _TENSORRT_RTX, install_advice("tensorrt-rtx")),
        ("pycuda", ("pycuda",), ("pycuda",), pycuda_driver.install_advice()),
        ("nvrtc", (), _NVRTC, "pip install nvidia-cuda-nvrtc, or the CUDA toolkit"),
    ):
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


def _gpu_files(bundle: Bundle | None) -> dict[str, Any]:
    """Kernels and engines of a bundle. None is opened; ``bundle/plans.py`` says which fits when one is."""
    if bundle is None:
        return {name: {"found": None, "install": _NO_MODEL} for name in ("kernels", "engines")}
    names = list(bundle.manifest.engines)
    command = f"biqa compile {bundle.path} --target tensorrt-rtx, or tensorrt on the GPU that will run it"
    return {
        "kernels": _kernels(bundle),
        "engines": {"found": ", ".join(names) or None, "install": None if names else command, "names": names},
    }


def _kernels(bundle: Bundle) -> dict[str, Any]:
    sources = sources_of(bundle.manifest.input.tile)
    found = all(ptx_file(module) in bundle.manifest.files for module in sources)
    return {"found": ", ".join(sources) if found else None, "install": None if found else add_kernels(bundle.path)}


def _text(report: dict[str, Any], everything: bool) -> str:
    """The findings in lines. ``everything``: not only what certifying on a CPU takes."""
    lines = [f"stochastic-biqa {report['stochastic-biqa']}, Python {report['python']}, {report['machine']}", ""]
    for name, *_, certifies in _PACKAGES:
        if everything or certifies:
            package = report["packages"][name]
            found = package["version"] or f"missing: {package['install']}  # for"
            lines.append(f"  {name:14} {found:12} {package['for']}")
    noise = report["noise"]
    slow = f", two to four times slower than compiled, the same bits: {noise['install']}" if noise["install"] else ""
    lines += ["", f"  noise          {noise['path']}{slow}"]
    model = report["model"]
    lines += [f"  model          {model['name'] + ' ' + model['sha256'][:12] if model['ready'] else model['why']}"]
    lines += [f"  known answer   {model['known_answer']}"] if model["ready"] else []
    lines += [""]
    if everything:
        for name, part in report["gpu"].items():
            lines.append(f"  {name:14} {part['found'] or _missing(part['install'])}")
        lines.append("")
    for name, device in report["devices"].items():
        lines.append(f"  device {name:7} {_device(device, everything)}")
    return "\n".join(lines)


def _missing(advice: str) -> str:
    return advice if advice == _NO_MODEL else f"missing: {advice}"


def _device(device: dict[str, Any], everything: bool) -> str:
    if device["ready"]:
        return f"ready: {device['provider']}"
    missing = device.get("missing", ())
    if everything or not missing:
        return device["why"] if device["why"] == _NO_MODEL else f"not ready: {device['why']}"
    more = f", and {len(missing) - 1} more" if len(missing) > 1 else ""
    return f"not ready: {missing[0].split(':')[0]}{more}; biqa doctor --all lists what it takes"
