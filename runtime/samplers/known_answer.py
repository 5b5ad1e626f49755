"""At opening: does this engine on this machine compute what was certified? A test with a known answer.

    Philox     blocks of the generator against those that its authors publish (Random123, kat_vectors)
    table      SHA-256 of the noise table of the manifest's σ against the manifest
    noise      SHA-256 of what is drawn from it against the manifest
    scores     two noisy copies of one tiny frame, by the opened engine itself, within the manifest's tolerance

The frame is a saw of code values, its key is public and no other frame's. The table depends on σ alone, so a manifest
that states another σ than the graph was built for is found as well, and so are variants that were swapped. Whoever
rewrites all of a manifest rewrites this with it: against that stands a signature (bundle/signature.py).
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from ..bundle.manifest import GRAPHS, InputContract, KnownAnswer
from ..bundle.store import Bundle
from ..errors import BundleError, ModelError
from ..frames.lattice import Lattice, to_lattice
from ..noise.draw import draw_noise, philox4x64
from ..noise.table import NoiseTable, table_for
from . import Sampler

KEY = hashlib.sha256(b"stochastic-biqa known answer").digest()[:16]
COUNT = 2
SIDE = 32
LARGEST = 2**18
"""Values of one channel: a graph of a fixed larger size has no known answer."""

_PHILOX = (0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B)
"""Philox4x64-10 of counter 0 and key 0."""


def known_lattice(contract: InputContract) -> Lattice | None:
    """The tiny frame on the engine's lattice; None where the graph's only size is large."""
    height = contract.height or max(contract.minimum_height, SIDE)
    width = contract.width or max(contract.minimum_width, SIDE)
    if height * width > LARGEST:
        return None
    k = contract.downscale
    y, x, c = np.ogrid[: height * k, : width * k, :3]
    return to_lattice(((7 * x + 13 * y + 85 * c) % 256).astype(np.uint8), downscale=k)


def noisy_copies(contract: InputContract, lattice: Lattice) -> NDArray[np.float32]:
    """float32 COUNT×3×h×w of integers: what the engine scores."""
    noisy = np.empty((COUNT, 3, lattice.height, lattice.width), np.float32)
    draw_noise(table_for(contract.sigma, lattice), KEY, 0, noisy)
    noisy += lattice.values
    return noisy


def table_sha256(table: NoiseTable) -> str:
    """Of its cells, of how many are whole, and of the residual law, all little-endian."""
    digest = hashlib.sha256(table.cells.astype("<i4").tobytes() + table.whole.to_bytes(8, "little"))
    digest.update(table.residual_values.astype("<i4").tobytes() + table.residual_upper.astype("<u8").tobytes())
    return digest.hexdigest()


def noise_sha256(noisy: NDArray[np.float32]) -> str:
    """Of noisy copies as little-endian int32."""
    return hashlib.sha256(noisy.astype("<i4").tobytes()).hexdigest()


def check_known_answer(sampler: Sampler, bundle: Bundle, precision: str) -> bool:
    """False where the bundle has none. Raises BundleError or ModelError where something else comes out."""
    known = bundle.manifest.known_answers.get(bundle.manifest.files[GRAPHS[precision]].sha256)
    if known is None:
        return False
    contract, where = bundle.manifest.input, f"{bundle.path}: {GRAPHS[precision]}"
    lattice = known_lattice(contract)
    if known.graph != GRAPHS[precision] or known.sigma != contract.sigma or lattice is None:
        raise BundleError(
            f"{where} was built as {known.graph} for sigma {known.sigma:g}, and the manifest states "
            f"{GRAPHS[precision]} at sigma {contract.sigma:g}: it was altered; fetch or build the bundle again"
        )
    zero = np.zeros(1, np.uint64)
    blocks = tuple(int(word[0]) for word in philox4x64(zero, zero, 0, np.zeros(2, np.uint64)))
    noisy = noisy_copies(contract, lattice)
    table = table_for(contract.sigma, lattice)
    for right, what in (
        (blocks == _PHILOX, "the generator's blocks are not those of Philox4x64-10"),
        (table_sha256(table) == known.table_sha256, f"the noise table is not that of sigma {known.sigma:g}"),
        (noise_sha256(noisy) == known.noise_sha256, "the noise that is drawn is not that of the bundle"),
    ):
        if not right:
            raise ModelError(
                f"{where}: {what}: nothing is certified. Install stochastic-biqa and NumPy again, or build the bundle "
                "again"
            )
    scores = sampler.scores(lattice, KEY, 0, COUNT).reshape(-1)
    if not _same(scores, known):
        raise ModelError(
            f"{where}: this engine scores a known frame {scores.tolist()}, and the bundle's answer is "
            f"{list(known.scores)} within {known.tolerance:g}: nothing is certified. Check the versions of ONNX "
            "Runtime, driver and TensorRT (`biqa doctor --all`), compile plans again, or try another machine"
        )
    return True


def _same(scores: NDArray[np.float32], known: KnownAnswer) -> bool:
    wanted = np.array(known.scores)
    return scores.shape == wanted.shape and bool(np.all(np.abs(scores - wanted) <= known.tolerance))
