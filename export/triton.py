"""A bundle → a model repository of Triton Inference Server: its configuration, its bundle, and three lines of Python.

    REPOSITORY/NAME/config.pbtxt
    REPOSITORY/NAME/1/model.py         imports bindings.triton.serving, which the server's Python must find
    REPOSITORY/NAME/1/bundle/          a copy

The response cache is off, as each answer is drawn for its frame; the model is warmed up with one frame before it is
ready; each instance has an engine of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from runtime.atomic import whole_folder
from runtime.bundle.store import Bundle, write_bundle
from runtime.errors import ExportError

BACKEND = '''"""Written by `biqa triton`: docs/triton.md."""

import os
import sys

# Some builds of the Python backend leave PYTHONPATH out.
sys.path += [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path not in sys.path]

from bindings.triton.serving import TritonPythonModel

__all__ = ["TritonPythonModel"]
'''

_TENSOR = """  {{
    name: "{name}"
    data_type: {type}
    dims: [ {dims} ]{optional}
  }}"""
_CONFIG = """# Written by `biqa triton`: docs/triton.md.
name: "{name}"
backend: "python"
max_batch_size: 0
input [
{inputs}
]
output [
{outputs}
]
instance_group [ {{ kind: KIND_{kind}, count: {instances} }} ]
response_cache {{ enable: false }}
model_warmup [
  {{
    name: "one frame"
    batch_size: 0
    inputs {{ key: "frame", value {{ data_type: TYPE_UINT8, dims: [ {height}, {width}, 3 ], random_data: true }} }}
  }}
]
{parameters}
"""
_INPUTS = (
    ("frame", "TYPE_UINT8", "-1, -1, -1"),
    ("frame16", "TYPE_UINT16", "-1, -1, -1"),
    ("bit_depth", "TYPE_INT32", "1"),
)
_OUTPUTS = (
    ("score", "TYPE_FP64", "1"),
    ("lower", "TYPE_FP64", "1"),
    ("upper", "TYPE_FP64", "1"),
    ("record", "TYPE_STRING", "1"),
)


PARAMETERS = ("epsilon", "levels", "patch", "sigma", "alpha", "samples", "scope", "precision", "threads")
"""Of the claim; ``secret_file`` and ``public_seed`` are those of the noise."""


def parameters_of(words: Sequence[str]) -> dict[str, str]:
    """Of NAME=VALUE. Raises ExportError for another form or name."""
    known = (*PARAMETERS, "secret_file", "public_seed")
    found = dict(word.partition("=")[::2] for word in words)
    for name, value in found.items():
        if name not in known or not value:
            raise ExportError(f"--parameter is NAME=VALUE, with a name of {', '.join(known)}; not {name!r}")
    return found


def config(bundle: Bundle, name: str, *, instances: int, device: str, parameters: Mapping[str, str]) -> str:
    """``config.pbtxt``. ``parameters``: those of bindings/triton/serving.py, as words."""
    contract = bundle.manifest.input
    k = contract.downscale
    sides = contract.height or max(contract.minimum_height, 32), contract.width or max(contract.minimum_width, 32)
    return _CONFIG.format(
        name=name,
        inputs=",\n".join(
            _TENSOR.format(name=n, type=t, dims=d, optional="\n    optional: true") for n, t, d in _INPUTS
        ),
        outputs=",\n".join(_TENSOR.format(name=n, type=t, dims=d, optional="") for n, t, d in _OUTPUTS),
        kind="GPU" if device == "cuda" else "CPU",
        instances=instances,
        height=sides[0] * k,
        width=sides[1] * k,
        parameters="\n".join(
            f'parameters {{ key: "{key}" value {{ string_value: "{_quoted(value)}" }} }}'
            for key, value in {"device": device, **parameters}.items()
        ),
    )


def write_repository(
    bundle: Bundle, repository: Path, name: str, *, instances: int, device: str, parameters: Mapping[str, str]
) -> Path:
    """Write the model's folder whole or not at all, and return it. Raises ExportError where another thing is there."""
    if instances < 1:
        raise ExportError(f"--instances is 1 or more, not {instances}")
    folder = repository / name
    if folder.exists() and not (folder / "config.pbtxt").is_file():
        raise ExportError(f"{folder} is there and is no Triton model: choose another --repository or --name")
    bundle.verify()
    try:
        repository.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder) as fresh:
            (fresh / "config.pbtxt").write_text(
                config(bundle, name, instances=instances, device=device, parameters=parameters)
            )
            (fresh / "1").mkdir()
            (fresh / "1" / "model.py").write_text(BACKEND)
            contents = {file: bundle.read(file) for file in bundle.manifest.files}
            write_bundle(fresh / "1" / "bundle", bundle.manifest, contents)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written: {error.strerror}: choose another --repository") from None
    return folder


def _tensors(tensors: Mapping[str, tuple[str, str]], optional: str) -> str:
    return ",\n".join(
        _TENSOR.format(name=name, type=kind, dims=dims, optional=optional) for name, (kind, dims) in tensors.items()
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
