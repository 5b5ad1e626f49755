"""``python -m export build | inspect | verify``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from runtime.bundle import Defaults, open_bundle
from runtime.errors import BiqaError, ExportError

_EXAMPLES = """examples:
  python -m export build
  python -m export build --metric metrics.py:sharpness --metric-weights sharpness.safetensors \\
      --metric-licence MIT --score-range 0 1 --name sharpness --out sharpness.zip
  python -m export build --metric pyiqa:cnniqa --denoiser none --downscale 1 --sigma 0.05
  python -m export build --metric package.module:OneSizeNet --size 224x224
  python -m export inspect sharpness.zip
  python -m export verify sharpness.zip --metric metrics.py:sharpness --metric-weights sharpness.safetensors

SPEC is a catalogue name, package.module:factory or path/file.py:factory, where factory returns an nn.Module.
A metric maps N×3×H×W in [0, 1] to N scores, a denoiser N×3×H×W to the same shape."""


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    try:
        return int(height), int(width)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not HEIGHTxWIDTH, such as 384x512") from None


def _add_parts(command: argparse.ArgumentParser, metric: str | None, denoiser: str | None) -> None:
    said = " (default %(default)s)" if metric else ""
    command.add_argument("--metric", metavar="SPEC", default=metric, help="the metric" + said)
    command.add_argument(
        "--denoiser", metavar="SPEC", default=denoiser, help="the denoiser; none for no denoiser" + said
    )
    for role in ("metric", "denoiser"):
        command.add_argument(
            f"--{role}-weights", metavar="FILE", type=Path, help=".safetensors, .pt or .pth state dict"
        )


def _parser() -> argparse.ArgumentParser:
    from .build import DEFAULTS, DOWNSCALE, NAME, SIGMA
    from .catalogue import DEFAULT_DENOISER, DEFAULT_METRIC

    parser = argparse.ArgumentParser(
        "python -m export",
        description="Turn a PyTorch quality metric into a bundle the runtime certifies with.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    make = commands.add_parser(
        "build",
        help="export, check and write a bundle",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_parts(make, DEFAULT_METRIC, DEFAULT_DENOISER)
    for role in ("metric", "denoiser"):
        make.add_argument(f"--{role}-licence", metavar="TEXT", help="recorded; default unstated, or the catalogue's")
        make.add_argument(f"--{role}-version", metavar="TEXT", help="recorded; default unstated, or the catalogue's")
    make.add_argument("--sigma", type=float, default=SIGMA, help="noise on the engine's input (default %(default)s)")
    make.add_argument(
        "--downscale", type=int, default=DOWNSCALE, metavar="K", help="K×K box before the engine (default 2)"
    )
    make.add_argument("--batch", type=int, metavar="N", help="fix the batch size (default free)")
    make.add_argument("--size", type=_size, metavar="HEIGHTxWIDTH", help="fix the engine's input, after the downscale")
    make.add_argument("--score-range", type=float, nargs=2, metavar=("LOW", "HIGH"), help="range of the score")
    make.add_argument("--lower-is-better", action="store_true", default=None, help="direction of the score")
    make.add_argument("--name", default=NAME, help="key of the score in logs (default %(default)s)")
    make.add_argument(
        "--epsilon", type=float, default=DEFAULTS.epsilon, help="default radius on the source frame (%(default)s)"
    )
    make.add_argument("--alpha", type=float, default=DEFAULTS.alpha, help="default error probability (%(default)s)")
    make.add_argument("--samples", type=int, default=DEFAULTS.samples, help="default number of samples (%(default)s)")
    make.add_argument("--out", type=Path, metavar="DIR|FILE.zip", help="default NAME-bundle")
    make.add_argument("--quiet", action="store_true", help="no progress on stderr")
    for option in ("--fp16", "--int8"):
        make.add_argument(option, action="store_true", help="not yet: the graph is fp32")
    make.add_argument("--target", action="append", metavar="TARGET", help="not yet: only onnx")

    show = commands.add_parser("inspect", help="what a bundle holds")
    show.add_argument("bundle", type=Path)
    show.add_argument("--json", action="store_true", help="the same as JSON")

    prove = commands.add_parser("verify", help="check a bundle's files, graph and parity again")
    prove.add_argument("bundle", type=Path)
    _add_parts(prove, None, None)
    return parser


def _refuse_what_is_not_built(options: argparse.Namespace) -> None:
    asked = [f"--{name}" for name in ("fp16", "int8") if getattr(options, name)]
    asked += [f"--target {target}" for target in options.target or () if target != "onnx"]
    if asked:
        raise ExportError(f"{', '.join(asked)}: not yet; this version writes the portable fp32 graph, leave it out")


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _build(options: argparse.Namespace) -> None:
    from .build import build, silent

    _refuse_what_is_not_built(options)
    bundle = build(
        options.metric,
        options.denoiser,
        out=options.out or Path(f"{options.name}-bundle"),
        metric_weights=options.metric_weights,
        denoiser_weights=options.denoiser_weights,
        metric_licence=options.metric_licence,
        denoiser_licence=options.denoiser_licence,
        metric_version=options.metric_version,
        denoiser_version=options.denoiser_version,
        sigma=options.sigma,
        downscale=options.downscale,
        batch=options.batch,
        size=options.size,
        score_range=tuple(options.score_range) if options.score_range else None,
        lower_is_better=options.lower_is_better,
        name=options.name,
        defaults=Defaults(options.epsilon, options.alpha, options.samples),
        report=silent if options.quiet else _say,
    )
    print(bundle.path)


def _inspect(options: argparse.Namespace) -> None:
    from .describe import describe, table

    bundle = open_bundle(options.bundle)
    print(json.dumps(describe(bundle), indent=2) if options.json else table(bundle))


def _verify(options: argparse.Namespace) -> None:
    from .verify import verify

    verify(
        open_bundle(options.bundle),
        metric=options.metric,
        denoiser=options.denoiser,
        metric_weights=options.metric_weights,
        denoiser_weights=options.denoiser_weights,
        report=print,
    )
    print(f"{options.bundle}: verified")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0, or 2 after one ``error:`` line on stderr."""
    options = _parser().parse_args(arguments)
    command = {"build": _build, "inspect": _inspect, "verify": _verify}[options.command]
    try:
        command(options)
    except (BiqaError, OSError) as error:
        _say(f"error: {' '.join(str(error).split())}")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
