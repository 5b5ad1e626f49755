"""The command line, one command a module: ``add(subparsers)`` declares it, ``run(options)`` does it."""

from __future__ import annotations

from .certify import final_line, table
from .exits import answered
from .options import add_claim_options, add_log_options, add_model_options, open_certifier
from .outputs import check_outputs, write_outputs
from .parser import Parser
from .progress import progress_bar

__all__ = [
    "Parser",
    "add_claim_options",
    "add_log_options",
    "add_model_options",
    "answered",
    "check_outputs",
    "final_line",
    "open_certifier",
    "progress_bar",
    "table",
    "write_outputs",
]
