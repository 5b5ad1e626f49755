"""The Python backend of a Triton model repository: one Certifier an instance, a frame a request.

==============  =========================================================================
tensor          holds
==============  =========================================================================
``frame``       in: uint8 or uint16 H×W×3, RGB; ``frame`` or ``frame16``, one of the two
``bit_depth``   in, with ``frame16``: int32[1], 10 or 12 for video values; default 16
``score``       out: float64[1], points
``lower``       out: float64[1]; −inf where nothing is bounded
``upper``       out: float64[1]; +inf where nothing is bounded
``record``      out: string[1], the certificate as JSON, as in a log
==============  =========================================================================

A frame that is not taken is the client's error, and says why. Scores are those of the library, bit for bit: the noise
key follows from the secret and the frame. The response cache is off.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from bindings.session import open_certifier
from runtime import BiqaError, Certificate, ParameterError

NUMBERS = {"epsilon": float, "levels": float, "sigma": float, "alpha": float, "samples": int, "threads": int}
WORDS = ("device", "precision", "scope", "patch", "secret_file")
"""Parameters of ``config.pbtxt``; "" stands for the model's default."""


def claims(parameters: dict[str, Any]) -> dict[str, Any]:
    """Arguments of :func:`bindings.session.open_certifier`. Raises ParameterError for what is no number."""
    given = {name: value["string_value"] for name, value in parameters.items() if value["string_value"]}
    found: dict[str, Any] = {name: given[name] for name in WORDS if name in given}
    for name, kind in {**NUMBERS, "public_seed": int}.items():
        if name in given:
            try:
                found[name] = kind(given[name])
            except ValueError:
                raise ParameterError(f"parameter {name} of config.pbtxt is a number, not {given[name]!r}") from None
    return found


def answer(certificate: Certificate) -> dict[str, Any]:
    """The output tensors, as arrays."""
    record = json.dumps(certificate.to_dict(), allow_nan=False)
    numbers = {name: np.array([getattr(certificate, name)], np.float64) for name in ("score", "lower", "upper")}
    return {**numbers, "record": np.array([record.encode()], object)}


class TritonPythonModel:
    """What Triton calls."""

    def initialize(self, args: dict[str, str]) -> None:
        import triton_python_backend_utils as triton

        self._triton = triton
        config = json.loads(args["model_config"])
        folder = f"{args['model_repository']}/{args['model_version']}/bundle"
        self._certifier = open_certifier(folder, **claims(config.get("parameters", {})))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        return [self._answered(request) for request in requests]

    def _answered(self, request: Any) -> Any:
        triton = self._triton
        given = {
            name: tensor.as_numpy()
            for name in ("frame", "frame16", "bit_depth")
            if (tensor := triton.get_input_tensor_by_name(request, name)) is not None
        }
        try:
            frame, bit_depth = frame_of(given)
            certificate = self._certifier.certify(frame, bit_depth=bit_depth)
        except BiqaError as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error), triton.TritonError.INVALID_ARG))
        return triton.InferenceResponse([triton.Tensor(name, data) for name, data in answer(certificate).items()])

    def finalize(self) -> None:
        self._certifier.close()


def frame_of(given: dict[str, Any]) -> tuple[Any, int | None]:
    """The frame of a request and its bit depth, None for that of its type. Raises ParameterError."""
    if ("frame" in given) == ("frame16" in given):
        raise ParameterError("a request has one frame: frame (uint8) or frame16 (uint16), H×W×3")
    if "frame" in given and "bit_depth" in given:
        raise ParameterError("bit_depth goes with frame16")
    depth = int(given["bit_depth"][0]) if "bit_depth" in given else None
    return given.get("frame", given.get("frame16")), depth
