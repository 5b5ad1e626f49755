"""Train the metric: ridge head on frozen features, then everything fine-tuned.

Loss of a batch, with p = score/100 and m = opinion score: 10·mean (p − m)² + (1 − Pearson(p, m)).
A ``held_back`` share of the training photographs is kept aside to watch the run; ``val`` is never read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from runtime.errors import ParameterError

from ..data.batches import batch_indices, generator_for
from ..data.photographs import Photograph
from ..data.training_set import cut_to, read_training_set
from ..evaluation.correlation import plcc, srocc
from ..networks import METRICS
from ..networks.mobilenet import BackboneMetric
from .loop import save_config, save_weights, train
from .options import check_numbers


@dataclass(frozen=True)
class MetricConfig:
    """Everything that decides the weights. ``network``: one of ``networks.METRICS``."""

    network: str = "mobilenet_v1_050"
    downscale: int = 2
    steps: int = 3600
    batch: int = 16
    crop: int = 224
    backbone_rate: float = 2e-4
    head_rate: float = 2e-4
    weight_decay: float = 1e-4
    dropout: float = 0.1
    decay: float = 0.998
    ridge: float = 300.0
    seed: int = 1
    held_back: float = 0.08

    def __post_init__(self) -> None:
        check_numbers(self)
        if self.network not in METRICS:
            raise ParameterError(f"network {self.network!r} is not known: use one of {', '.join(METRICS)}")


def predict(network: nn.Module, domain: np.ndarray, steps: int, batch: int = 16) -> np.ndarray:
    """Scores of uint16 N×3×h×w lattice values; ``steps`` lattice units make 1.0."""
    network.eval()
    scores = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(domain), batch), "scoring", disable=None):
            scores.append(network(torch.from_numpy(domain[start : start + batch].astype(np.float32) / steps)))
    return torch.cat(scores).numpy()


def fit_ridge_head(network: BackboneMetric, domain: np.ndarray, mos: np.ndarray, steps: int, ridge: float) -> None:
    """Set the feature normalisation and the head to the ridge solution for logit(mos)."""
    collected = []
    with torch.inference_mode():
        for start in tqdm(range(0, len(domain), 16), "ridge head", disable=None):
            collected.append(network.features(torch.from_numpy(domain[start : start + 16].astype(np.float32) / steps)))
    features = torch.cat(collected).double()
    target = torch.logit(torch.from_numpy(mos).double().clamp(0.03, 0.97))
    mean, std = features.mean(0), features.std(0)
    scale = 1 / (std + 1e-3)
    normal = (features - mean) * scale
    gram = normal.T @ normal + ridge * torch.eye(normal.shape[1], dtype=torch.float64)
    solution = torch.linalg.solve(gram, normal.T @ (target - target.mean()))
    with torch.no_grad():
        network.feature_mean.copy_(mean)
        network.feature_scale.copy_(scale)
        network.head.weight.copy_(solution[None])
        network.head.bias.copy_(target.mean()[None])


def batch_loss(scores: Tensor, mos: Tensor) -> Tensor:
    """10·MSE + 1 − Pearson, on scores/100."""
    predicted = scores / 100
    centred, truth = predicted - predicted.mean(), mos - mos.mean()
    pearson = (centred * truth).sum() / (centred.norm() * truth.norm() + 1e-6)
    loss: Tensor = 10 * (predicted - mos).square().mean() + 1 - pearson
    return loss


def train_metric(
    config: MetricConfig,
    photographs: Sequence[Photograph],
    backbone: Path,
    out: Path,
    device: str = "cpu",
    size: tuple[int, int] | None = None,
    half: bool = False,
) -> None:
    """Train on the ``train`` photographs; write ``metric.safetensors`` and ``metric.json`` into ``out``.

    ``size``: (h, w) on the domain, the middle to train on where pictures differ in size. ``half``: store
    the weights in half precision, and measure them so. Raises ParameterError for photographs or a configuration that
    cannot be used, OSError for a missing file.
    """
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(config.seed)
    data = read_training_set(
        photographs, downscale=config.downscale, held_back=config.held_back, seed=config.seed, batch=config.batch,
        size=size,
    )  # fmt: skip
    domain, mos, lattice_steps, learn, watch = data.domain, data.mos, data.steps, data.learn, data.watch
    height, width = domain.shape[2:]
    if config.crop > min(height, width):
        raise ParameterError(f"crop {config.crop} is larger than the pictures, {(height, width)} on the domain")

    network = METRICS[config.network].make()
    network.load_backbone(backbone)
    if not (out / "metric.checkpoint").exists():
        fit_ridge_head(network, domain[learn], mos[learn], lattice_steps, config.ridge)
        start = predict(network, domain[watch], lattice_steps)
        print(
            f"ridge head, held back: SROCC {srocc(start, mos[watch]):.4f} PLCC {plcc(start, mos[watch]):.4f}",
            flush=True,
        )
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    backbone_parameters = list(network.convolutions.parameters())
    others = [p for name, p in network.named_parameters() if not name.startswith("convolutions.")]
    optimizer = torch.optim.AdamW(
        [
            {"params": backbone_parameters, "lr": config.backbone_rate},
            {"params": others, "lr": config.head_rate},
        ],
        weight_decay=config.weight_decay,
    )

    def loss_of_step(step: int) -> Tensor:
        network.train()
        chosen = learn[batch_indices(config.seed, step, config.batch, len(learn)).numpy()]
        generator = generator_for(config.seed, step)
        top = int(torch.randint(0, height - config.crop + 1, (1,), generator=generator))
        left = int(torch.randint(0, width - config.crop + 1, (1,), generator=generator))
        crop = domain[chosen, :, top : top + config.crop, left : left + config.crop]
        image = torch.from_numpy(crop.astype(np.float32) / lattice_steps)
        flip = torch.rand(len(chosen), generator=generator) < 0.5
        image[flip] = image[flip].flip(3)
        features = network.features(image.to(device, memory_format=torch.channels_last))
        kept = torch.rand(features.shape, generator=generator) >= config.dropout
        scores = 100 * torch.sigmoid(network.head(features * kept.to(device) / (1 - config.dropout)).squeeze(1))
        return batch_loss(scores, torch.from_numpy(mos[chosen]).to(device))

    average = train(
        network, optimizer, loss_of_step, steps=config.steps, warmup=200, decay=config.decay,
        checkpoint=out / "metric.checkpoint", fingerprint=f"metric {config}" + cut_to(size),
    )  # fmt: skip
    average.cpu()
    if half:
        average.half().float()
    scores = predict(average, domain[watch], lattice_steps)
    held_back = {"srocc": round(srocc(scores, mos[watch]), 4), "plcc": round(plcc(scores, mos[watch]), 4)}
    print("held back:", held_back, flush=True)
    save_weights(average, out / "metric.safetensors", half=half)
    stored = {"stored": "float16"} if half else {}
    save_config(out / "metric.json", config, held_back=held_back, photographs=len(learn), size=size, **stored)
