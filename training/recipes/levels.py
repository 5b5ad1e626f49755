"""Train a family of noise levels: one pair of metric and denoiser that is told σ, or one pair a level.

Step t trains at level ``turns``[t mod …]. K noisy copies of each of N photographs with an opinion score m, and R rungs
of each of P ladders, one copy each, the rungs of a ladder under the same noise. With s = score/100 of a copy, s̄ the
mean over the copies of a picture, d the denoised copy of x:

    loss = 10·mean (s − m)² + 1 − Pearson(s̄, m) + ``ranking``·margin ranking(s̄, m)
           + ``spread``·mean (deviation of s over the copies) + ``pixels``·mean (d − x)²
           + ``ladder``·mean over pairs of rungs, i milder than j, of max(0, ``margin``·(j − i) − (s_i − s_j))
           + ``features``·mean ((statistics of d − those of the undefended metric on x)·its scale)²

``spread`` has a weight a level: certified widths are proportional to it. The last term asks that what the metric sees
in a denoised copy be what the undefended one sees in the clean picture (FitNets, Romero et al. 2015, arXiv 1412.6550):
opinions say one number a photograph, this says some two thousand. Photographs of ``subset`` ss02, faults made on
purpose, are among those trained on. The folds of ``relatives.py`` hold whole scenes out, to choose by.

With ``tile`` T a crop is cut into T×T tiles that are denoised and scored by themselves; s is the mean or the median of
a copy's tiles, as ``aggregate`` says, and the spread is that of each tile over its copies. ``seen`` of a crop's tiles,
drawn at random, take part in a step: with half of them twice as many photographs cost the same.

With a ``judge``, a family, its pair of ``judge_sigma`` scores every crop whole. What it says counts for ``trusted`` of
m; where a crop was given one of the faults of ``faults.py``, ``faulty`` of them are, it is m, for nobody scored those
(Hinton et al. 2015, arXiv 1503.02531). A student then sees more than the photographs that people scored.

    python -m training.recipes.levels train --scores biq2021/scores.csv --images biq2021/images \\
        --backbone mobilenet_v1_050.npz --cache runs/cache --out runs/levels
    python -m training.recipes.levels weights --out runs/levels
    python -m training.recipes.levels pairs --out runs/levels
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ..data.batches import batch_indices, generator_for, noisy
from ..data.domain_cache import cached_domain
from ..data.faults import with_faults
from ..data.ladders import KINDS, RUNGS, build_ladders, sharpest
from ..data.photographs import Photograph, read_scores
from ..data.relatives import backbone_features, directions_of, folds, related_groups
from ..networks import (
    JOINT_DENOISER_WEIGHTS,
    JOINT_METRIC_WEIGHTS,
    METRICS,
    UNDEFENDED_METRIC,
    frozen_metric,
    load_weights,
    metric_weights,
)
from ..networks.levelled import LEVELS, LevelledPair, Observed, Pair, load_family, plain_pair
from ..networks.mobilenet import BackboneMetric
from ..networks.unet import UNet
from .loop import save_config, save_weights, train
from .metric import batch_loss
from .ranking import margin_ranking

__all__ = ["tiles_of"]

AGGREGATES = ("mean", "median")


@dataclass(frozen=True)
class LevelsConfig:
    """Everything that decides the weights. Files enter by their content.

    ``sigmas``: the levels, rising. ``turns``: levels in the order they are trained at, over and over; empty for each
    in turn. ``spread``: one weight a level, or one for all. ``fold``: of ``folds``, held out to choose by.
    ``start_metric``, ``start_denoiser``: empty for the shipped pair's; or ``start_family``, with gains and offsets.
    ``copies`` of ``batch`` photographs, and ``rungs`` of ``ladders`` ladders, ``pristine`` photographs of which there
    are. ``seen``: tiles of a crop, 0 for all. ``judge``: a family's file, empty for none. ``seed``: also of the folds,
    so one for all runs that go on from one another.
    """

    sigmas: tuple[float, ...] = LEVELS
    turns: tuple[float, ...] = (0.06, 0.25, 0.5, 0.03, 0.06, 0.25, 0.12, 0.5)
    start_metric: str = ""
    start_denoiser: str = ""
    start_family: str = ""
    width: int = 16
    downscale: int = 2
    steps: int = 2400
    batch: int = 16
    copies: int = 2
    crop: int = 128
    tile: int = 0
    aggregate: str = "mean"
    seen: int = 0
    judge: str = ""
    judge_sigma: float = 0.06
    trusted: float = 0.5
    faulty: float = 0.3
    metric_rate: float = 2e-4
    denoiser_rate: float = 5e-4
    level_rate: float = 1e-3
    weight_decay: float = 1e-4
    decay: float = 0.998
    seed: int = 1
    folds: int = 7
    fold: int = 6
    ranking: float = 0.3
    spread: tuple[float, ...] = (1.0, 1.5, 3.0, 5.0, 4.0)
    pixels: float = 1.0
    features: float = 0.2
    ladder: float = 1.0
    ladders: int = 3
    rungs: int = 3
    margin: float = 0.04
    pristine: int = 192
    autocast: bool = False

    def __post_init__(self) -> None:
        if self.aggregate not in AGGREGATES:
            raise ValueError(f"aggregate {self.aggregate!r} is not known: use one of {', '.join(AGGREGATES)}")
        if self.copies < 2:
            raise ValueError(f"copies {self.copies}: the spread over the noise takes at least 2")
        if self.tile and (self.tile < 32 or self.crop % self.tile):
            raise ValueError(f"tile {self.tile}: at least 32, and the crop, {self.crop}, a multiple of it")
        if not 0 <= self.seen <= self.tiles:
            raise ValueError(f"seen {self.seen}: 0 … {self.tiles}, the tiles of a crop")
        if len(self.spread) not in (1, len(self.sigmas)):
            raise ValueError(f"spread: 1 weight or {len(self.sigmas)}, one a level, not {len(self.spread)}")
        absent = [s for s in self.turns if s not in self.sigmas]
        if absent:
            raise ValueError(f"turns name {absent}, which are not among the levels {self.sigmas}")
        if not (0 <= self.trusted <= 1 and 0 <= self.faulty <= 1):
            raise ValueError(f"trusted {self.trusted} and faulty {self.faulty} are shares: 0 … 1")
        if not 0 <= self.fold < self.folds:
            raise ValueError(f"fold {self.fold}: one of 0 … {self.folds - 1}")
        if self.ladders and not 2 <= self.rungs <= RUNGS + 1:
            raise ValueError(f"rungs {self.rungs}: 2 … {RUNGS + 1} of a ladder")

    @property
    def tiles(self) -> int:
        """Tiles of a crop; 1 where it is scored whole."""
        return (self.crop // self.tile) ** 2 if self.tile else 1

    @property
    def shown(self) -> int:
        """Tiles of a crop that take part in a step."""
        return self.seen or self.tiles

    def sigma_of(self, step: int) -> float:
        """The noise level of a step."""
        turns = self.turns or self.sigmas
        return turns[step % len(turns)]

    def spread_of(self, sigma: float) -> float:
        """The weight on the spread at a level."""
        return self.spread[self.sigmas.index(sigma) if len(self.spread) > 1 else 0]

    def files(self) -> dict[str, Path]:
        """The weights that take part, by their role."""
        files = {"undefended": metric_weights(UNDEFENDED_METRIC)}
        if self.judge:
            files["judge"] = Path(self.judge)
        if self.start_family:
            return {**files, "family": Path(self.start_family)}
        return {
            **files,
            "metric": Path(self.start_metric) if self.start_metric else JOINT_METRIC_WEIGHTS,
            "denoiser": Path(self.start_denoiser) if self.start_denoiser else JOINT_DENOISER_WEIGHTS,
        }


@dataclass(frozen=True)
class Material:
    """What there is to train on, on the domain, in whole code values.

    ``domain``: uint8 N×3×h×w of all photographs; ``mos``: float32 N; ``groups``, ``folds``: int N; ``learn``,
    ``watch``: train photographs to learn from and those of the fold held out. ``ladders``: uint8
    P×kinds×rungs×3×h×w, and ``pristine``: the numbers of the photographs they were made from.
    """

    domain: NDArray[np.uint8]
    mos: NDArray[np.float32]
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]
    learn: NDArray[np.int64]
    watch: NDArray[np.int64]
    ladders: NDArray[np.uint8] | None
    pristine: NDArray[np.int64]


def read_material(
    photographs: Sequence[Photograph], backbone: BackboneMetric, cache: Path, config: LevelsConfig
) -> Material:
    """Read or make everything below ``cache``. ``backbone``: ImageNet features, to find relatives by.

    Raises ValueError where photographs differ in size or are too few for a fold, a batch or the ladders.
    """
    domain = cached_domain(photographs, config.downscale, cache / "domain.npy")
    likeness = cache / "directions.npy"
    if likeness.exists() and len(np.load(likeness, mmap_mode="r")) == len(photographs):
        directions = np.load(likeness)
    else:
        directions = directions_of(backbone_features(backbone, domain))
        np.save(likeness, directions)
    groups = related_groups(photographs, directions)
    fold = folds(photographs, groups, config.folds, config.seed)
    train_rows = np.array([p.split == "train" for p in photographs])
    learn, watch = (np.flatnonzero(train_rows & ((fold == config.fold) == held)) for held in (False, True))
    if len(learn) < config.batch or len(watch) < 3:
        raise ValueError(f"{len(learn)} photographs to learn from and {len(watch)} to choose by are too few")
    if config.crop > min(domain.shape[2:]):
        raise ValueError(f"crop {config.crop} is larger than the pictures, {domain.shape[2:]} on the domain")
    ladders, pristine = None, np.empty(0, np.int64)
    if config.ladders:
        best = photographs[learn[0]].subset if not any(p.subset == "ss03" for p in photographs) else "ss03"
        rows = [i for i in learn.tolist() if photographs[i].subset == best]
        pristine = np.array(rows)[sharpest([photographs[i] for i in rows], domain[rows], config.pristine)]
        name = f"ladders-{hashlib.sha256(pristine.tobytes()).hexdigest()[:12]}.npy"
        ladders = build_ladders(
            [photographs[i] for i in pristine.tolist()], config.downscale, cache / name, seed=config.seed
        )
    mos = np.array([p.mos for p in photographs], np.float32)
    return Material(domain, mos, groups, fold, learn, watch, ladders, pristine)


def _place(shape: tuple[int, ...], size: int, generator: torch.Generator) -> tuple[slice, slice]:
    top, left = (int(torch.randint(0, side - size + 1, (), generator=generator)) for side in shape[-2:])
    return slice(top, top + size), slice(left, left + size)


def photograph_crops(
    domain: NDArray[np.uint8], chosen: NDArray[np.int64], size: int, generator: torch.Generator
) -> Tensor:
    """A random square of each picture, mirrored half the time: float32 N×3×size×size in [0, 1]."""
    cuts = []
    for index in chosen:
        rows, columns = _place(domain.shape, size, generator)
        cut = domain[index][:, rows, columns]
        cuts.append(cut[..., ::-1] if torch.rand((), generator=generator) < 0.5 else cut)
    return torch.from_numpy(np.stack(cuts).astype(np.float32) / 255)


def ladder_crops(
    material: Material, count: int, rungs: int, size: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """``rungs`` rungs of ``count`` ladders, one square of each: float32 count×rungs×3×size×size, and their severities.

    Severity 0 is the photograph itself; count×rungs, rising along each ladder.
    """
    assert material.ladders is not None
    cuts, severities = [], []
    for _ in range(count):
        number = int(torch.randint(len(material.pristine), (), generator=generator))
        kind = int(torch.randint(len(KINDS), (), generator=generator))
        severity = torch.randperm(RUNGS + 1, generator=generator)[:rungs].sort().values
        rows, columns = _place(material.domain.shape, size, generator)
        whole = [
            material.ladders[number, kind, s - 1] if s else material.domain[material.pristine[number]]
            for s in severity.tolist()
        ]
        cuts.append(np.stack([picture[:, rows, columns] for picture in whole]))
        severities.append(severity)
    return torch.from_numpy(np.stack(cuts).astype(np.float32) / 255), torch.stack(severities)


def ladder_loss(scores: Tensor, severities: Tensor, margin: float) -> Tensor:
    """Mean over pairs of rungs of max(0, margin·(j − i) − (s_i − s_j)). Both P×R; scores on a scale of about 1."""
    first, second = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1)
    wanted = margin * (severities[:, second] - severities[:, first])
    return (wanted - (scores[:, first] - scores[:, second])).clamp(min=0).mean()


def tiles_of(pictures: Tensor, tile: int) -> Tensor:
    """N×3×h×w, h and w multiples of ``tile`` → N·tiles×3×tile×tile, the tiles of a picture in a row."""
    count, channels, height, width = pictures.shape
    cut = pictures.view(count, channels, height // tile, tile, width // tile, tile)
    return cut.permute(0, 2, 4, 1, 3, 5).reshape(-1, channels, tile, tile)


def _tiles_shown(config: LevelsConfig, generator: torch.Generator) -> Tensor:
    """Which tiles of each photograph and each ladder take part in a step: (batch + ladders)×shown."""
    pictures = config.batch + config.ladders
    if not config.seen:
        return torch.arange(config.tiles).expand(pictures, -1)
    order = [torch.randperm(config.tiles, generator=generator) for _ in range(pictures)]
    return torch.stack(order)[:, : config.shown]


def some_tiles(pictures: Tensor, tile: int, chosen: Tensor) -> Tensor:
    """N×3×h×w and N×k numbers of tiles → N·k×3×tile×tile, those of a picture in a row."""
    cut = tiles_of(pictures, tile).view(len(pictures), -1, *pictures.shape[1:2], tile, tile)
    return cut[torch.arange(len(pictures))[:, None], chosen].flatten(0, 1)


def aggregate_tiles(scores: Tensor, aggregate: str) -> Tensor:
    """…×tiles → …: their mean, or their median (of an even number, the mean of the two in the middle)."""
    return scores.mean(-1) if aggregate == "mean" else torch.quantile(scores, 0.5, dim=-1)


def _judge(config: LevelsConfig) -> Pair | None:
    if not config.judge:
        return None
    return plain_pair(load_family(Path(config.judge), config.width), config.judge_sigma, config.width)


class Objective:
    """The loss of a step, a function of (seed, step) alone."""

    def __init__(self, config: LevelsConfig, material: Material, family: LevelledPair, teacher: BackboneMetric) -> None:
        self.config, self.material, self.family, self.teacher = config, material, family, teacher
        self.judge = _judge(config)

    def __call__(self, step: int) -> Tensor:
        """Scalar."""
        config, material = self.config, self.material
        generator, sigma = generator_for(config.seed, step), config.sigma_of(step)
        chosen = material.learn[batch_indices(config.seed, step, config.batch, len(material.learn)).numpy()]
        pictures = photograph_crops(material.domain, chosen, config.crop, generator)
        mos = torch.from_numpy(material.mos[chosen])
        if self.judge is not None:
            pictures, scored = with_faults(pictures, config.faulty, generator)
            trust = torch.where(scored, config.trusted, 1.0)
            mos = torch.lerp(mos, self._judged(pictures, generator), trust)
        clean = pictures.repeat_interleave(config.copies, 0)
        copies = noisy(clean, sigma, generator)
        severities, cut = None, None
        if config.tile:
            cut = _tiles_shown(config, generator)
        if config.ladders:
            rungs, severities = ladder_crops(material, config.ladders, config.rungs, config.crop, generator)
            noise = sigma * torch.randn((config.ladders, 1, *rungs.shape[2:]), generator=generator)
            copies = torch.cat([copies, (rungs + noise).clamp(0, 1).flatten(0, 1)])
            clean = torch.cat([clean, rungs.flatten(0, 1)])
        if cut is not None:
            of_ladders = cut[config.batch :].repeat_interleave(config.rungs, 0)
            places = torch.cat([cut[: config.batch].repeat_interleave(config.copies, 0), of_ladders])
            copies, clean = (some_tiles(each, config.tile, places) for each in (copies, clean))
            pictures = some_tiles(pictures, config.tile, cut[: config.batch])
        with torch.autocast("cpu", torch.bfloat16, enabled=config.autocast):
            seen = self.family(copies.contiguous(memory_format=torch.channels_last), sigma)
            wanted = self._wanted(pictures) if config.features else None
        seen = Observed(*(part.float() for part in seen))
        return self._loss(seen, clean, mos, severities, sigma, wanted)

    def _judged(self, pictures: Tensor, generator: torch.Generator) -> Tensor:
        """What the judge says of whole pictures, from one noisy copy each, on the scale of opinion scores."""
        assert self.judge is not None
        copies = noisy(pictures, self.config.judge_sigma, generator).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.config.autocast):
            scores: Tensor = self.judge(copies).scores.float()
        return scores / 100

    def _wanted(self, pictures: Tensor) -> Tensor:
        """What the undefended metric sees in clean pictures or tiles, once for each copy."""
        with torch.no_grad():
            seen = self.teacher.statistics(pictures.contiguous(memory_format=torch.channels_last))
        each = seen.view(self.config.batch, -1, seen.shape[1])
        return each.repeat_interleave(self.config.copies, 0).flatten(0, 1)

    def _loss(
        self, seen: Observed, clean: Tensor, mos: Tensor, severities: Tensor | None, sigma: float, wanted: Tensor | None
    ) -> Tensor:
        config = self.config
        photographs = config.batch * config.copies
        each = seen.scores.view(-1, config.shown) / 100
        whole = aggregate_tiles(each, config.aggregate) if config.tile else each[:, 0]
        scores = whole[:photographs].view(-1, config.copies)
        means = scores.mean(1)
        spread = each[:photographs].view(-1, config.copies, config.shown).std(1).mean()
        loss = batch_loss(100 * means, mos) + 10 * (scores - means[:, None]).square().mean()
        loss = loss + config.ranking * margin_ranking(means, mos) + config.spread_of(sigma) * spread
        loss = loss + config.pixels * (seen.denoised - clean).square().mean()
        if severities is not None:
            loss = loss + config.ladder * ladder_loss(
                whole[photographs:].view_as(severities), severities, config.margin
            )
        if wanted is not None:
            apart = (seen.statistics[: len(wanted)] - wanted.float()) * self.teacher.feature_scale
            loss = loss + config.features * apart.square().mean()
        return loss


def make_family(config: LevelsConfig) -> LevelledPair:
    """The family before its first step: the starting pair at every level, or the family to go on from.

    Raises ValueError where that family has other levels.
    """
    files = config.files()
    if "family" in files:
        family = load_family(files["family"], config.width)
        if family.sigmas != config.sigmas:
            raise ValueError(f"{files['family']} has the levels {family.sigmas}, not {config.sigmas}")
        return family.requires_grad_(True)
    metric, denoiser = METRICS[UNDEFENDED_METRIC].make(), UNet(config.width)
    load_weights(metric, files["metric"])
    load_weights(denoiser, files["denoiser"])
    return LevelledPair(metric, denoiser, config.sigmas)


def save_family(family: LevelledPair, path: Path) -> None:
    """In half precision, the levels among the file's metadata."""
    values = {name: value.detach().half().contiguous() for name, value in family.state_dict().items()}
    save_file(values, path, metadata={"sigmas": " ".join(map(str, family.sigmas))})


