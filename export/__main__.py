"""``biqa build | compile | inspect | sign | verify | calibrate | triton``, which ``python -m export`` is as well."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from runtime.bounds.aggregates import AGGREGATES, TRIM
from runtime.bounds.calibration import KINDS
from runtime.bundle.manifest import DEFAULTS, Defaults
from runtime.bundle.store import Bundle, open_bundle
from runtime.commands import sign
from runtime.commands.exits import answered
from runtime.commands.parser import Parser, program
from runtime.errors import DependencyError, DeviceError, ExportError

from .engines.compile import TARGETS
from .engines.options import add_engine_options, requests_of, size
from .report import Report

_EXAMPLES = """examples:
  biqa build
  biqa build --metric metrics.py:sharpness --metric-weights sharpness.safetensors \\
      --metric-licence MIT --score-range 0 1 --name sharpness --out sharpness.zip
  biqa build --metric pyiqa:cnniqa --denoiser none --downscale 1 --sigma 0.05
  biqa build --metric package.module:OneSizeNet --size 224x224
  biqa build --family levels.safetensors --measured measured.json --int8 --out levels
  biqa build --tile 64 --aggregate median --name tiles
  biqa build --fp16 --target tensorrt-rtx --sm 89 --out fast.zip
  biqa build --int8 --out int8.zip
  biqa compile fast.zip --target tensorrt
  biqa inspect sharpness.zip
  biqa sign --new-key my.key
  biqa sign sharpness.zip --key my.key
  biqa verify sharpness.zip --metric metrics.py:sharpness --metric-weights sharpness.safetensors

