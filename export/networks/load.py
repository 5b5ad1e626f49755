"""SPEC and weights file → a PyTorch module ready to export, and the record of where it came from.

A SPEC is one of

- a name of ``catalogue.py``; ``none`` as a denoiser; ``pyiqa:<metric>`` where pyiqa is installed
- ``package.module:factory``
- ``path/file.py:factory``

where ``factory`` is a callable that returns an ``nn.Module``, an ``nn.Module`` class or an ``nn.Module``.
Loading runs that code, as importing it would. Weights never run code: ``.safetensors``, or ``.pt``/``.pth``
opened with ``weights_only=True``.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.util
import io
import pickle
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from runtime.bundle.manifest import Part, ScoreContract
from runtime.errors import ExportError

from .catalogue import DENOISERS, METRICS, NO_DENOISER, Entry
from .pyiqa_metric import LICENCE, PREFIX, build_pyiqa

UNSTATED = "unstated"
_NAMED = 3  # keys named in an error message before "…"


@dataclass(frozen=True, eq=False)
class Loaded:
    """A module in evaluation mode and its entry in the manifest.

    ``score``: what is known of a metric's scores, None if nothing. ``sigma``: the noise a denoiser was trained
    at, None if unknown. ``card``: the model card of one of ours with our weights, None of others.
    """

    module: nn.Module
    part: Part
    score: ScoreContract | None = None
    sigma: float | None = None
    card: Path | None = None


def load_metric(
    spec: str | nn.Module, weights: Path | None = None, *, licence: str | None = None, version: str | None = None
) -> Loaded:
    """Load a metric: N×3×H×W in [0, 1] → N scores. Raises ExportError, DependencyError for pyiqa."""
    if isinstance(spec, str) and spec.startswith(PREFIX):
        name = spec.removeprefix(PREFIX)
        module, score, released = build_pyiqa(name)
        found = Loaded(module, Part(name, released, LICENCE, spec), score)
        return _finish(found, weights, licence, version)
    return _load(spec, METRICS, weights, licence, version)


def load_denoiser(
    spec: str | nn.Module, weights: Path | None = None, *, licence: str | None = None, version: str | None = None
) -> Loaded | None:
    """Load a denoiser: N×3×H×W in [0, 1] → the same shape; None for ``none``. Raises ExportError."""
    if spec == NO_DENOISER:
        if weights is not None:
            raise ExportError(f"{weights} was given for the denoiser {NO_DENOISER!r}: drop one of the two")
        return None
    return _load(spec, DENOISERS, weights, licence, version)


def _load(
    spec: str | nn.Module, entries: Mapping[str, Entry], weights: Path | None, licence: str | None, version: str | None
) -> Loaded:
    if isinstance(spec, nn.Module):
        kind = type(spec)
        found = Loaded(spec, Part(kind.__name__, UNSTATED, UNSTATED, f"{kind.__module__}:{kind.__qualname__}"))
        return _finish(found, weights, licence, version)
    if (entry := entries.get(spec)) is None:
        if ":" not in spec:
            raise ExportError(
                f"{spec!r} is not in the catalogue ({', '.join(entries)}): name one of these, "
                "package.module:factory or path/file.py:factory"
            )
        module, recorded = _build(spec)
        return _finish(
            Loaded(module, Part(recorded.rpartition(":")[2], UNSTATED, UNSTATED, recorded)), weights, licence, version
        )
    module, _ = _build(entry.spec)
    shipped = weights is None
    if shipped and not entry.weights.is_file():
        raise ExportError(
            f"the weights of {spec} are missing ({entry.weights.parent.name}/{entry.weights.name}): "
            "train them with `biqa train`, or name a file with --metric-weights or --denoiser-weights"
        )
    # Other weights in our architecture are neither our version nor under our licence.
    part = Part(spec, entry.version if shipped else UNSTATED, entry.licence if shipped else UNSTATED, entry.spec)
    found = Loaded(module, part, entry.score, entry.sigma if shipped else None, entry.card if shipped else None)
    return _finish(found, entry.weights if shipped else weights, licence, version)


def _finish(found: Loaded, weights: Path | None, licence: str | None, version: str | None) -> Loaded:
    part = replace(found.part, licence=licence or found.part.licence, version=version or found.part.version)
    if weights is not None:
        part = replace(part, weights_sha256=load_weights(found.module, weights))
    found.module.to("cpu").eval().requires_grad_(False)
    return replace(found, part=part)


def _build(spec: str) -> tuple[nn.Module, str]:
    """The module of ``package.module:factory`` or ``path/file.py:factory``, and the spec as recorded.

    The record holds a file's name, not its folder: a bundle says nothing of the machine that made it.
    """
    where, _, attribute = spec.rpartition(":")
    path = Path(where)
    is_file = path.suffix == ".py"
    with _importable(path.parent.resolve()) if is_file else contextlib.nullcontext():
        source = _import_file(path) if is_file else _import_module(where)
        try:
            found = getattr(source, attribute)
        except AttributeError:
            own = sorted(
                n for n, v in vars(source).items() if callable(v) and getattr(v, "__module__", "") == source.__name__
            )
            raise ExportError(
                f"{where} has no {attribute!r}: it defines {', '.join(own) or 'nothing callable'}"
            ) from None
        if not isinstance(found, nn.Module):
            if not callable(found):
                raise ExportError(f"{spec} is {_kind(found)}: name an nn.Module or a callable that returns one")
            try:
                found = found()
            except Exception as error:
                raise ExportError(
                    f"{spec}() raised {type(error).__name__}: {error}; it is called without arguments"
                ) from error
    if not isinstance(found, nn.Module):
        raise ExportError(f"{spec}() returned {_kind(found)}, not an nn.Module")
    return found, f"{path.name if is_file else where}:{attribute}"


def _kind(value: object) -> str:
    return f"a {type(value).__name__}"


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """A file may import its neighbours, as it could when run as a script."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise ExportError(f"no file {path}")
    name = f"export_spec_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise ExportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and torch look a class's module up there
    try:
        found.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ExportError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _import_module(name: str) -> ModuleType:
    """An installed module, else one of the current folder, where a console script does not look by itself."""
    try:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            with _importable(Path.cwd()):
                return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise ExportError(
            f"no module {error.name!r} (for {name}): install it, or run from the folder that holds it"
        ) from error
    except Exception as error:
        raise ExportError(f"{name} cannot be imported: {type(error).__name__}: {error}") from error


