"""How a command ends: its exit status, and one line on standard error where something went wrong."""

from __future__ import annotations

import argparse
import io
import os
import re
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress

from ..errors import BiqaError

_NEWLINE = re.compile(r"[\r\n]")
_INTERRUPTED = "interrupted: no half-written file is left"


def answered(options: argparse.Namespace, interrupted: Callable[[], str] = lambda: _INTERRUPTED) -> int:
    """Call ``options.run`` with the options. ``interrupted``: what to say at Ctrl-C.

    Exit status 0 done, 1 a negative finding, 2 an error in one line, 3 undecided, 4 some files failed and the others
    are written, 130 interrupted. A defect of this program is an error too, after its traceback: 1 is a verdict and
    never anything else.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        status: int = options.run(options)
        sys.stdout.flush()
    except BiqaError as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print(interrupted(), file=sys.stderr)
        return 130
    except BrokenPipeError:  # whoever reads the output has had enough
        _drop_output()
        return 2
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        return _failed(f"{where}{error.strerror or error}")
    except MemoryError:
        return _failed("not enough memory: take smaller frames or smaller batches")
    except (OverflowError, struct.error) as error:
        return _failed(f"a number is too large ({error}): use fewer --samples, or look at the other numbers given")
    except Exception as error:
        with suppress(OSError):
            traceback.print_exc()
        return _failed(f"{type(error).__name__}, a defect of this program: report it with the lines above")
    return status


def _failed(message: str) -> int:
    with suppress(OSError):
        print(f"error: {' '.join(message.split()) if _NEWLINE.search(message) else message}", file=sys.stderr)
    _drop_output()
    return 2


def _drop_output() -> None:
    """Where standard output takes no more, let nothing try again as the interpreter ends."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, sys.stdout.fileno())
            os.close(null)
