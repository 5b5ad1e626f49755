"""What both trainings share: a schedule, an average of the weights, and checkpoints that resume exactly.

Nothing random is carried from step to step: the pictures, crops and noise of step t are a function of
(seed, t). A run that was killed and started again therefore ends in the same weights as one that was not,
on the same machine and thread count.
"""

from __future__ import annotations

import copy
import json
import math
import pickle
import platform
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from tqdm import tqdm

from runtime.atomic import whole_file
from runtime.errors import TrainingError


def cosine_with_warmup(step: int, steps: int, warmup: int) -> float:
    """Learning-rate factor in [0, 1]."""
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))


def average_into(average: nn.Module, current: nn.Module, decay: float) -> None:
    """Exponential moving average of the parameters."""
    with torch.no_grad():
        for kept, new in zip(average.parameters(), current.parameters(), strict=True):
            kept.lerp_(new, 1 - decay)


Network = TypeVar("Network", bound=nn.Module)


def train(
    network: Network,
    optimizer: torch.optim.Optimizer,
    loss_of_step: Callable[[int], Tensor],
    *,
    steps: int,
    warmup: int,
    decay: float,
    checkpoint: Path,
    fingerprint: str,
    every: int = 200,
) -> Network:
    """Run ``steps`` updates and return the averaged network; resume from ``checkpoint`` if it is there.

    ``loss_of_step(t)`` is the scalar loss of step t. ``fingerprint`` describes the run: a checkpoint of
    another one is refused with TrainingError instead of being mixed in.
    """
    average = copy.deepcopy(network)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    first = 0
    if checkpoint.exists():
        try:
            state = torch.load(checkpoint, weights_only=True, map_location="cpu")
        except (EOFError, RuntimeError, pickle.UnpicklingError) as error:
            raise TrainingError(
                f"{checkpoint} is not a checkpoint, or is damaged ({type(error).__name__}): delete it"
            ) from None
        if state["fingerprint"] != fingerprint:
            raise TrainingError(f"{checkpoint} belongs to another configuration: delete it or choose another --out")
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    bar = tqdm(range(first, steps), "training", initial=first, total=steps, disable=None, mininterval=1)
    for step in bar:
        factor = cosine_with_warmup(step, steps, warmup)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * factor
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of_step(step)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        average_into(average, network, min(decay, (step + 1) / (step + 10)))
        if step % 20 == 0:
            bar.set_postfix(loss=f"{loss.item():.5f}")
        if (step + 1) % every == 0 or step + 1 == steps:
            save_checkpoint(
                checkpoint,
                {
                    "fingerprint": fingerprint,
                    "step": step + 1,
                    "network": network.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                },
            )
            if bar.disable:
                print(f"step {step + 1}/{steps} loss {loss.item():.5f}", flush=True)
    return average


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint so that a kill at any moment leaves the old one or the new one."""
    with whole_file(path) as file:
        torch.save(state, file)


def save_weights(network: nn.Module, path: Path, half: bool = False) -> None:
    """Weights as safetensors, contiguous, in the network's own order of names; ``half``: as float16."""
    values = {name: value.contiguous() for name, value in network.state_dict().items()}
    if half:
        values = {name: value.half() if value.is_floating_point() else value for name, value in values.items()}
    save_file(values, path)


def save_config(path: Path, config: Any, **results: Any) -> None:
    """The configuration dataclass, the versions and the results, beside the weights."""
    record = {
        "config": {k: str(v) if isinstance(v, Path) else v for k, v in asdict(config).items()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__},
        **results,
    }
    path.write_text(json.dumps(record, indent=2) + "\n")
