"""What a job asks for: it goes to every actor, which opens its certifier and its files by it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bindings.session import open_certifier
from runtime import Certifier, FileFrames, ParameterError, __version__


@dataclass(frozen=True)
class Job:
    """``claims``: arguments of ``Certifier``: model, epsilon, alpha, samples, …; not those of noise.

    ``secret_file``: its path, on every node: the secret itself is never sent. ``public_seed``: for tests.
    ``reading``: arguments of ``FileFrames``: matrix, range, background, stream. ``bound``: as for
    ``Certifier.certify_file``. Raises ParameterError where neither noise is given, or what needs a whole clip at once.
    """

    claims: Mapping[str, Any] = field(default_factory=dict)
    secret_file: str | None = None
    public_seed: int | None = None
    subsample: int = 1
    bound: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.secret_file is None and self.public_seed is None:
            raise ParameterError("actors share one secret: give --secret-file, a path that every node can read")
        if self.claims.get("share_noise"):
            raise ParameterError("frames that share their noise are read all at once: certify such a clip with biqa")

    def certifier(self) -> Certifier:
        """Opened here: one thread, unless ``claims`` say otherwise."""
        given = {"threads": 1, **self.claims}
        return open_certifier(secret_file=self.secret_file, public_seed=self.public_seed, **given)

    def frames(self, path: str) -> FileFrames:
        """Of a file."""
        return FileFrames(path, subsample=self.subsample, **self.reading)

    def digest(self) -> str:
        """Of all that scores depend on, the secret by its commitment."""
        with self.certifier() as certifier:
            parts = {
                **asdict(self),
                "secret_file": None,
                "claims": {name: value for name, value in self.claims.items() if name not in ("model", "threads")},
                "model": certifier.sampler.digest,
                "engine": dict(certifier.sampler.engine),
                "samples": certifier.samples,
                "secret_sha256": certifier.noise.commitment,
                "version": __version__,
            }
        return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def content_sha256(path: str) -> str:
    """Of a file's bytes. Raises OSError."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
