"""What a training step is shown: random crops of its pictures, and noisy copies of them.

The input is clamped as it is in the fused graph, and the noise is that of the lattice domain, so training sees what the
runtime will feed it.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from runtime.errors import ParameterError

from .training_set import TrainingSet


def noisy(image: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """clamp(x + σg) of N×3×H×W in [0, 1]."""
    return (image + sigma * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def crops(data: TrainingSet, chosen: NDArray[np.int64], size: int, generator: torch.Generator) -> Tensor:
    """A random square of each picture, mirrored half the time: float32 N×3×size×size in [0, 1]."""
    height, width = data.domain.shape[2:]
    tops = torch.randint(0, height - size + 1, (len(chosen),), generator=generator).tolist()
    lefts = torch.randint(0, width - size + 1, (len(chosen),), generator=generator).tolist()
    cut = np.stack(
        [
            data.domain[i, :, top : top + size, left : left + size]
            for i, top, left in zip(chosen, tops, lefts, strict=True)
        ]
    )
    pictures = torch.from_numpy(cut.astype(np.float32) / data.steps)
    mirrored = torch.rand(len(chosen), generator=generator) < 0.5
    pictures[mirrored] = pictures[mirrored].flip(3)
    return pictures


def generator_for(seed: int, step: int, purpose: int = 0) -> torch.Generator:
    """A generator that depends on (seed, step, purpose) alone."""
    state = np.random.SeedSequence((seed, step, purpose)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def batch_indices(seed: int, step: int, batch: int, count: int) -> Tensor:
    """The ``batch`` pictures of this step, from shuffled passes over ``count`` pictures, at least ``batch``."""
    if not 1 <= batch <= count:
        raise ParameterError(f"a batch of {batch} cannot be drawn from {count} pictures")
    per_epoch = count // batch
    order = torch.randperm(count, generator=generator_for(seed, step // per_epoch, purpose=1))
    start = (step % per_epoch) * batch
    return order[start : start + batch]
