"""``python -m training metric | denoiser | evaluate``."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields, replace
from pathlib import Path

import torch

from .denoiser import DenoiserConfig, train_denoiser
from .metric import MetricConfig, train_metric

_EXAMPLES = """examples:
  python -m training metric --scores biq2021/scores.csv --images biq2021/images \\
      --backbone mobilenet_v1_050.npz --out runs/metric
  python -m training denoiser --scores biq2021/scores.csv --images biq2021/images --out runs/denoiser
  python -m training evaluate --scores biq2021/scores.csv --images biq2021/images --split val

A run that was killed goes on where it stopped when it is started again with the same options."""


def _add_config(parser: argparse.ArgumentParser, config: object) -> None:
    for field in fields(config):  # type: ignore[arg-type]
        default = getattr(config, field.name)
        option = "--" + field.name.replace("_", "-")
        parser.add_argument(option, type=type(default), default=default, help=f"default {default}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m training",
        description=__doc__,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("metric", "fine-tune the quality metric on opinion scores"),
        ("denoiser", "train the denoiser"),
        ("evaluate", "correlation of the bare and the smoothed metric with opinion scores"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--scores", type=Path, required=True, help="CSV with columns image, mos [, split, subset]")
        command.add_argument("--images", type=Path, required=True, help="folder the image column is relative to")
        command.add_argument("--threads", type=int, default=None, help="CPU threads; default all")
        if name != "evaluate":
            command.add_argument("--out", type=Path, required=True, help="folder for weights, config and checkpoint")
    metric, denoiser, evaluate = (commands.choices[name] for name in ("metric", "denoiser", "evaluate"))
    metric.add_argument("--backbone", type=Path, required=True, help=".npz of ImageNet features")
    _add_config(metric, MetricConfig())
    _add_config(denoiser, DenoiserConfig())
    evaluate.add_argument("--split", default="val", help="which rows to score; default val")
    evaluate.add_argument("--samples", type=int, default=32, help="noisy copies a picture; default 32")
    evaluate.add_argument("--limit", type=int, default=None, help="only the first LIMIT pictures")
    evaluate.add_argument("--json", type=Path, default=None, help="also write the figures here")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    try:
        if options.command == "evaluate":
            from .evaluate import evaluate

            evaluate(options.scores, options.images, options.split, options.samples, options.limit, options.json)
        elif options.command == "metric":
            names = {f.name: getattr(options, f.name) for f in fields(MetricConfig)}
            train_metric(
                replace(MetricConfig(), **names), options.scores, options.images, options.backbone, options.out
            )
        else:
            names = {f.name: getattr(options, f.name) for f in fields(DenoiserConfig)}
            train_denoiser(replace(DenoiserConfig(), **names), options.scores, options.images, options.out)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
