"""``plan``: what an ε and an α take, before any frame is scored."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from typing import Any

from ..bounds.alpha import SCOPES
from ..bounds.clip_samples import clip_samples
from ..bundle.levels import Choice, choose, known_sigma
from ..bundle.store import open_bundle
from ..results.certificate import check_epsilon
from ..results.plan import plan
from .options import add_level_option

_EXAMPLES = """examples:
  biqa plan --epsilon 0.1
  biqa plan --epsilon 1 --samples 1000
  biqa plan --epsilon 0.5 --alpha 1e-4 --scope reported --frames 300

least_samples is the answer: the fewest noisy copies of a frame that bound its score. alpha is the share of each frame;
below it stand the events that spend it. Where --samples is too small, a last line says so. Of several frames samples is
what `biqa certify` takes of each: their mean is then bounded as narrowly as with the model's own number, for less.

Of several noise levels the one that `biqa certify` takes for this epsilon is planned, or --sigma. It is marked *.
The table says what each would take: the least samples with a bound, the width to expect of a frame of 512×512 with
--samples, in points, and how well its scores agree with people (SROCC). A sample costs the same at every level.

exit status: 0 done, 2 an option is wrong."""


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "plan",
        help="how many samples an epsilon and an alpha need, and which ranks bound the score",
        description="How many samples an epsilon and an alpha need, and which ranks bound the score.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", help="bundle whose sigma, downscale and defaults to use")
    parser.add_argument("--epsilon", type=float, help="L2 radius on the source RGB frame, values in [0,1]")
    parser.add_argument("--alpha", type=float, help="error of the claim, all frames together")
    parser.add_argument("--samples", type=int, help="noisy copies of each frame")
    parser.add_argument("--scope", choices=SCOPES, default="smoothed", help="what the interval covers")
    parser.add_argument("--frames", type=int, default=1, help="frames claimed together; default 1")
    add_level_option(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    manifest = open_bundle(options.model).manifest
    defaults = manifest.defaults
    alpha = defaults.alpha if options.alpha is None else options.alpha
    epsilon = check_epsilon(defaults.epsilon if options.epsilon is None else options.epsilon)
    samples = defaults.samples if options.samples is None else options.samples
    choice = choose(manifest, epsilon, alpha, samples, options.scope, options.sigma) if manifest.levels else None
    if choice is None and options.sigma is not None:
        known_sigma(manifest, options.sigma)
    sigma, downscale = manifest.input.sigma if choice is None else choice.sigma, manifest.input.downscale
    if options.samples is None and options.frames > 1 and manifest.score.range is not None:
        shift = epsilon / downscale / sigma
        samples = clip_samples(options.frames, shift, alpha, options.scope, samples)
    made = plan(
        epsilon,
        alpha,
        sigma=sigma,
        downscale=downscale,
        samples=samples,
        scope=options.scope,
        frames=options.frames,
    )
    figures = {"model": manifest.name, **asdict(made)}
    if options.json:
        levels = {} if choice is None else {"level": asdict(choice)}
        print(json.dumps({**figures, "shares": made.shares, **levels}, indent=2))
        return 0
    for name, value in figures.items():
        print(f"{name:24} {'none' if value is None else value}")
    print("shares of alpha")
    for event, share in made.shares.items():
        print(f"  {event:21} {share:g}")
    print(f"  {'together':21} {math.fsum(made.shares.values()):g}")
    if options.frames > 1:
        print(f"  {f'in {options.frames} frames':21} {options.frames * made.alpha:g}")
    if choice is not None:
        print(_table(choice))
    if made.reason:
        print(made.reason)
    return 0


def _table(choice: Choice) -> str:
    """A line a level, the one taken marked, and why."""
    lines = ["  sigma   least samples   width   SROCC"]
    for level in choice.levels:
        mark = "*" if level.sigma == choice.sigma else " "
        least = "none" if level.least_samples is None else str(level.least_samples)
        width = "-" if level.width is None else f"{level.width:.2f}"
        srocc = "-" if level.srocc is None else f"{level.srocc:.3f}"
        lines.append(f"{mark} {level.sigma:<5g}   {least:>13}   {width:>5}   {srocc:>5}")
    return "\n".join((*lines, f"* {choice.why}"))