def train_levels(
    config: LevelsConfig, photographs: Sequence[Photograph], backbone: BackboneMetric, cache: Path, out: Path
) -> None:
    """Train; write ``levels.safetensors``, in half precision, and ``levels.json`` into ``out``.

    Raises ValueError for photographs or a configuration that cannot be used, OSError for a missing file.
    """
    out.mkdir(parents=True, exist_ok=True)
    digests = {role: hashlib.sha256(file.read_bytes()).hexdigest() for role, file in config.files().items()}
    torch.manual_seed(config.seed)
    material = read_material(photographs, backbone, cache, config)
    family = make_family(config)
    teacher = frozen_metric()
    assert isinstance(teacher, BackboneMetric)
    family.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(
        [
            {"params": list(family.pair.metric.parameters()), "lr": config.metric_rate},
            {"params": list(family.pair.denoiser.parameters()), "lr": config.denoiser_rate},
            {"params": family.modulation(), "lr": config.level_rate, "weight_decay": 0.0},
        ],
        weight_decay=config.weight_decay,
    )
    (out / "config.json").write_text(json.dumps({f.name: getattr(config, f.name) for f in fields(config)}) + "\n")
    warmup = min(100, config.steps // 8)
    average = train(
        family, optimizer, Objective(config, material, family, teacher), steps=config.steps, warmup=warmup,
        decay=config.decay, checkpoint=out / "levels.checkpoint", fingerprint=f"levels {config} {digests}",
    )  # fmt: skip
    save_family(average, out / "levels.safetensors")
    # Of the files to start from the names, not where they lay; `files` says which they were.
    named = replace(
        config,
        start_metric=Path(config.start_metric).name,
        start_denoiser=Path(config.start_denoiser).name,
        judge=Path(config.judge).name,
    )
    save_config(
        out / "levels.json", named, files=digests, photographs=len(material.learn), ladders=len(material.pristine),
        stored="float16",
    )  # fmt: skip


def _config_of(values: dict[str, Any]) -> LevelsConfig:
    """From options or JSON, where tuples are lists; what is no part of the configuration is left out."""
    names = {field.name for field in fields(LevelsConfig)}
    chosen: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in names}
    return LevelsConfig(**chosen)


