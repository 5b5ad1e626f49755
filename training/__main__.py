"""``biqa train metric | denoiser | joint | evaluate``, which ``python -m training`` is as well."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch

from runtime.commands.exits import answered
from runtime.commands.parser import Parser, program
from runtime.errors import DeviceError, ParameterError

from .data.photographs import Photograph, read_scores
from .data.published_datasets import READERS
from .evaluation.quick_look import evaluate
from .networks import JOINT_DENOISER_WEIGHTS, JOINT_METRIC_WEIGHTS
from .recipes.denoiser import DenoiserConfig, train_denoiser
from .recipes.joint import JointConfig, train_joint
from .recipes.metric import MetricConfig, train_metric

_EXAMPLES = {
    "metric": """\
  biqa train metric --scores biq2021/scores.csv --images biq2021/images \\
      --backbone mobilenet_v1_050.npz --out runs/metric
  biqa train metric --scores biq2021/scores.csv --images biq2021/images --network mobilenet_v1_025 \\
      --backbone mobilenet_v1_025.npz --half --out runs/metric-025""",
    "denoiser": """\
  biqa train denoiser --scores biq2021/scores.csv --images biq2021/images --out runs/dms
  biqa train denoiser --scores biq2021/scores.csv --images biq2021/images --out runs/dms-iqa \\
      --start runs/dms/denoiser.safetensors --score 0.1 --ranking 0.1 --spread 0.1 --copies 2 --faults 0.3 \\
      --batch 12 --crop 192 --rate 1e-3
  biqa train denoiser --dataset koniq10k --images koniq10k --size 192 256 --out runs/dms-koniq""",
    "joint": """\
  biqa train joint --scores biq2021/scores.csv --images biq2021/images --out runs/joint
  biqa train joint --dataset koniq10k --images koniq10k --size 192 256 --out runs/joint-koniq""",
    "evaluate": """\
  biqa train evaluate --scores biq2021/scores.csv --images biq2021/images --split val
  biqa train evaluate --dataset koniq10k --images koniq10k --split test
  biqa train evaluate --scores biq2021/scores.csv --images biq2021/images --samples 16 \\
      --denoiser-weights runs/joint/denoiser.safetensors --denoised-metric-weights runs/joint/metric.safetensors""",
}
_RESUMES = "\n\nA run that was killed goes on where it stopped when it is started again with the same options."


def _add_config(parser: argparse.ArgumentParser, config: object) -> None:
    for field in fields(config):  # type: ignore[arg-type]
        default = getattr(config, field.name)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default, help=f"default {default}")


def _parser() -> Parser:
    parser = Parser(
        program("training", "train"),
        description="Train the metric and the denoiser on photographs with opinion scores, and look at the result.",
        epilog="examples:\n" + "\n".join(_EXAMPLES.values()) + _RESUMES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("metric", "fine-tune the quality metric on opinion scores"),
        ("denoiser", "train the denoiser, the metric frozen"),
        ("joint", "train metric and denoiser together, through the noise"),
        ("evaluate", "correlation of the bare and the smoothed metric with opinion scores"),
    ):
        command = commands.add_parser(
            name, help=text, description=text, formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog="examples:\n" + _EXAMPLES[name] + ("" if name == "evaluate" else _RESUMES),
        )  # fmt: skip
        command.add_argument(
            "--dataset", choices=("table", *READERS), default="table", help="layout of --images; default table: a CSV"
        )
        command.add_argument(
            "--scores",
            type=Path,
            help="of a table: CSV with columns image, mos [, split, subset]; mos 0 (bad) … 1 (good); "
            "split train (the default), val or test",
        )
        command.add_argument(
            "--images", type=Path, required=True, help="folder the image column is relative to; of a dataset, its own"
        )
        command.add_argument("--threads", type=int, default=None, help="CPU threads; default all")
        if name != "evaluate":
            command.add_argument("--out", type=Path, required=True, help="folder for weights, config and checkpoint")
            command.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
            command.add_argument(
                "--size",
                type=int,
                nargs=2,
                metavar=("H", "W"),
                help="train on the middle H×W of every picture, after downscaling; for pictures that differ in size",
            )
    metric, denoiser, joint, evaluate = (commands.choices[name] for name in _EXAMPLES)
    metric.add_argument("--backbone", type=Path, required=True, help=".npz of ImageNet features")
    metric.add_argument("--half", action="store_true", help="store the weights in half precision, and measure them so")
    _add_config(metric, MetricConfig())
    _add_config(denoiser, DenoiserConfig())
    _add_config(joint, JointConfig())
    evaluate.add_argument("--split", default="val", help="which rows to score; default val")
    evaluate.add_argument("--samples", type=int, default=32, help="noisy copies a picture; default 32")
    evaluate.add_argument("--limit", type=int, default=None, help="only the first LIMIT pictures")
    evaluate.add_argument("--sigma", type=float, default=0.12, help="noise; default 0.12")
    evaluate.add_argument("--metric-weights", type=Path, help="of the bare metric; default: the committed ones")
    for role, default in (("denoiser", JOINT_DENOISER_WEIGHTS), ("denoised-metric", JOINT_METRIC_WEIGHTS)):
        evaluate.add_argument(f"--{role}-weights", type=Path, default=default, help="default: the shipped ones")
    evaluate.add_argument("--json", type=Path, default=None, help="also write the figures here")
    parser.set_defaults(run=_run)
    return parser


def _photographs(options: argparse.Namespace) -> list[Photograph]:
    if options.dataset != "table":
        if options.scores is not None:
            raise ParameterError(f"--scores is for --dataset table: {options.dataset} has its scores in --images")
        return READERS[options.dataset](options.images)
    if options.scores is None:
        raise ParameterError("--scores is missing: --dataset table, the default, needs a CSV")
    return read_scores(options.scores, options.images)


def _stopped(options: argparse.Namespace) -> str:
    if options.command == "evaluate":
        return "stopped; nothing was written"
    if (options.out / f"{options.command}.checkpoint").exists():
        return "stopped; the same command goes on from the checkpoint"
    return "stopped before the first checkpoint; the same command starts again"


def _run(options: argparse.Namespace) -> int:
    if options.threads is not None:
        if options.threads < 1:
            raise ParameterError(f"--threads {options.threads}: use 1 or more, or leave it out for all")
        torch.set_num_threads(options.threads)
    if getattr(options, "device", "cpu") == "cuda" and not torch.cuda.is_available():
        raise DeviceError("PyTorch finds no CUDA device here: leave out --device, or install a CUDA build")
    torch.use_deterministic_algorithms(True)
    photographs = _photographs(options)
    size = tuple(options.size) if getattr(options, "size", None) else None
    if options.command == "evaluate":
        evaluate(
            photographs, split=options.split, samples=options.samples, limit=options.limit,
            metric_weights=options.metric_weights, denoiser_weights=options.denoiser_weights,
            denoised_metric_weights=options.denoised_metric_weights, sigma=options.sigma, output=options.json,
        )  # fmt: skip
    elif options.command == "metric":
        train_metric(
            MetricConfig(**_named(options, MetricConfig)),
            *(photographs, options.backbone, options.out, options.device, size, options.half),
        )
    elif options.command == "joint":
        train_joint(JointConfig(**_named(options, JointConfig)), photographs, options.out, options.device, size)
    else:
        config = DenoiserConfig(**_named(options, DenoiserConfig))
        train_denoiser(config, photographs, options.out, options.device, size)
    return 0


def _named(options: argparse.Namespace, config: type) -> dict[str, Any]:
    """The options that are fields of a configuration."""
    return {field.name: getattr(options, field.name) for field in fields(config)}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; see :func:`runtime.commands.exits.answered`."""
    options = _parser().parse_args(arguments)
    return answered(options, lambda: f"\n{_stopped(options)}")


def train(arguments: list[str]) -> int:
    """``biqa train``: the words from the command's name on."""
    return main(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
