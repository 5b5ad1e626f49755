"""The noise key of a frame: what an attacker cannot predict and an auditor can replay.

    key = HMAC-SHA256(secret, domain ‖ lattice ‖ model digest ‖ σ ‖ n) truncated to 128 bits

Every field is preceded by its length, so that no two different inputs give the same message. Without the
secret the key of a frame is unpredictable, so an attacker cannot fit a frame to its noise; with it, the
same frame, model, σ and n give the same noise again. The lattice stands for the frame because it is all that the
engine sees: what does not reach the engine, a cropped row say, does not roll the dice again.

The frames of a clip may share one key (``share_noise``), made of the keys k₁ … k_M that they would have alone:

    key = HMAC-SHA256(secret, clip domain ‖ k₁ ‖ … ‖ k_M) truncated to 128 bits

Every pixel of every frame enters it, so it is not known, and no score of any frame is, before the last frame is fixed:
whoever learns from a score and alters a later frame has another clip, and with it other noise in all frames. The noise
is then independent of all frames, and each frame's certificate holds by itself as it does with noise of its own; claims
about all of them hold by the union bound, which asks for no independence between frames. A key without the frames in
it, the secret alone or the frames up to now, would not do: scores of the first frames tell about noise that the next
ones would meet again.

The record commits to the secret by SHA-256(domain ‖ secret). Not by SHA-256(secret): HMAC replaces a key longer
than its block of 64 bytes by just that, which would publish the key.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import stat
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ParameterError
from ..frames.lattice import Lattice
from .draw import KEY_BYTES

LEAST_SECRET = 16
"""Bytes: a shorter secret could be found from its published SHA-256 by trying."""

MOST_SECRET = 4096
"""Bytes: a larger secret file is surely another file."""

_ROWS = 256  # hashed at a time
_DOMAIN = b"stochastic-biqa noise 2"
_CLIP_DOMAIN = b"stochastic-biqa clip noise 1"
_COMMITMENT = b"stochastic-biqa commitment 1"


@dataclass(frozen=True, eq=False)
class NoiseSource:
    """A secret, or a public seed for tests. The secret is kept out of ``repr``, and nothing pickles it."""

    secret: bytes
    public_seed: int | None = None

    def __reduce__(self) -> Any:
        raise ParameterError("a secret is not pickled: send the name of its file, and read it in each process")

    def __repr__(self) -> str:
        return f"NoiseSource({self.kind})"

    @property
    def kind(self) -> str:
        """ "secret" or "public seed", as the record says."""
        return "secret" if self.public_seed is None else "public seed"

    @property
    def commitment(self) -> str | None:
        """SHA-256 (hex) of a domain string and the secret; None for a public seed."""
        return hashlib.sha256(_COMMITMENT + self.secret).hexdigest() if self.public_seed is None else None

    def commits_to(self, commitment: str) -> bool:
        """Whether this is the commitment to the secret; in the same time whatever it is."""
        return self.commitment is not None and hmac.compare_digest(self.commitment.encode(), commitment.encode())

    def key(self, lattice: Lattice, digest: str, sigma: float, samples: int) -> bytes:
        """The 16-byte noise key of a frame on the engine's lattice, its values as little-endian int32."""
        fields = (
            _DOMAIN,
            struct.pack("<QQQQ", lattice.height, lattice.width, lattice.bit_depth, lattice.downscale),
            bytes.fromhex(digest),
            struct.pack("<dQ", sigma, samples),
        )
        mac = self._mac(fields)
        mac.update(struct.pack("<Q", 4 * lattice.values.size))
        _hash_values(mac, lattice)
        return mac.digest()[:KEY_BYTES]

    def clip_key(self, frames: Sequence[bytes]) -> bytes:
        """The 16-byte key that all frames of a clip share, from the keys that each would have alone, in order."""
        return self._mac((_CLIP_DOMAIN, *frames)).digest()[:KEY_BYTES]

    def _mac(self, parts: Iterable[bytes]) -> hmac.HMAC:
        """Of every part, preceded by its length."""
        mac = hmac.new(self.secret, digestmod=hashlib.sha256)
        for part in parts:
            mac.update(struct.pack("<Q", len(part)))
            mac.update(part)
        return mac


@dataclass(frozen=True)
class ClipNoise:
    """``key``: the one that all frames of a clip share. ``frames``: the one that each would have alone."""

    key: bytes
    frames: tuple[bytes, ...]


def lattice_sha256(lattice: Lattice) -> str:
    """SHA-256 (hex) of all that a lattice puts into its key: two frames with the same one draw the same noise."""
    shape = struct.pack("<QQQQ", lattice.height, lattice.width, lattice.bit_depth, lattice.downscale)
    digest = hashlib.sha256(shape)
    _hash_values(digest, lattice)
    return digest.hexdigest()


def _hash_values(digest: Any, lattice: Lattice) -> None:
    """The values as little-endian int32, some rows at a time: a large frame is not copied."""
    for plane in lattice.values:
        for top in range(0, lattice.height, _ROWS):
            digest.update(plane[top : top + _ROWS].astype("<i4", copy=False).data.cast("B"))


def frame_sha256(frame: NDArray[np.unsignedinteger]) -> str:
    """SHA-256 (hex) of a frame's code values, little-endian, row by row."""
    return hashlib.sha256(np.ascontiguousarray(frame, frame.dtype.newbyteorder("<")).data.cast("B")).hexdigest()


@cache
def _process_secret() -> bytes:
    return os.urandom(32)


def noise_source(secret: bytes | None = None, public_seed: int | None = None) -> NoiseSource:
    """The source for a given secret, a public seed, or (default) a secret drawn once a process.

    Raises ParameterError for both at once, or for a secret shorter than 16 bytes.
    """
    if public_seed is not None:
        if secret is not None:
            raise ParameterError("give a secret or a public seed, not both")
        return NoiseSource(b"public seed " + str(int(public_seed)).encode(), int(public_seed))
    if secret is None:
        return NoiseSource(_process_secret())
    if not isinstance(secret, (bytes, bytearray)) or len(secret) < LEAST_SECRET:
        raise ParameterError(
            f"a secret is at least {LEAST_SECRET} random bytes, e.g. os.urandom(32), or a file made by "
            "`head -c 32 /dev/urandom > secret`"
        )
    return NoiseSource(bytes(secret))


def read_secret(path: Path) -> bytes:
    """The bytes of a secret file. Raises ParameterError if it is missing, too short, too long or no regular file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ParameterError(
                f"the secret file {path} is not a regular file, and a device, a pipe or `<(command)` cannot be read "
                "again to replay: make a file with `head -c 32 /dev/urandom > secret`"
            )
        with path.open("rb") as file:
            secret = file.read(MOST_SECRET + 1)
    except OSError as error:
        raise ParameterError(f"the secret file {path} cannot be read: {error.strerror}") from None
    if len(secret) > MOST_SECRET:
        raise ParameterError(
            f"the secret file {path} has more than {MOST_SECRET} bytes: is it the right one? "
            "Make one with `head -c 32 /dev/urandom > secret`"
        )
    return noise_source(secret).secret
