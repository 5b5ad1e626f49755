"""The secret of a round of a public benchmark: committed to before it, opened after it.

Before:  ``biqa commit round.json --secret-file secret`` draws the secret and publishes SHA-256(domain ‖ secret).
During:  every submission is certified under the secret, ``--secret-file secret``; each record names the commitment.
After:   the secret is published. ``biqa audit --round round.json`` then checks that it is the one committed to, that
         every record was made under it, and adds the errors of all submissions (union bound).

Whoever runs the round cannot choose among secrets after he saw scores, and who submits cannot know the noise before.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..atomic import write_text
from ..errors import ParameterError, RecordError
from ..noise.keys import noise_source
from ..version import __version__

KIND = "biqa round 1"
MOST_BYTES = 1 << 16
SECRET_BYTES = 32


@dataclass(frozen=True)
class Round:
    """``name``: of the round. ``commitment``: SHA-256 (hex) that its records name as ``secret_sha256``."""

    name: str
    commitment: str


def write_round(path: Path, secret_file: Path, name: str) -> Round:
    """Draw a secret into a new file that only its owner reads, and write the commitment to it, to be published.

    Raises ParameterError where one of the two exists: a round has a secret of its own.
    """
    for place in (path, secret_file):
        if place.exists() or place.is_symlink():
            raise ParameterError(f"{place} exists: a round has a secret of its own, give another name")
    secret = os.urandom(SECRET_BYTES)
    try:
        handle = os.open(secret_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(handle)
    except OSError as error:
        raise ParameterError(f"{secret_file} cannot be written: {error.strerror}: choose another place") from None
    commitment = noise_source(secret).commitment
    assert commitment is not None
    made = Round(name, commitment)
    text = {"kind": KIND, "version": __version__, "name": name, "secret_sha256": commitment}
    try:
        write_text(path, json.dumps(text, indent=2) + "\n")
    except ParameterError:
        secret_file.unlink()
        raise
    return made


def read_round(path: Path) -> Round:
    """A file of :func:`write_round`. Raises RecordError for anything else."""
    if path.exists() and not path.is_file():
        raise RecordError(f"the round {path} cannot be read: it is not a regular file")
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        found = json.loads(data) if len(data) <= MOST_BYTES else None
    except OSError as error:
        raise RecordError(f"the round {path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        found = None
    keys = {"kind", "version", "name", "secret_sha256"}
    if not (isinstance(found, dict) and set(found) == keys and all(isinstance(v, str) for v in found.values())):
        raise RecordError(f"{path} is not a round of `biqa commit`")
    commitment = found["secret_sha256"]
    if found["kind"] != KIND or len(commitment) != 64 or not set(commitment) <= set("0123456789abcdef"):
        raise RecordError(f"{path} is not a round of `biqa commit` that this version reads")
    return Round(found["name"], commitment)


def joint_over(alphas: Iterable[float]) -> float:
    """The error of all submissions together: the union bound, 1 at most."""
    return min(1.0, math.fsum(alphas))
