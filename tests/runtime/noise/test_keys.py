"""keys.py: the key depends on all that the engine sees and on nothing else, and the record does not give it away."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from runtime import Certifier
from runtime.errors import ParameterError
from runtime.frames.lattice import to_lattice
from runtime.noise.keys import NoiseSource, read_secret
from tests.support.clips import photograph

FRAME = photograph()[:33, :47]
PICTURE = to_lattice(FRAME, downscale=2)
DIGEST = "ab" * 32
SOURCE = NoiseSource(bytes(range(32)))
KEY = SOURCE.key(PICTURE, DIGEST, 0.12, 100)


def test_every_part_enters() -> None:
    changed = PICTURE.values.copy()
    changed[0, 0, 0] += 1
    shape = replace(PICTURE, values=PICTURE.values.reshape(3, PICTURE.width, PICTURE.height))
    others = [
        NoiseSource(bytes(32)).key(PICTURE, DIGEST, 0.12, 100),
        SOURCE.key(replace(PICTURE, values=changed), DIGEST, 0.12, 100),
        SOURCE.key(shape, DIGEST, 0.12, 100),
        SOURCE.key(replace(PICTURE, bit_depth=10), DIGEST, 0.12, 100),
        SOURCE.key(replace(PICTURE, downscale=1), DIGEST, 0.12, 100),
        SOURCE.key(PICTURE, "cd" * 32, 0.12, 100),
        SOURCE.key(PICTURE, DIGEST, np.nextafter(0.12, 1), 100),
        SOURCE.key(PICTURE, DIGEST, 0.12, 101),
    ]
    assert len({KEY, *others}) == 1 + len(others)
    assert len(KEY) == 16


def test_what_the_engine_does_not_see_rolls_no_dice() -> None:
    """A cropped row and the container's type are free to change: a key that followed them could be ground for."""
    cropped = FRAME.copy()
    cropped[32:] = 0
    assert SOURCE.key(to_lattice(cropped, downscale=2), DIGEST, 0.12, 100) == KEY
    wide = to_lattice(FRAME.astype(np.uint16), downscale=2, bit_depth=8)
    assert SOURCE.key(wide, DIGEST, 0.12, 100) == KEY


def test_clip_key_is_of_all_frames_in_order() -> None:
    """Also of one that comes last: nobody can choose it after seeing what the noise did to the first."""
    keys = [SOURCE.key(PICTURE, DIGEST, 0.12, samples) for samples in (100, 101, 102)]
    first, second, third = keys
    clips = [keys, [first, second], [first, third, second], [first, second, first], [second, third], [first]]
    made = {SOURCE.clip_key(clip) for clip in clips} | {NoiseSource(bytes(32)).clip_key(keys)}
    assert len(made | set(keys)) == len(clips) + 1 + 3
    assert SOURCE.clip_key(keys) == SOURCE.clip_key(tuple(keys))
    assert all(len(key) == 16 for key in made)


@pytest.mark.parametrize("length", [16, 64, 65, 128])
def test_the_commitment_is_no_key(length: int) -> None:
    """HMAC hashes a key longer than its block: SHA-256(secret) would then be the key itself."""
    source = NoiseSource(bytes(range(length)))
    assert source.commitment is not None
    published = NoiseSource(bytes.fromhex(source.commitment))
    assert published.key(PICTURE, DIGEST, 0.12, 100) != source.key(PICTURE, DIGEST, 0.12, 100)


def test_record_commits_and_keeps_the_secret() -> None:
    secret = b"0123456789abcdef" * 5
    certifier = Certifier(sampler=lambda x: x.mean((1, 2, 3)), sigma=0.12, samples=20, secret=secret)
    text = repr(certifier.certify(FRAME).to_dict())
    assert NoiseSource(secret).commitment in text
    assert secret.hex() not in text
    assert secret.decode() not in text


@pytest.mark.parametrize("length", [16, 4096])
def test_secret_file(length: int, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(length))
    assert read_secret(tmp_path / "secret") == bytes(length)


@pytest.mark.parametrize("length", [15, 4097])
def test_secret_file_of_no_fit_length(length: int, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(length))
    with pytest.raises(ParameterError, match="head -c 32"):
        read_secret(tmp_path / "secret")


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
def test_devices_and_pipes_are_no_secret_file(tmp_path: Path) -> None:
    """The one never ends and the other is read once: a FIFO that nobody writes to would wait for ever."""
    os.mkfifo(tmp_path / "fifo")
    for path in (Path("/dev/urandom"), tmp_path / "fifo", tmp_path):
        with pytest.raises(ParameterError, match="not a regular file"):
            read_secret(path)
