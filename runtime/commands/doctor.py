"""``doctor``: what is installed, which device would be used, what is missing and how to get it."""

from __future__ import annotations

import argparse
import ctypes
import json
import platform
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from ..bundle import open_bundle
from ..errors import BiqaError
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


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "doctor",
        help="what is installed, which device would be used, what is missing and how to get it",
        description="What is installed, which device would be used, what is missing and how to get it. "
        "Exit status 1 where frames cannot be certified on the CPU.",
        epilog="example:\n  python -m runtime doctor --json",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    report = examine()
    print(json.dumps(report, indent=2) if options.json else _text(report))
    return 0 if report["devices"]["cpu"]["ready"] else 1


def examine() -> dict[str, Any]:
    """The findings as JSON types."""
    packages = {}
    for distribution, module, purpose, extra in _PACKAGES:
        version = _version(distribution, module)
        packages[distribution] = {
            "version": version,
            "for": purpose,
            "install": None if version else f"pip install 'stochastic-biqa[{extra}]'",
        }
    return {
        "stochastic-biqa": __version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": packages,
        "model": _model(),
        "devices": {"cpu": _cpu(), "cuda": _cuda()},
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


def _model() -> dict[str, Any]:
    try:
        bundle = open_bundle()
        bundle.verify()
    except BiqaError as error:
        return {"ready": False, "why": str(error)}
    return {"ready": True, "name": bundle.manifest.name, "sha256": bundle.digest}


def _cpu() -> dict[str, Any]:
    if find_spec("onnxruntime") is None:
        return {"ready": False, "why": "ONNX Runtime is missing: pip install 'stochastic-biqa[cpu]'"}
    import onnxruntime

    return {"ready": True, "provider": "CPUExecutionProvider", "onnxruntime": onnxruntime.__version__}


def _cuda() -> dict[str, Any]:
    try:
        ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
        driver = "an NVIDIA driver is here"
    except OSError:
        driver = "no NVIDIA driver is here (libcuda not found)"
    return {"ready": False, "why": f"this version certifies on the CPU only; {driver}"}


def _text(report: dict[str, Any]) -> str:
    lines = [f"stochastic-biqa {report['stochastic-biqa']}, Python {report['python']}, {report['machine']}", ""]
    for name, package in report["packages"].items():
        found = package["version"] or f"missing: {package['install']}"
        lines.append(f"  {name:14} {found:12} {package['for']}")
    model = report["model"]
    lines += ["", f"  default model  {model['name'] + ' ' + model['sha256'][:12] if model['ready'] else model['why']}"]
    for name, device in report["devices"].items():
        lines.append(
            f"  device {name:7} {'ready: ' + device['provider'] if device['ready'] else 'not ready: ' + device['why']}"
        )
    return "\n".join(lines)
