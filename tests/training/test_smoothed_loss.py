"""smoothed_loss.py: the median is right, its gradient is the median sample's, and descent raises the smoothed score."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from training.smoothed_loss import SmoothedLoss, scorer, smoothed_score


class Mean(nn.Module):
    """100 × the mean of a picture, cubed: neither linear nor symmetric."""

    def forward(self, pictures: Tensor) -> Tensor:
        return 100 * pictures.mean((1, 2, 3)) ** 3


def test_median_and_its_gradient() -> None:
    pictures = torch.rand(3, 3, 8, 10, requires_grad=True)
    median = smoothed_score(Mean(), pictures, sigma=0.2, samples=5, generator=torch.Generator().manual_seed(4))
    noise = 0.2 * torch.randn((5, 3, 3, 8, 10), generator=torch.Generator().manual_seed(4))
    noisy = (pictures[None] + noise).clamp(0, 1)
    scores = torch.stack([Mean()(copy) for copy in noisy])
    assert torch.equal(median, scores.median(0).values)
    (ours,) = torch.autograd.grad(median.sum(), pictures, retain_graph=True)
    (theirs,) = torch.autograd.grad(scores.median(0).values.sum(), pictures)
    assert torch.allclose(ours, theirs)


def test_downscale_is_the_box_of_the_runtime() -> None:
    pictures = torch.rand(2, 3, 9, 11)
    one = smoothed_score(Mean(), pictures, sigma=0.0, samples=1, downscale=2)
    assert torch.allclose(one, Mean()(nn.functional.avg_pool2d(pictures[:, :, :8, :10], 2)))


def test_even_counts_are_refused() -> None:
    with pytest.raises(ValueError, match="odd"):
        smoothed_score(Mean(), torch.rand(1, 3, 4, 4), sigma=0.1, samples=4)


def test_descent_raises_the_shipped_smoothed_score() -> None:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(1, 3, 64, 64, generator=generator)
    loss = SmoothedLoss(scorer(), samples=3)
    before = loss(pictures, torch.Generator().manual_seed(1)).item()
    for _ in range(8):
        pictures.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(pictures, torch.Generator().manual_seed(1)), pictures)
        pictures = (pictures - 1.0 * gradient / gradient.norm()).detach().clamp(0, 1)
    assert loss(pictures, torch.Generator().manual_seed(1)).item() < before
