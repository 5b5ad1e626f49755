"""``plan``: what an ε and an α take, before any frame is scored."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from typing import Any

from ..bounds.alpha import SCOPES, equal_share
from ..bundle.store import open_bundle
from ..results.plan import plan

_EXAMPLES = """examples:
  biqa plan --epsilon 0.1
  biqa plan --epsilon 0.5 --alpha 1e-4 --scope reported --frames 300

least_samples is the answer: the fewest noisy copies of a frame that bound its score. alpha is the share of each frame;
below it stand the events that spend it. Where --samples is too small, a last line says so.

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
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    manifest = open_bundle(options.model).manifest
    defaults, contract = manifest.defaults, manifest.input
    alpha = defaults.alpha if options.alpha is None else options.alpha
    made = plan(
        defaults.epsilon if options.epsilon is None else options.epsilon,
        equal_share(alpha, options.frames),
        sigma=contract.sigma,
        downscale=contract.downscale,
        samples=defaults.samples if options.samples is None else options.samples,
        scope=options.scope,
    )
    figures = {"model": manifest.name, "frames": options.frames, **asdict(made)}
    if options.json:
        print(json.dumps({**figures, "shares": made.shares}, indent=2))
        return 0
    for name, value in figures.items():
        print(f"{name:15} {'none' if value is None else value}")
    print("shares of alpha")
    for event, share in made.shares.items():
        print(f"  {event:21} {share:g}")
    print(f"  {'together':21} {math.fsum(made.shares.values()):g}")
    if options.frames > 1:
        print(f"  {f'in {options.frames} frames':21} {options.frames * made.alpha:g}")
    if made.reason:
        print(made.reason)
    return 0
