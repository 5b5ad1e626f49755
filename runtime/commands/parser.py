"""The parser of every command line: a wrong word gets one line, never the whole usage."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, NoReturn

CONSOLE_SCRIPT = "biqa"


class Parser(argparse.ArgumentParser):
    """An ``ArgumentParser`` whose mistakes are one ``error:`` line and exit status 2. Its subparsers are too."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.register("type", int, _whole)
        self.register("type", float, _number)

    def error(self, message: str) -> NoReturn:
        """End with the message and where the options are listed."""
        self.exit(2, f"error: {' '.join(message.split())}; {self.prog} --help lists the options\n")


def program(package: str, command: str = "") -> str:
    """How this process was started, for usage lines: ``biqa`` and the command, or ``python -m package``."""
    if Path(sys.argv[0]).stem == CONSOLE_SCRIPT:
        return f"{CONSOLE_SCRIPT} {command}".rstrip()
    return f"python -m {package}"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
