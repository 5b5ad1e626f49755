"""Train the denoiser with the mean squared error: z = clamp(x + σg), loss = mean (D(z) − x)².

The input is clamped as it is in the fused graph, and the noise is that of the lattice domain, so training
sees what the runtime will feed it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .data import read_domain, read_scores
from .loop import batch_indices, generator_for, save_config, save_weights, train
from .networks.unet import UNet


@dataclass(frozen=True)
class DenoiserConfig:
    """Everything that decides the weights."""

    width: int = 16
    sigma: float = 0.12
    downscale: int = 2
    steps: int = 6000
    batch: int = 24
    crop: int = 128
    rate: float = 2e-3
    decay: float = 0.998
    seed: int = 1
    held_back: float = 0.08


def noisy(image: Tensor, sigma: float, generator: torch.Generator) -> Tensor:
    """clamp(x + σg) of N×3×H×W in [0, 1]."""
    return (image + sigma * torch.randn(image.shape, generator=generator)).clamp(0, 1)


def train_denoiser(config: DenoiserConfig, table: Path, folder: Path, out: Path) -> None:
    """Train on the ``train`` rows; write ``denoiser.safetensors`` and ``denoiser.json`` into ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    photographs = [p for p in read_scores(table, folder) if p.split == "train"]
    order = np.random.default_rng(config.seed).permutation(len(photographs))
    domain = read_domain(photographs, config.downscale)
    lattice_steps = 255 * config.downscale**2
    watch, learn = np.split(order, [round(config.held_back * len(order))])

    network = UNet(config.width)
    for parameter in network.last.parameters():  # start from the identity
        torch.nn.init.zeros_(parameter)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=config.rate)

    def loss_of_step(step: int) -> Tensor:
        chosen = learn[batch_indices(config.seed, step, config.batch, len(learn)).numpy()]
        generator = generator_for(config.seed, step)
        size = domain.shape[2]
        corners = torch.randint(0, size - config.crop + 1, (len(chosen), 2), generator=generator).tolist()
        crops = np.stack(
            [
                domain[index, :, top : top + config.crop, left : left + config.crop]
                for index, (top, left) in zip(chosen, corners, strict=True)
            ]
        )
        clean = torch.from_numpy(crops.astype(np.float32) / lattice_steps).to(memory_format=torch.channels_last)
        denoised: Tensor = network(noisy(clean, config.sigma, generator))
        return (denoised - clean).square().mean()

    average = train(
        network, optimizer, loss_of_step, steps=config.steps, warmup=100, decay=config.decay,
        checkpoint=out / "denoiser.checkpoint", fingerprint=f"denoiser {config}",
    )  # fmt: skip
    held_back = {"psnr": round(psnr(average, domain[watch], lattice_steps, config), 3)}
    print("held back:", held_back, flush=True)
    save_weights(average, out / "denoiser.safetensors")
    save_config(out / "denoiser.json", config, held_back=held_back, photographs=len(learn))


def psnr(network: torch.nn.Module, domain: np.ndarray, lattice_steps: int, config: DenoiserConfig) -> float:
    """Mean PSNR in dB of the clamped output against the clean pictures."""
    network.eval()
    values = []
    with torch.inference_mode():
        for index, picture in enumerate(domain):
            clean = torch.from_numpy(picture[None].astype(np.float32) / lattice_steps)
            output = network(noisy(clean, config.sigma, generator_for(config.seed, index, purpose=2))).clamp(0, 1)
            values.append(-10 * math.log10((output - clean).square().mean().item()))
    return float(np.mean(values))
