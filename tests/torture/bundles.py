"""Bundles made to do harm: those of ``tests/attacks``, and graphs with random bytes changed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from runtime import BiqaError, BundleError, Certifier
from runtime.bundle.graphs import check_graph
from runtime.bundle.store import open_bundle
from tests.attacks import containers, graphs
from tests.support.tiny import graph

from .case import SAFE, Case

FRAME = np.full((32, 32, 3), 100, np.uint8)


def false_bundles(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """Each attack on the container in turn, from a random one on."""
    names = list(containers.ATTACKS)
    first = int(rng.integers(len(names)))
    for index in range(tries):
        name = names[(first + index) % len(names)]
        with tempfile.TemporaryDirectory() as folder:
            path = containers.ATTACKS[name][0](Path(folder))
            try:
                open_bundle(path).verify()
                with Certifier(path, public_seed=1, samples=16) as certifier:
                    certifier.certify(FRAME)
            except BiqaError:
                yield SAFE
            except Exception as error:
                yield f"{name}: {type(error).__name__}"
            else:
                yield f"{name}: certified"


def false_graphs(tries: int, rng: np.random.Generator) -> Iterator[str]:
    """Each forbidden graph in turn, then whole ones with bytes changed: refused, or read to the end."""
    names = list(graphs.FORBIDDEN)
    honest = graph()
    for index in range(tries):
        if index < len(names):
            data, forbidden = graphs.FORBIDDEN[names[index]][0](), names[index]
        else:
            damaged = np.frombuffer(honest, np.uint8).copy()
            places = rng.integers(len(damaged), size=int(rng.integers(1, 6)))
            damaged[places] = rng.integers(256, size=len(places))
            data, forbidden = damaged[: rng.integers(1, len(damaged) + 1)].tobytes(), ""
        try:
            check_graph(data)
        except BundleError:
            yield SAFE
        except Exception as error:
            yield f"{forbidden or 'damaged graph'}: {type(error).__name__}"
        else:
            yield f"{forbidden}: opened" if forbidden else SAFE


CASES = [Case("bundles made to do harm", 3 * len(containers.ATTACKS), 3, false_bundles)]
CASES += [Case("graphs made to do harm", 20_000, 100, false_graphs)]
