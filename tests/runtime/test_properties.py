"""A certificate is the same whichever way its samples were drawn. Drawn by hypothesis with a fixed seed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from runtime import CallableSampler, Certifier
from runtime.frames.lattice import sigma_in_steps
from runtime.noise.draw import draw_noise, fill_numpy, key_words
from runtime.noise.table import noise_table
from tests.support.properties import steady


def roughness(copies: np.ndarray) -> np.ndarray:
    return 100 * np.tanh(np.abs(np.diff(copies, axis=3)).mean(axis=(1, 2, 3)))


@given(st.integers(0, 2**32 - 1), st.integers(1, 33), st.integers(1, 33), st.integers(15, 60), st.integers(0, 1000))
@steady
def test_batches_change_nothing(seed: int, batch: int, other: int, samples: int, public_seed: int) -> None:
    frame = np.random.default_rng(seed).integers(0, 256, (9, 11, 3)).astype(np.uint8)
    found = []
    for size in (batch, other):
        sampler = CallableSampler(roughness, 0.12, batch=size)
        with Certifier(sampler=sampler, samples=samples, public_seed=public_seed) as certifier:
            found.append(certifier.certify(frame))
    assert np.array_equal(found[0].scores, found[1].scores)
    assert (found[0].lower, found[0].upper, found[0].score) == (found[1].lower, found[1].upper, found[1].score)


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**40), st.integers(1, 5), st.integers(1, 700))
@steady
def test_noise_is_addressed_by_sample_and_pixel(key: bytes, start: int, samples: int, pixels: int) -> None:
    """Drawn together, one by one, compiled or in NumPy: the same integers."""
    table = noise_table(sigma_in_steps(0.12, 8, 1))
    together = np.empty((samples, 3, 1, pixels), np.int32)
    draw_noise(table, key, start, together)
    in_numpy = np.empty((samples, 3 * pixels), np.int32)
    fill_numpy(table, key_words(key), start, in_numpy, None)
    assert np.array_equal(in_numpy, together.reshape(samples, -1))
    for index in range(samples):
        alone = np.empty((1, 3, 1, pixels), np.int32)
        draw_noise(table, key, start + index, alone)
        assert np.array_equal(alone[0], together[index])
