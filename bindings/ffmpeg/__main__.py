"""``ffmpeg … -f yuv4mpegpipe - | python -m bindings.ffmpeg``: frames from standard input, certified."""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from bindings.conversion import conversion_of, told_tags
from bindings.ffmpeg.pipe import NAME, Pipe, raw_shape
from bindings.ffmpeg.sidecar import ffmetadata, frame_times
from bindings.probe import Probe, probe
from bindings.session import Session
from runtime import Certifier, Conversion, ParameterError
from runtime.commands import (
    Parser,
    add_claim_options,
    add_log_options,
    add_model_options,
    answered,
    check_outputs,
    final_line,
    open_certifier,
    progress_bar,
    table,
    write_outputs,
)
from runtime.frames import CHROMA_LOCATIONS, Tags
from runtime.results import InputLog, build_log, frame_entry, pooled_metrics, to_csv, to_json

_EXAMPLES = """examples:
  ffmpeg -v error -xerror -err_detect explode -i clip.mp4 -fps_mode passthrough -f yuv4mpegpipe - |
      python -m bindings.ffmpeg --probe clip.mp4 --json clip.json
  ffmpeg -v error -i clip.mp4 -f rawvideo -pix_fmt yuv420p - |
      python -m bindings.ffmpeg --format rawvideo --size 1920x1080 --pix-fmt yuv420p --fps 25

The frames are claimed together: each gets alpha divided by their number. --frames or --probe say that number before
the first frame; else it is counted. exit status: 0 done, 2 an error: one line says which, and no file is written."""


def _parser() -> Parser:
    parser = Parser(
        "python -m bindings.ffmpeg",
        description="Score decoded frames from standard input, each score with its certified interval.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--format", choices=("yuv4mpegpipe", "rawvideo"), default="yuv4mpegpipe", help="of the pipe")
    parser.add_argument("--size", metavar="WxH", help="of the frames of raw video")
    parser.add_argument("--pix-fmt", metavar="NAME", help="of the frames of raw video, as FFmpeg names it")
    parser.add_argument("--fps", type=_rate, help="frames a second, where the pipe does not say")
    parser.add_argument(
        "--probe", type=Path, metavar="FILE", help="the file behind the pipe: check it, use its colours and its times"
    )
    parser.add_argument("--frames", type=_count, metavar="M|any", help="number of frames that must come, or any")
    parser.add_argument("--chroma-location", choices=CHROMA_LOCATIONS, help="override the siting of chroma")
    add_model_options(parser)
    add_claim_options(parser)
    add_log_options(parser, needs="; needs --frames or --probe")
    parser.add_argument(
        "--metadata", metavar="F", help="write an ffmetadata file, lavfi.biqa.score, .lo and .hi a frame"
    )
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> int:
    inputs = [options.probe, options.model, options.secret_file]
    check_outputs(options.json, options.csv, options.metadata, inputs=inputs, ndjson=options.ndjson)
    if sys.stdin.isatty():
        raise ParameterError(
            "frames come through standard input: ffmpeg -i FILE -f yuv4mpegpipe - | python -m bindings.ffmpeg"
        )
    probed = probe(options.probe) if options.probe else None
    count = _expected(options.frames, probed)
    if count is None and (options.ndjson or options.tolerance is not None):
        raise ParameterError("--ndjson and --tolerance need alpha's share beforehand: give --frames M or --probe FILE")
    started = time.monotonic()
    with progress_bar(options.quiet) as bar, open_certifier(options, bar) as certifier:
        pipe = _pipe(options)
        conversion = _conversion(pipe, probed, count is not None, options)
        session = Session(
            certifier, NAME, count=count, subsample=options.subsample, tolerance=options.tolerance, bound=options.bound
        )
        bar.begin(NAME, session.jointly or 0, session.samples)
        log = _certified(certifier, session, pipe, conversion, options)
    made = build_log([log], time.monotonic() - started)
    outputs = {options.json: to_json(made), options.csv: to_csv(made)}
    if options.metadata:
        times = frame_times(session.seen, probed.times if probed else None, options.fps or pipe.shape.fps)
        outputs[options.metadata] = ffmetadata(log.frames, times, log.alpha)
    write_outputs(outputs)
    if not options.quiet and not options.ndjson and "-" not in outputs:
        print(table([log]))
    assumed = log.frames[0][1].provenance.conversion["assumed"]  # type: ignore[index]
    if "progressive" in assumed:
        print("interlaced: certified as stored, not deinterlaced", file=sys.stderr)
    if missing := [one for one in assumed if one != "progressive"]:
        print(f"assumed, as nothing says it: {', '.join(missing)}", file=sys.stderr)
    print(final_line([log]), file=sys.stderr)
    return 0


