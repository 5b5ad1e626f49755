"""``sign``: say who made a bundle."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..bundle.signature import new_key, sign_bundle
from ..errors import ParameterError


def add(subparsers: Any) -> None:
    parser = subparsers.add_parser(
        "sign",
        help="sign a bundle, or make a key",
        description="Sign a bundle in place, or make a key. Prints the public key, which --trusted-key takes.",
        epilog="examples:\n  biqa sign --new-key my.key\n  biqa sign mine-bundle --key my.key\n"
        "  biqa certify photo.png --model mine-bundle --trusted-key my.key.pub",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("bundle", type=Path, nargs="?", help="directory or .zip, signed in place")
    parser.add_argument("--key", type=Path, metavar="KEY", help="the private key that signs, PEM")
    parser.add_argument("--new-key", type=Path, metavar="KEY", help="make a key: KEY to keep, KEY.pub to hand out")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if (options.new_key is None) == (options.bundle is None) or (options.bundle is None) != (options.key is None):
        raise ParameterError("give a bundle and its --key, or --new-key alone: biqa sign BUNDLE --key KEY")
    print(sign_bundle(options.bundle, options.key) if options.bundle else new_key(options.new_key))
    return 0