def weights_of_checkpoint(out: Path) -> int:
    """Write ``levels.safetensors`` of a run that has not ended yet, from its last checkpoint; returns its step."""
    config = _config_of(json.loads((out / "config.json").read_text()))
    state = torch.load(out / "levels.checkpoint", weights_only=True, map_location="cpu")
    family = make_family(config)
    family.load_state_dict(state["average"])
    save_family(family, out / "levels.safetensors")
    return int(state["step"])


def save_plain_pairs(out: Path, width: int) -> list[Path]:
    """Each level of ``levels.safetensors`` as a plain metric and denoiser, in half precision; returns the files."""
    family, files = load_family(out / "levels.safetensors", width), []
    for sigma in family.sigmas:
        pair = plain_pair(family, sigma, width)
        for role, network in (("metric", pair.metric), ("denoiser", pair.denoiser)):
            files.append(out / f"{role}_{sigma:g}.safetensors")
            save_weights(network, files[-1], half=True)
    return files


def _add_config(parser: argparse.ArgumentParser, config: LevelsConfig) -> None:
    for field in fields(config):
        default = getattr(config, field.name)
        option = "--" + field.name.replace("_", "-")
        if isinstance(default, tuple):
            parser.add_argument(option, type=float, nargs="*", default=default, help=f"default {default}")
        elif isinstance(default, bool):
            parser.add_argument(
                option, action="store_true", help="bfloat16 where the CPU has it: other weights, sooner"
            )
        else:
            parser.add_argument(option, type=type(default), default=default, help=f"default {default}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m training.recipes.levels", description="Train a family of noise levels.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("train", help="train, or go on from the checkpoint in --out")
    run.add_argument("--scores", type=Path, required=True, help="CSV with image, mos, split, subset")
    run.add_argument("--images", type=Path, required=True, help="the folder of its pictures")
    run.add_argument("--backbone", type=Path, required=True, help="mobilenet_v1_050.npz: finds near relatives")
    run.add_argument("--cache", type=Path, required=True, help="folder for pictures on the domain and ladders")
    run.add_argument("--out", type=Path, required=True)
    run.add_argument("--threads", type=int, default=2)
    _add_config(run, LevelsConfig())
    weights = commands.add_parser("weights", help="write the weights of a run that has not ended")
    weights.add_argument("--out", type=Path, required=True)
    pairs = commands.add_parser("pairs", help="write each level of levels.safetensors as a plain pair")
    pairs.add_argument("--out", type=Path, required=True)
    pairs.add_argument("--width", type=int, default=16, help="of the denoiser")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    torch.use_deterministic_algorithms(True)
    try:
        if options.command == "weights":
            print(f"weights of step {weights_of_checkpoint(options.out)} written to {options.out}")
            return 0
        if options.command == "pairs":
            print(*save_plain_pairs(options.out, options.width), sep="\n")
            return 0
        torch.set_num_threads(options.threads)
        config = _config_of(vars(options))
        backbone = METRICS[UNDEFENDED_METRIC].make()
        backbone.load_backbone(options.backbone)
        train_levels(config, read_scores(options.scores, options.images), backbone, options.cache, options.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