def load_weights(module: nn.Module, path: Path) -> str:
    """Load a state dict into ``module``, every key and shape equal; the SHA-256 (hex) of the file.

    Raises ExportError for a missing file, another format, a pickle that holds more than tensors, and keys
    that are missing, unknown or of another shape.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ExportError(f"the weights {path} cannot be read: {error.strerror}") from None
    state = _state(data, path)
    own = module.state_dict()
    faults = {
        "missing": [k for k in own if k not in state],
        "unknown": sorted(k for k in state if k not in own),
        "of another shape": [
            f"{k} {tuple(state[k].shape)} instead of {tuple(own[k].shape)}"
            for k in own
            if k in state and state[k].shape != own[k].shape
        ],
    }
    if any(faults.values()):
        said = [f"{len(keys)} {fault} ({_some(keys)})" for fault, keys in faults.items() if keys]
        raise ExportError(f"{path} does not fit {type(module).__name__}: {'; '.join(said)}")
    module.load_state_dict(state)
    return hashlib.sha256(data).hexdigest()


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:_NAMED]) + (", …" if len(keys) > _NAMED else "")


def _state(data: bytes, path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            state: Any = load(data)
        except (SafetensorError, ValueError) as error:
            raise ExportError(f"{path} is not a safetensors file: {error}") from None
    elif path.suffix in (".pt", ".pth"):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # remarks on old pickle protocols: what it cannot open it refuses
                state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        except pickle.UnpicklingError:
            raise ExportError(
                f"{path} holds more than tensors, or is no PyTorch file, and was not opened, which could run code. "
                "Save the weights alone with torch.save(module.state_dict(), …) or as .safetensors"
            ) from None
        except (RuntimeError, EOFError, ValueError) as error:
            raise ExportError(f"{path} is not a PyTorch weights file: {error}") from None
    else:
        raise ExportError(f"{path}: weights are .safetensors, .pt or .pth")
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise ExportError(f"{path} holds {_kind(state)}, not a state dict of tensors or {{'state_dict': …}}")
    return dict(state)
