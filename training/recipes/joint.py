"""Train metric and denoiser together, through the noise: what ships.

A metric that was trained on clean pictures, and frozen, sees denoised ones for the first time behind a denoiser. Here
both go on learning. K noisy copies zₖ = clamp(x + σgₖ) of each picture, dₖ = D(zₖ), sₖ = M(clamp(dₖ))/100, s̄ the mean
over k, and the target t = the opinion score, or M₀(x)/100 of the undefended metric M₀ for a picture that was given a
synthetic fault, which nobody scored:

    loss = 10·mean (s − t)² + 1 − Pearson(s̄, t) + b·ranking(s̄, t) + c·mean over x of (deviation over k of s)
           + d·mean (D(z) − x)²

with b = ``ranking``, one of the losses of ``ranking.py``, c = ``spread``, to which certified widths are proportional,
and d = ``pixels``, which keeps the denoiser one. Training a network under the noise that smooths it is what
randomized smoothing of classifiers began with (Cohen et al. 2019, arXiv 1902.02918); doing so behind a denoiser that
learns along, for a regression, is ours.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from runtime.errors import ParameterError

from ..data.batches import batch_indices, crops, generator_for, noisy
from ..data.faults import with_faults
from ..data.photographs import Photograph
from ..data.training_set import cut_to, read_training_set
from ..evaluation.held_back import measure
from ..networks import DENOISER_WEIGHTS, METRICS, UNDEFENDED_METRIC, frozen_metric, load_weights, metric_weights
from ..networks.unet import UNet
from ..smoothed_loss import Scorer
from .loop import save_config, save_weights, train
from .metric import batch_loss
from .options import check_numbers, check_objective
from .ranking import RANKINGS


@dataclass(frozen=True)
class JointConfig:
    """Everything that decides the weights. Files enter by their content.

    ``metric``: one of ``networks.METRICS``; ``metric_weights``: of the undefended one, or empty for the committed ones.
    ``start_metric``, ``start_denoiser``: weights to start from, or empty for the undefended metric's and the committed
    denoiser's that was trained against it. ``width``: of the denoiser.
    """

    metric: str = UNDEFENDED_METRIC
    metric_weights: str = ""
    start_metric: str = ""
    start_denoiser: str = ""
    width: int = 16
    sigma: float = 0.12
    downscale: int = 2
    steps: int = 2400
    batch: int = 16
    crop: int = 192
    metric_rate: float = 2e-4
    denoiser_rate: float = 5e-4
    weight_decay: float = 1e-4
    decay: float = 0.998
    seed: int = 1
    held_back: float = 0.08
    ranking: float = 0.3
    ranking_loss: str = "margin"
    spread: float = 4.0
    pixels: float = 1.0
    copies: int = 2
    faults: float = 0.2

    def __post_init__(self) -> None:
        check_numbers(self)
        check_objective(metric=self.metric, ranking_loss=self.ranking_loss, spread=self.spread, copies=self.copies)

    def files(self) -> dict[str, Path]:
        """The weights that take part, by their role."""
        undefended = metric_weights(self.metric, Path(self.metric_weights) if self.metric_weights else None)
        return {
            "undefended": undefended,
            "metric": Path(self.start_metric) if self.start_metric else undefended,
            "denoiser": Path(self.start_denoiser) if self.start_denoiser else DENOISER_WEIGHTS,
        }


def train_joint(
    config: JointConfig,
    photographs: Sequence[Photograph],
    out: Path,
    device: str = "cpu",
    size: tuple[int, int] | None = None,
) -> dict[str, float]:
    """Train on the ``train`` photographs; write both weights, in half precision, and ``joint.json`` into ``out``.

    ``size``: (h, w) on the domain, the middle to train on where pictures differ in size. Returns what was measured on
    the pictures held back, with the weights as stored: see :func:`measure`. Raises ParameterError for photographs or a
    configuration that cannot be used, OSError for a missing file.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = config.files()
    digests = {role: hashlib.sha256(file.read_bytes()).hexdigest() for role, file in files.items()}
    torch.manual_seed(config.seed)
    undefended = frozen_metric(config.metric, files["undefended"])
    metric, denoiser = METRICS[config.metric].make(), UNet(config.width)
    load_weights(metric, files["metric"])
    load_weights(denoiser, files["denoiser"])
    network = Scorer(metric, denoiser)
    data = read_training_set(
        photographs, downscale=config.downscale, held_back=config.held_back, seed=config.seed, batch=config.batch,
        size=size,
    )  # fmt: skip
    if config.crop > min(data.domain.shape[2:]):
        raise ParameterError(f"crop {config.crop} is larger than the pictures, {data.domain.shape[2:]} on the domain")
    for module in (network, undefended):
        module.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        [
            {"params": list(metric.parameters()), "lr": config.metric_rate},
            {"params": list(denoiser.parameters()), "lr": config.denoiser_rate},
        ],
        weight_decay=config.weight_decay,
    )
    ranking = RANKINGS[config.ranking_loss]

    def loss_of_step(step: int) -> Tensor:
        generator = generator_for(config.seed, step)
        chosen = data.learn[batch_indices(config.seed, step, config.batch, len(data.learn)).numpy()]
        pictures, scored = with_faults(crops(data, chosen, config.crop, generator), config.faults, generator)
        copies = noisy(pictures.repeat_interleave(config.copies, 0), config.sigma, generator)
        clean = pictures.to(device, memory_format=torch.channels_last)
        target = torch.from_numpy(data.mos[chosen]).to(device)
        if not scored.all():
            with torch.no_grad():
                target[~scored] = undefended(clean[~scored]) / 100
        denoised: Tensor = denoiser(copies.to(device, memory_format=torch.channels_last))
        scores: Tensor = metric(denoised.clamp(0, 1)).view(-1, config.copies)
        means = scores.mean(1)
        loss = config.pixels * (denoised - clean.repeat_interleave(config.copies, 0)).square().mean()
        loss = loss + batch_loss(means, target) + 10 * (scores / 100 - means[:, None] / 100).square().mean()
        loss = loss + config.ranking * ranking(means / 100, target)
        if config.spread > 0:
            loss = loss + config.spread * scores.std(1).mean() / 100
        return loss

    average = train(
        network, optimizer, loss_of_step, steps=config.steps, warmup=100, decay=config.decay,
        checkpoint=out / "joint.checkpoint", fingerprint=f"joint {config} {digests}" + cut_to(size),
    )  # fmt: skip
    average.cpu().half().float()  # as stored
    assert average.denoiser is not None
    save_weights(average.metric, out / "metric.safetensors", half=True)
    save_weights(average.denoiser, out / "denoiser.safetensors", half=True)
    held_back = measure(average.metric, average.denoiser, data, sigma=config.sigma, seed=config.seed)
    print("held back:", held_back, flush=True)
    save_config(
        out / "joint.json", config, files=digests, held_back=held_back, photographs=len(data.learn), size=size,
        stored="float16",
    )  # fmt: skip
    return held_back