SPEC is a catalogue name, package.module:factory or path/file.py:factory, where factory returns an nn.Module.
A metric maps N×3×H×W in [0, 1] to N scores, a denoiser N×3×H×W to the same shape."""


def _add_parts(command: argparse.ArgumentParser, metric: str | None, denoiser: str) -> None:
    """``metric``: the default one. ``denoiser``: what the help says of the default one."""
    said = " (default %(default)s)" if metric else ""
    command.add_argument("--metric", metavar="SPEC", default=metric, help="the metric" + said)
    command.add_argument("--denoiser", metavar="SPEC", help="the denoiser; none for no denoiser" + denoiser)
    for role in ("metric", "denoiser"):
        command.add_argument(
            f"--{role}-weights", metavar="FILE", type=Path, help=".safetensors, .pt or .pth state dict"
        )


def _parser() -> Parser:
    from .build import DOWNSCALE, NAME, SIGMA
    from .networks.catalogue import OTHER_DENOISER, SHIPPED_METRIC

    parser = Parser(
        program("export"),
        description="Turn a PyTorch quality metric into a bundle the runtime certifies with.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    make = commands.add_parser(
        "build",
        help="export a PyTorch metric, check it and write a bundle",
        description="Export metric and denoiser as one ONNX graph, check it against PyTorch, and write a bundle; "
        "a bundle that is there already is replaced.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_parts(
        make,
        SHIPPED_METRIC,
        f"; default the one trained for a metric of the catalogue, else {OTHER_DENOISER}, trained for pixels",
    )
    for role in ("metric", "denoiser"):
        make.add_argument(f"--{role}-licence", metavar="TEXT", help="recorded; default unstated, or the catalogue's")
        make.add_argument(f"--{role}-version", metavar="TEXT", help="recorded; default unstated, or the catalogue's")
    make.add_argument(
        "--family",
        type=Path,
        metavar="FILE",
        help="in place of a metric and a denoiser: noise levels that training.recipes.levels trained, in one bundle",
    )
    make.add_argument(
        "--measured", type=Path, metavar="FILE", help="of a family: what benchmarks.frontier measured of its levels"
    )
    make.add_argument("--sigma", type=float, help=f"noise on the engine's input (default {SIGMA})")
    make.add_argument(
        "--downscale", type=int, default=DOWNSCALE, metavar="K", help="K×K box before the engine (default 2)"
    )
    make.add_argument("--batch", type=int, metavar="N", help="fix the batch size (default free)")
    make.add_argument("--size", type=size, metavar="HEIGHTxWIDTH", help="fix the engine's input, after the downscale")
    make.add_argument("--tile", type=int, metavar="T", help="score each T×T tile of a frame by itself (docs/tiles.md)")
    make.add_argument(
        "--aggregate", choices=AGGREGATES, help=f"how the scores of tiles become the frame's (default {AGGREGATES[0]})"
    )
    make.add_argument(
        "--trim", type=float, metavar="SHARE", help=f"of tiles a trimmed mean drops at each end (default {TRIM:g})"
    )
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
    make.add_argument("--fp16", action="store_true", help="add the graph in fp16, where its scores allow it")
    make.add_argument(
        "--keep-fp32", metavar="LAYER", action="append", default=[], help="leave a layer in fp32; repeatable"
    )
    make.add_argument("--int8", action="store_true", help="add the graph in int8, for CPUs, where its scores allow it")
    make.add_argument(
        "--half-weights", action="store_true", help="store weights that are half floats as such: smaller, same scores"
    )
    make.add_argument(
        "--target",
        action="append",
        choices=["onnx", *TARGETS],
        help="add GPU kernels, and with TensorRT engines as well (default onnx: none); repeatable",
    )
    add_engine_options(make)
    make.set_defaults(run=_build)

    compiler = commands.add_parser(
        "compile",
        help="add GPU kernels and engines to a bundle",
        epilog="example:\n  biqa compile fast --target tensorrt-rtx --sm 89 --sm 120",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    compiler.add_argument("bundle", type=Path, help="directory or .zip that `build` wrote")
    compiler.add_argument(
        "--target",
        action="append",
        choices=list(TARGETS),
        required=True,
        help="GPU kernels alone for ONNX Runtime (cuda), or with engines of TensorRT or TensorRT-RTX; repeatable",
    )
    add_engine_options(compiler)
    compiler.add_argument("--out", type=Path, metavar="DIR|FILE.zip", help="write another bundle (default: in place)")
    compiler.add_argument("--quiet", action="store_true", help="no progress on stderr")
    compiler.set_defaults(run=_compile)

    show = commands.add_parser("inspect", help="what a bundle holds")
    show.add_argument("bundle", type=Path)
    show.add_argument("--json", action="store_true", help="the same as JSON")
    show.set_defaults(run=_inspect)

    sign.add(commands)

    prove = commands.add_parser(
        "verify",
        help="check a bundle's files, graph and parity again",
        description="Check a bundle's files and graph, and its parity with the networks where these are named or ours.",
        epilog="example:\n  biqa verify mine-bundle --metric my_metric.py:make --metric-weights my_metric.safetensors",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    prove.add_argument("bundle", type=Path, help="directory or .zip that `build` wrote")
    _add_parts(prove, None, "")
    prove.set_defaults(run=_verify)

    served = commands.add_parser(
        "triton",
        help="write a model repository of Triton Inference Server",
        description="Write a model of a Triton model repository that certifies frames with a bundle (docs/triton.md).",
        epilog="example:\n  biqa triton default --repository models --parameter secret_file=/run/secrets/biqa "
        "--parameter epsilon=0.1",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    served.add_argument("bundle", type=Path, help="directory or .zip, or the name of one that ships")
    served.add_argument("--repository", type=Path, required=True, metavar="DIR", help="made where it is missing")
    served.add_argument("--name", help="of the model in the server; default the bundle's")
    served.add_argument("--instances", type=int, default=1, metavar="N", help="engines side by side (default 1)")
    served.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    served.add_argument(
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="epsilon, alpha, samples, scope, precision, threads, secret_file or public_seed; repeatable",
    )
    served.set_defaults(run=_triton)
    fitter = commands.add_parser(
        "calibrate",
        help="add a curve from a model's points to a scale of your own opinions",
        description="Fit a monotone curve to scores with opinions, and write the bundle with it: another bundle, whose "
        "records have scores and bounds on both scales.",
        epilog="example:\n  biqa calibrate default scores.csv --sigma 0.06 --out mine",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    fitter.add_argument("bundle", type=Path, help="directory or .zip that `build` wrote, or the name of one that ships")
    fitter.add_argument("scores", type=Path, help="CSV with the columns score (points) and opinion (higher is better)")
    fitter.add_argument("--out", type=Path, metavar="DIR|FILE.zip", required=True, help="the calibrated bundle")
    fitter.add_argument("--kind", choices=KINDS, default=KINDS[0], help="of the curve (default %(default)s)")
    fitter.add_argument("--sigma", type=float, help="of a family: the noise level that the scores are of")
    fitter.set_defaults(run=_calibrate)
    return parser


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _build(options: argparse.Namespace) -> int:
    from .build import SIGMA, build
    from .engines.compile import compile_bundle, finishing_command
    from .report import silent

    if options.measured and not options.family:
        raise ExportError("--measured is of a family of noise levels: give --family as well")
    if options.keep_fp32 and not (options.fp16 or options.int8):
        raise ExportError("--keep-fp32 is for --fp16 and --int8: give one of them, or leave it out")
    if "fp16" in (options.precision or ()) and not options.fp16:
        raise ExportError("--precision fp16 takes --fp16: without it the bundle has no graph of that precision")
    requests = requests_of(options)
    report = silent if options.quiet else _say
    bundle = (
        _build_family(options, report)
        if options.family
        else build(
            options.metric,
            options.denoiser,
            out=options.out or Path(f"{options.name}-bundle"),
            metric_weights=options.metric_weights,
            denoiser_weights=options.denoiser_weights,
            metric_licence=options.metric_licence,
            denoiser_licence=options.denoiser_licence,
            metric_version=options.metric_version,
            denoiser_version=options.denoiser_version,
            sigma=SIGMA if options.sigma is None else options.sigma,
            downscale=options.downscale,
            batch=options.batch,
            size=options.size,
            tile=options.tile,
            aggregate=options.aggregate,
            trim=options.trim,
            score_range=tuple(options.score_range) if options.score_range else None,
            lower_is_better=options.lower_is_better,
            name=options.name,
            defaults=Defaults(options.epsilon, options.alpha, options.samples),
            fp16=options.fp16,
            int8=options.int8,
            keep_fp32=options.keep_fp32,
            half_weights=options.half_weights,
            report=report,
        )
    )
    for request in requests:
        try:
            bundle = compile_bundle(bundle, request, quiet=options.quiet, report=report)
        except (DependencyError, DeviceError) as error:
            # The bundle is complete for the CPU, and engines of full TensorRT are made where they run.
            _say(f"not ready for {request.flavour} yet: {error}")
            _say(f"on the machine that will run it: {finishing_command(bundle.path, request)}")
    print(bundle.path)
    return 0


def _build_family(options: argparse.Namespace, report: Report) -> Bundle:
    from .family import build_family
    from .networks.catalogue import SHIPPED_METRIC

    others = {
        "--metric": options.metric != SHIPPED_METRIC,
        "--half-weights": options.half_weights,
        **{
            f"--{name.replace('_', '-')}": getattr(options, name) is not None
            for name in (
                *("denoiser", "metric_weights", "denoiser_weights", "metric_licence", "denoiser_licence"),
                *("metric_version", "denoiser_version", "sigma", "batch", "size", "tile", "aggregate", "trim"),
                *("score_range", "lower_is_better"),
            )
        },
    }
    if given := [name for name, there in others.items() if there]:
        raise ExportError(f"a family brings its own networks and levels: leave {', '.join(given)} out with --family")
    return build_family(
        options.family,
        out=options.out or Path(f"{options.name}-bundle"),
        measured=options.measured,
        downscale=options.downscale,
        name=options.name,
        defaults=Defaults(options.epsilon, options.alpha, options.samples),
        fp16=options.fp16,
        int8=options.int8,
        keep_fp32=options.keep_fp32,
        report=report,
    )


def _compile(options: argparse.Namespace) -> int:
    from .engines.compile import compile_bundle
    from .report import silent

    bundle = open_bundle(options.bundle)
    report = silent if options.quiet else _say
    for request in requests_of(options):
        bundle = compile_bundle(bundle, request, out=options.out, quiet=options.quiet, report=report)
    print(bundle.path)
    return 0


def _inspect(options: argparse.Namespace) -> int:
    from .describe import describe, table

    bundle = open_bundle(options.bundle)
    print(json.dumps(describe(bundle), indent=2) if options.json else table(bundle))
    return 0


def _triton(options: argparse.Namespace) -> int:
    from .triton import parameters_of, write_repository

    bundle = open_bundle(options.bundle)
    folder = write_repository(
        bundle,
        options.repository,
        options.name or bundle.manifest.name,
        instances=options.instances,
        device=options.device,
        parameters=parameters_of(options.parameter),
    )
    print(folder)
    return 0


def _calibrate(options: argparse.Namespace) -> int:
    from .calibrate import calibrate

    bundle, curve = calibrate(
        open_bundle(options.bundle), options.scores, out=options.out, kind=options.kind, sigma=options.sigma
    )
    _say(f"{curve.kind} of {curve.rows} scores, {curve.deviation:.3g} from the opinions (root mean square)")
    print(bundle.path)
    return 0


def _verify(options: argparse.Namespace) -> int:
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
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Run one command; see :func:`runtime.commands.exits.answered`."""
    return answered(_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
