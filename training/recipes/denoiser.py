"""Train the denoiser: pixels alone (DMS), or pixels, score and order (DMS-IQA).

K noisy copies zₖ = clamp(x + σgₖ) of each picture, dₖ = D(zₖ), sₖ = M(clamp(dₖ))/100 with the metric M frozen,
t = M(x)/100, m = opinion score:

    loss = mean (d − x)² + a·mean |s − t| + b·ranking(mean over k of s, m) + c·mean over x of (deviation over k of s)

with a = ``score``, b = ``ranking``, one of the losses of ``ranking.py``, and c = ``spread``. a = b = c = 0 is the
denoiser of denoised smoothing (Salman et al. 2020, arXiv 2003.01908). Score and ranking follow Stochastic BIQA
(arXiv 2411.12575), whose weights we did not find published: the values and the form of the ranking are ours. So is
the spread over the noise, to which certified widths are proportional. A ``faults`` share of the pictures is given a
synthetic fault; for these, which nobody scored, the ranking is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from runtime.errors import ParameterError

from ..data.batches import batch_indices, crops, generator_for, noisy
from ..data.faults import with_faults
from ..data.photographs import Photograph
from ..data.training_set import cut_to, read_training_set
from ..evaluation.held_back import measure
from ..networks import UNDEFENDED_METRIC, frozen_metric, load_weights, metric_weights
from ..networks.unet import UNet
from .loop import save_config, save_weights, train
from .options import check_numbers, check_objective
from .ranking import RANKINGS


@dataclass(frozen=True)
class DenoiserConfig:
    """Everything that decides the weights. Files enter by their content.

    ``start``: weights to start from, or empty for a network that starts as the identity. ``metric``: the
    frozen metric, one of ``networks.METRICS``; ``metric_weights``: its weights, or empty for the committed ones.
    """

    width: int = 16
    sigma: float = 0.12
    downscale: int = 2
    steps: int = 3600
    batch: int = 16
    crop: int = 128
    rate: float = 2e-3
    decay: float = 0.998
    seed: int = 1
    held_back: float = 0.08
    score: float = 0.0
    ranking: float = 0.0
    ranking_loss: str = "margin"
    spread: float = 0.0
    copies: int = 1
    faults: float = 0.0
    start: str = ""
    metric: str = UNDEFENDED_METRIC
    metric_weights: str = ""

    def __post_init__(self) -> None:
        check_numbers(self)
        check_objective(metric=self.metric, ranking_loss=self.ranking_loss, spread=self.spread, copies=self.copies)

    @property
    def sees_score(self) -> bool:
        """Whether the metric takes part in the loss."""
        return self.score > 0 or self.ranking > 0 or self.spread > 0

    def frozen_metric(self) -> nn.Module:
        """The metric that the loss and the measurements use."""
        return frozen_metric(self.metric, Path(self.metric_weights) if self.metric_weights else None)

    def files(self) -> dict[str, str]:
        """SHA-256 of the weights that take part, by their role."""
        named = {"start": Path(self.start)} if self.start else {}
        if self.sees_score:
            named["metric"] = metric_weights(self.metric, Path(self.metric_weights) if self.metric_weights else None)
        return {role: hashlib.sha256(file.read_bytes()).hexdigest() for role, file in named.items()}


def train_denoiser(
    config: DenoiserConfig,
    photographs: Sequence[Photograph],
    out: Path,
    device: str = "cpu",
    size: tuple[int, int] | None = None,
) -> dict[str, float]:
    """Train on the ``train`` photographs; write ``denoiser.safetensors`` and ``denoiser.json`` into ``out``.

    ``size``: (h, w) on the domain, the middle to train on where pictures differ in size. Returns what was measured on
    the pictures held back: see :func:`measure`. Raises ParameterError for photographs or a configuration that cannot be
    used, OSError for a missing file.
    """
    out.mkdir(parents=True, exist_ok=True)
    files = config.files()
    config.frozen_metric()  # what is measured at the end: a file that does not fit is told before the work
    torch.manual_seed(config.seed)
    data = read_training_set(
        photographs, downscale=config.downscale, held_back=config.held_back, seed=config.seed, batch=config.batch,
        size=size,
    )  # fmt: skip
    if config.crop > min(data.domain.shape[2:]):
        raise ParameterError(f"crop {config.crop} is larger than the pictures, {data.domain.shape[2:]} on the domain")
    metric = config.frozen_metric().to(device) if config.sees_score else None

    network = UNet(config.width)
    if config.start:
        load_weights(network, Path(config.start))
    else:
        for parameter in network.last.parameters():
            torch.nn.init.zeros_(parameter)
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.Adam(network.parameters(), lr=config.rate)
    ranking = RANKINGS[config.ranking_loss]

    def loss_of_step(step: int) -> Tensor:
        generator = generator_for(config.seed, step)
        chosen = data.learn[batch_indices(config.seed, step, config.batch, len(data.learn)).numpy()]
        pictures, scored = with_faults(crops(data, chosen, config.crop, generator), config.faults, generator)
        copies = noisy(pictures.repeat_interleave(config.copies, 0), config.sigma, generator)
        clean = pictures.to(device, memory_format=torch.channels_last)
        denoised: Tensor = network(copies.to(device, memory_format=torch.channels_last))
        loss = (denoised - clean.repeat_interleave(config.copies, 0)).square().mean()
        if metric is not None:
            with torch.no_grad():
                target = metric(clean) / 100
            scores = metric(denoised.clamp(0, 1)).view(-1, config.copies) / 100
            means, opinions = scores.mean(1), torch.from_numpy(data.mos[chosen])
            loss = loss + config.score * (scores - target[:, None]).abs().mean()
            loss = loss + config.ranking * ranking(means[scored.to(device)], opinions[scored].to(device))
            if config.spread > 0:
                loss = loss + config.spread * scores.std(1).mean()
        return loss

    average = train(
        network, optimizer, loss_of_step, steps=config.steps, warmup=100, decay=config.decay,
        checkpoint=out / "denoiser.checkpoint", fingerprint=f"denoiser {config} {files}" + cut_to(size),
    )  # fmt: skip
    average.cpu()
    held_back = measure(config.frozen_metric(), average, data, sigma=config.sigma, seed=config.seed)
    print("held back:", held_back, flush=True)
    save_weights(average, out / "denoiser.safetensors")
    save_config(out / "denoiser.json", config, files=files, held_back=held_back, photographs=len(data.learn), size=size)
    return held_back
