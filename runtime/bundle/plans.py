"""Which compiled engine of a bundle fits this GPU, and why the others do not.

A plan is executable code, bound to a graph, a TensorRT flavour and version, a compute capability and a range of
shapes; it is a cache of a long build, never the artefact. TensorRT's own refusals come after it has parsed the plan
and say little, so nothing is handed to it before

- the manifest's key of the plan fits: graph, precision, flavour, version, hardware, shapes;
- its bytes have the size and SHA-256 the manifest names.

Each refusal says what differs and the command that builds the right plan. None is ever built here. Needs no
TensorRT.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import BundleError, DeviceError
from .manifest import GRAPHS, PlanKey
from .precisions import check_precision
from .store import Bundle

_AMPERE = 80


@dataclass(frozen=True)
class Target:
    """What would run a plan: a ``flavour`` of ``flavours.FLAVOURS`` and its full ``version``, on a GPU.

    ``sm``: its compute capability, sm89 for 8.9. ``gpu``: its name, None where unknown.
    """

    flavour: str
    version: str
    sm: str
    gpu: str | None = None


def plan_name(sm: str, flavour: str, version: str, precision: str, sigma: float | None = None) -> str:
    """The file an engine has in a bundle, such as ``engines/sm89-tensorrt-rtx-1.7.1.116-fp16.plan``.

    ``sigma``: of a family's level, which ends the name, ``…-fp16-0.06.plan``.
    """
    level = "" if sigma is None else f"-{sigma:g}"
    return f"engines/{sm}-{flavour}-{version}-{precision}{level}.plan"


def find_plan(
    bundle: Bundle,
    target: Target,
    precision: str,
    *,
    height: int | None = None,
    width: int | None = None,
    batch: int | None = None,
) -> str:
    """The name of the plan that fits: the one tuned nearest to ``height``×``width`` (the engine's input).

    Where these are None, the one that takes the largest frames; ``batch`` None takes any. Raises DeviceError that
    gives each plan's reason and the command that builds one, and what :func:`check_precision` raises.
    """
    check_precision(bundle, precision, "cuda")
    reasons = {
        name: mismatch(engine, bundle, target, precision, height=height, width=width, batch=batch)
        for name, engine in bundle.manifest.engines.items()
    }
    fitting = [name for name, reason in reasons.items() if reason is None]
    if not fitting:
        said = "; ".join(f"{name}: {reason}" for name, reason in reasons.items()) or "it holds no engine"
        at = "" if height is None or width is None else f" at {width}×{height}"
        raise DeviceError(
            f"{bundle.path} has no engine for {target.flavour} {target.version} on {target.sm} in {precision}{at} "
            f"({said}). Compile one with `{rebuild_command(bundle, target, precision)}`"
        )

    def distance(name: str) -> int:
        profile = bundle.manifest.engines[name].profile
        if height is None or width is None:
            return -profile.maximum[0] * profile.maximum[1]
        return abs(profile.optimum[0] * profile.optimum[1] - height * width)

    return min(fitting, key=lambda name: (distance(name), name))


def mismatch(
    engine: PlanKey,
    bundle: Bundle,
    target: Target,
    precision: str,
    *,
    height: int | None = None,
    width: int | None = None,
    batch: int | None = None,
) -> str | None:
    """Why a plan does not fit, in words; None where it does."""
    profile, graph = engine.profile, bundle.manifest.files.get(GRAPHS[precision])
    checks = {
        f"it is {engine.precision}": engine.precision == precision,
        f"it is stale, compiled from another {GRAPHS[precision]}": graph is not None
        and engine.model_sha256 == graph.sha256,
        f"it is for {engine.flavour}": engine.flavour == target.flavour,
        f"it is for version {engine.version}": _version_fits(engine, target.version),
        f"it is for {_hardware(engine)}": _hardware_fits(engine, target),
        f"it takes batches of {profile.batch}, not {batch}": batch in (None, profile.batch),
        f"it takes {_size(profile.minimum)} to {_size(profile.maximum)}, others take --sizes": (
            height is None or width is None or profile.covers(height, width)
        ),
    }
    return next((reason for reason, fits in checks.items() if not fits), None)


def read_plan(bundle: Bundle, name: str, target: Target) -> bytes:
    """The bytes of a plan, its size and SHA-256 checked, ready for TensorRT.

    Raises BundleError for a plan that is missing, cut short or altered, and for one the manifest states no key of.
    """
    engine = bundle.manifest.engines.get(name)
    if engine is None:
        raise BundleError(f"{bundle.path}: {name} is not among the engines its manifest describes, and is not opened")
    try:
        return bundle.read(name)
    except BundleError as error:
        raise BundleError(
            f"{error}. A plan is compiled again with `{rebuild_command(bundle, target, engine.precision)}`"
        ) from None


def rebuild_command(bundle: Bundle, target: Target, precision: str) -> str:
    """The command that compiles the plan that is missing; full TensorRT compiles for the GPU it runs on."""
    sm = f" --sm {target.sm.removeprefix('sm')}" if target.flavour == "tensorrt-rtx" else ""
    return f"biqa compile {bundle.path} --target {target.flavour}{sm} --precision {precision}"


def _version_fits(engine: PlanKey, version: str) -> bool:
    if not engine.version_compatible:
        return engine.version == version
    made, here = _numbers(engine.version), _numbers(version)
    return made[:1] == here[:1] and made <= here


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _hardware_fits(engine: PlanKey, target: Target) -> bool:
    if engine.hardware == "ampere+":
        return _capability(target.sm) >= _AMPERE
    same = engine.sm == target.sm
    if engine.hardware == "same-gpu":
        return same and None not in (engine.gpu, target.gpu) and engine.gpu == target.gpu
    return same and engine.hardware == "same-sm"


def _capability(sm: str) -> int:
    digits = sm.removeprefix("sm")
    return int(digits) if digits.isdigit() else 0


def _hardware(engine: PlanKey) -> str:
    if engine.hardware == "ampere+":
        return f"GPUs from sm{_AMPERE}"
    return f"{engine.sm} on {engine.gpu} only" if engine.hardware == "same-gpu" else engine.sm


def _size(size: tuple[int, int]) -> str:
    return f"{size[1]}×{size[0]}"
