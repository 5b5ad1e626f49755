"""Metric and denoiser → one function of the noisy lattice.

    score = metric(clamp(denoiser(clamp(lattice · unit, 0, 1)), 0, 1))

``lattice`` float32 N×3×h×w of integer values, noise added; ``unit`` float32[1], 1/((2ᵇ−1)k²). Scaling and
clamping are inside, so they are part of the certified function and of the graph; the bit depth is not.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from runtime.errors import ExportError


class Fused(nn.Module):
    """The function that is certified. ``denoiser`` None is median smoothing alone."""

    def __init__(self, metric: nn.Module, denoiser: nn.Module | None) -> None:
        super().__init__()
        self.metric = metric
        self.denoiser = denoiser
        self.eval().requires_grad_(False)

    def image(self, lattice: Tensor, unit: Tensor) -> Tensor:
        """N×3×h×w in [0, 1]: what the metric is shown."""
        image = (lattice * unit).clamp(0, 1)
        return image if self.denoiser is None else self.denoiser(image).clamp(0, 1)

    def forward(self, lattice: Tensor, unit: Tensor) -> Tensor:
        """float32[N] scores; a metric may return N, N×1, N×1×1×1, or one number for a batch of one."""
        score: Tensor = self.metric(self.image(lattice, unit))
        return score.reshape(-1).to(torch.float32)


def check_contract(fused: Fused, lattice: Tensor, unit: Tensor) -> None:
    """Run both parts once and compare their outputs with what a metric and a denoiser must return.

    Raises ExportError saying which part, what it returned and what to do.
    """
    count, _, height, width = lattice.shape
    shape = f"{count}×3×{height}×{width}"
    image = (lattice * unit).clamp(0, 1)
    if fused.denoiser is not None:
        restored = _run("denoiser", fused.denoiser, image)
        _check_tensor("denoiser", restored, f"the denoised frame, {shape}")
        if restored.shape != image.shape:
            raise ExportError(
                f"the denoiser turned {shape} into {_shape(restored)}: it must return a frame of the same size; "
                "pad inside it and crop again"
            )
        image = restored.clamp(0, 1)
    score = _run("metric", fused.metric, image)
    _check_tensor("metric", score, f"{count} scores")
    if score.numel() != count or (score.ndim > 0 and score.shape[0] != count):
        raise ExportError(
            f"the metric returned {_shape(score)} for {count} frames: it must return one score a frame, N or N×1; "
            "wrap it in an nn.Module that picks or averages per frame"
        )


def _run(role: str, module: nn.Module, image: Tensor) -> Tensor:
    try:
        with torch.no_grad():
            result: Tensor = module(image)
    except Exception as error:
        raise ExportError(
            f"the {role} failed on a frame of {image.shape[3]}×{image.shape[2]}: {type(error).__name__}: {error}; "
            "a network made for one size takes --size HEIGHTxWIDTH"
        ) from error
    return result


def _check_tensor(role: str, value: object, wanted: str) -> None:
    if not isinstance(value, Tensor):
        held = f" with keys {', '.join(map(str, value))}" if isinstance(value, dict) else ""
        raise ExportError(
            f"the {role} returned a {type(value).__name__}{held}, not a tensor of {wanted}: "
            "wrap it in an nn.Module whose forward returns that tensor"
        )
    if not value.is_floating_point():
        raise ExportError(f"the {role} returned {value.dtype} values: it must return floating-point {wanted}")


def _shape(value: Tensor) -> str:
    return "×".join(map(str, value.shape)) or "a single number"
