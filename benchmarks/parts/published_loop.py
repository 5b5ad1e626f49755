"""The same function certified the way published code does it, in PyTorch: what the runtime is measured against.

Batches of float Gaussians from ``randn`` are added to the frame on the engine's domain, clamped, denoised, clamped
and scored; all n scores are kept, sorted, and cut at the ranks. The ranks are ours, so that intervals of one n are
equally wide. The networks are the ones in the bundle, or those of another metric of the catalogue with its denoiser.

:class:`PublishedLoop` is eager float32. :class:`TunedLoop` is what PyTorch's own manuals advise: inference mode,
channels last and half precision, on CUDA also a captured graph.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import export
from export.networks import SHIPPED_METRIC, denoiser_for
from runtime.bounds import order_statistics
from runtime.frames import to_lattice

DOWNSCALE = 2


def networks(device: str, metric: str = SHIPPED_METRIC) -> tuple[nn.Module, nn.Module]:
    """A metric of the catalogue and the denoiser that was trained for it, without gradients."""
    denoiser = export.load_denoiser(denoiser_for(metric))
    assert denoiser is not None
    loaded, clean = export.load_metric(metric).module, denoiser.module
    return loaded.eval().requires_grad_(False).to(device), clean.eval().requires_grad_(False).to(device)


def picture(frame: NDArray[Any], device: str) -> Tensor:
    """1×3×h×w in [0, 1]: the frame on the engine's domain."""
    small = to_lattice(frame, downscale=DOWNSCALE)
    return torch.from_numpy(small.values.astype(np.float32) / small.steps)[None].to(device)


class PublishedLoop:
    """Eager PyTorch. ``metric``: of the catalogue."""

    name = "PyTorch, eager fp32: the published loop"

    def __init__(self, device: str, sigma: float, batch: int, metric: str = SHIPPED_METRIC) -> None:
        self._metric, self._denoiser = networks(device, metric)
        self._device = device
        self._sigma = sigma
        self.batch = batch

    def scores(self, frame: NDArray[Any], count: int) -> NDArray[np.float32]:
        """float32[count] noisy scores."""
        clean = picture(frame, self._device)
        made = []
        with torch.no_grad():
            for start in range(0, count, self.batch):
                repeated = clean.repeat(min(self.batch, count - start), 1, 1, 1)
                noisy = (repeated + self._sigma * torch.randn_like(repeated)).clamp(0, 1)
                made.append(self._metric(self._denoiser(noisy).clamp(0, 1)).reshape(-1))
        return torch.cat(made).float().cpu().numpy()

    def certify(self, frame: NDArray[Any], samples: int, epsilon: float, alpha: float) -> tuple[float, float]:
        """(lower, upper) of one frame; ε is L2 on the source frame."""
        ordered = np.sort(self.scores(frame, samples))
        lower, upper = order_statistics(samples, epsilon / DOWNSCALE / self._sigma, alpha)
        if lower is None or upper is None:
            raise ValueError(f"n={samples} cannot bound ε={epsilon:g} at α={alpha:g}")
        return float(ordered[lower - 1]), float(ordered[upper - 1])


class TunedLoop(PublishedLoop):
    """Inference mode, channels last, ``dtype``; on CUDA one captured graph a batch."""

    def __init__(self, device: str, sigma: float, batch: int, dtype: torch.dtype) -> None:
        super().__init__(device, sigma, batch)
        self._dtype = dtype
        self.name = f"PyTorch, tuned: channels last, {str(dtype).removeprefix('torch.')}" + (
            ", CUDA graph" if device == "cuda" else ""
        )
        for network in (self._metric, self._denoiser):
            network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._graph: tuple[Any, Tensor, Tensor] | None = None

    def scores(self, frame: NDArray[Any], count: int) -> NDArray[np.float32]:
        made = []
        with torch.inference_mode():
            clean = picture(frame, self._device).to(dtype=self._dtype, memory_format=torch.channels_last)
            for _ in range(0, count, self.batch):
                made.append(self._replay(clean) if self._device == "cuda" else self._one_batch(clean))
        return torch.cat(made)[:count].float().cpu().numpy()

    def _one_batch(self, clean: Tensor) -> Tensor:
        noise = torch.randn((self.batch, *clean.shape[1:]), dtype=self._dtype, device=self._device).contiguous(
            memory_format=torch.channels_last
        )
        noisy = noise.mul_(self._sigma).add_(clean).clamp_(0, 1)
        result: Tensor = self._metric(self._denoiser(noisy).clamp_(0, 1)).reshape(-1)
        return result

    def _replay(self, clean: Tensor) -> Tensor:
        """One batch by the graph captured for this frame size."""
        if self._graph is None or self._graph[1].shape != clean.shape:
            held = clean.clone()
            side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                for _ in range(3):
                    self._one_batch(held)
            torch.cuda.current_stream().wait_stream(side)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                out = self._one_batch(held)
            self._graph = graph, held, out
        graph, held, out = self._graph
        held.copy_(clean)
        graph.replay()
        return out.clone()
