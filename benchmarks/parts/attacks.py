"""Attacks of bounded L2 norm on a score of a frame. All maximise ``sign`` × score.

Frames are 3×h×w float tensors in [0, 1] on the engine's domain; radii are L2 there. Attacked frames are
real-valued, not rounded to code values, and may leave [0, 1]: a stronger attacker than one who must hand in a file.
``score`` maps N frames to N scores.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Score = Callable[[Tensor], Tensor]


def _direction(gradient: Tensor) -> Tensor:
    return gradient.div(gradient.norm() + 1e-12)


def _project(delta: Tensor, radius: float) -> Tensor:
    return delta.mul(min(1.0, radius / (delta.norm().item() + 1e-12)))


def expectation(score: Score, sigma: float, copies: int, generator: torch.Generator) -> Score:
    """Mean score over ``copies`` fresh noisy copies: what an attacker who knows the defence differentiates."""

    def mean_score(frames: Tensor) -> Tensor:
        repeated = frames.repeat_interleave(copies, 0)
        noise = sigma * torch.randn(repeated.shape, generator=generator)
        return score((repeated + noise).clamp(0, 1)).view(-1, copies).mean(1)

    return mean_score


def pgd(score: Score, frame: Tensor, radius: float, sign: int, steps: int) -> Tensor:
    """Projected gradient ascent (Madry et al. 2018, arXiv 1706.06083): the perturbation, of norm ≤ radius."""
    delta = torch.zeros_like(frame)
    for step in range(steps):
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(score((frame + delta)[None]).sum(), delta)
        pace = radius * (0.5 if step < steps // 2 else 0.15)
        delta = _project(delta.detach() + sign * pace * _direction(gradient), radius)
    return delta


def nes(
    score: Score, frame: Tensor, radius: float, sign: int, *, steps: int, pairs: int, generator: torch.Generator
) -> Tensor:
    """Black-box ascent on gradients estimated from antithetic queries (Ilyas et al. 2018, arXiv 1804.08598)."""
    delta = torch.zeros_like(frame)
    reach = radius / 2
    with torch.no_grad():
        for _ in range(steps):
            probes = torch.randn((pairs, *frame.shape), generator=generator)
            probes *= reach / probes.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
            above, below = (score(frame + delta + way * probes) for way in (1, -1))
            gradient = ((above - below).view(-1, 1, 1, 1) * probes).mean(0)
            delta = _project(delta + sign * radius / 3 * _direction(gradient), radius)
    return delta


def universal(score: Score, frames: Tensor, sign: int, *, steps: int, batch: int, generator: torch.Generator) -> Tensor:
    """One direction of norm 1 that moves all frames at once (Moosavi-Dezfooli et al. 2017, arXiv 1610.08401)."""
    delta = _direction(torch.randn(frames.shape[1:], generator=generator))
    for _ in range(steps):
        chosen = frames[torch.randperm(len(frames), generator=generator)[:batch]]
        delta.requires_grad_()
        (gradient,) = torch.autograd.grad(score(chosen + delta).sum(), delta)
        delta = _direction(delta.detach() + sign * 0.2 * _direction(gradient))
    return delta


def random_direction(frame: Tensor, radius: float, generator: torch.Generator) -> Tensor:
    """A perturbation of norm ``radius`` in a uniformly random direction: the control."""
    return radius * _direction(torch.randn(frame.shape, generator=generator))