def _certified(
    certifier: Certifier, session: Session, pipe: Pipe, conversion: Conversion, options: argparse.Namespace
) -> InputLog:
    name = "-" if options.probe is None else str(options.probe)
    log = InputLog(name, options.subsample, certifier.alpha, bound=options.bound)
    for planes in pipe:
        certificate = session.certify(planes, conversion)
        if certificate is None:
            continue
        number = session.seen - 1
        if options.ndjson:
            entry = frame_entry(number, 0, number, certificate)
            print(json.dumps({"type": "frame", **entry}, allow_nan=False), flush=True)
        log.frames.append((number, certificate))
        if session.jointly is None:
            certifier.refuse_too_few(NAME, frames=len(log.frames))
    session.finish()
    if session.jointly is None:
        log.frames = [(number, one.shared_by(len(log.frames))) for number, one in log.frames]
    if options.ndjson:
        pooled = pooled_metrics(log.pools())
        print(json.dumps({"type": "input", "path": log.path, "pooled_metrics": pooled}, allow_nan=False), flush=True)
    return log


def _pipe(options: argparse.Namespace) -> Pipe:
    raw = options.format == "rawvideo"
    if raw != (options.size is not None and options.pix_fmt is not None) or (
        not raw and (options.size or options.pix_fmt)
    ):
        raise ParameterError("--format rawvideo needs --size and --pix-fmt, and only it takes them")
    return Pipe(sys.stdin.buffer, raw_shape(options.size, options.pix_fmt, options.fps) if raw else None)


def _conversion(pipe: Pipe, probed: Probe | None, counted: bool, options: argparse.Namespace) -> Conversion:
    """The pipe speaks only of range and siting, of the latter unsurely, and never of the transfer."""
    shape, layout = pipe.shape, pipe.shape.layout
    told = told_tags(options.matrix, options.range, options.chroma_location)
    host = Tags(
        matrix="rgb" if layout.rgb else None,
        range="full" if layout.full else shape.range,
        chroma_location=None if shape.siting_unsure and probed else shape.chroma_location,
    )
    conversion = conversion_of(
        *(NAME, layout, shape.width, shape.height),
        told=told,
        file=probed,
        host=host,
        counted=counted,
        interlaced=shape.interlaced,
    )
    unsure = []
    if probed is None:
        guessed = shape.siting_unsure and told.chroma_location is None
        unsure = ["chroma_location", "transfer"] if guessed else ["transfer"]
    return replace(conversion, assumed=(*conversion.assumed, *unsure))


def _expected(frames: int | str | None, probed: Probe | None) -> int | None:
    if isinstance(frames, int):
        return frames
    return None if probed is None or frames == "any" else probed.count


def _count(text: str) -> int | str:
    if text == "any":
        return text
    if text.isdecimal() and (value := int(text)) >= 1:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is neither any nor a number of frames, 1 or more")


def _rate(text: str) -> Fraction:
    try:
        if (value := Fraction(text)) > 0:
            return value
    except (ValueError, ZeroDivisionError):
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no frame rate, such as 25 or 30000/1001")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; see :func:`runtime.commands.exits.answered`."""
    return answered(_parser().parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
