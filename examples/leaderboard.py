"""Which places of a leaderboard are certain, and which are ties?

    python examples/leaderboard.py x264.mp4 x265.mp4 av1.mp4
    python examples/leaderboard.py codec-a/ codec-b/ codec-c/ --subsample 5    # folders of clips of the same names

Every entry is a file, or a folder of files pooled into one mean over all frames. Entries are put in order by a few
samples, which certifies nothing, and then compared pair by pair with ``Certifier.compare``, neighbours first, leaving
out what follows from answers that are in. α is split over all K(K−1)/2 pairs, so that with probability ≥ 1−α every
"certainly above" is right at once, whatever was done within ε to each frame of each entry. The place of an entry is
1 + the number certainly above it, up to K − the number certainly below it: one number is a certified place, a range is
a tie.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
from tqdm import tqdm

from runtime import BiqaError, Certifier, FileFrames, Frame, ParameterError

ROUGH = 16
"""Samples a frame for the first order."""


class Entry:
    """The frames of a file, or of all files of a folder in the order of their names."""

    def __init__(self, path: Path, subsample: int) -> None:
        self.path = path
        self.files = sorted(path.iterdir()) if path.is_dir() else [path]
        self._clips = [FileFrames(file, subsample=subsample) for file in self.files]

    def __len__(self) -> int:
        return sum(map(len, self._clips))

    def __iter__(self) -> Iterator[Frame]:
        return chain.from_iterable(self._clips)


def read_entries(paths: Sequence[Path], subsample: int) -> list[Entry]:
    """Raises ParameterError for fewer than two, and for folders whose files have different names."""
    if len(paths) < 2:
        raise ParameterError("a leaderboard takes two entries or more")
    entries = [Entry(path, subsample) for path in paths]
    folders = [entry for entry in entries if entry.path.is_dir()]
    for entry in folders:
        if [file.name for file in entry.files] != [file.name for file in folders[0].files]:
            raise ParameterError(f"{entry.path} and {folders[0].path} hold files of different names")
    return entries


def rough_score(entry: Entry, model: Path | None) -> float:
    """The mean of the frames' medians of a few samples."""
    with Certifier(model, samples=ROUGH) as certifier:
        return float(np.mean([certificate.score for certificate in certifier.stream(entry)]))


def certain_order(entries: Sequence[Entry], certifier: Certifier) -> list[list[bool]]:
    """[i][j]: entry i certainly scores higher than entry j. ``entries``: best first, as far as is known."""
    count = len(entries)
    above = [[False] * count for _ in range(count)]
    pairs = sorted(((i, j) for i in range(count) for j in range(i + 1, count)), key=lambda pair: pair[1] - pair[0])
    for i, j in tqdm(pairs, "comparing", disable=None):
        if above[i][j] or above[j][i]:
            continue
        answer = certifier.compare(entries[i], entries[j])
        if answer.decision == "undecided":
            continue
        better, worse = (i, j) if answer.decision == "a" else (j, i)
        uppers = [better, *(k for k in range(count) if above[k][better])]
        lowers = [worse, *(k for k in range(count) if above[worse][k])]
        for up in uppers:
            for low in lowers:
                above[up][low] = True
    return above


@dataclass(frozen=True)
class Place:
    """Of an entry: ``first`` to ``last``, a tie where they differ. ``score``: a rough one, which nothing certifies."""

    first: int
    last: int
    score: float
    path: Path

    def __str__(self) -> str:
        return f"{self.first}" if self.first == self.last else f"{self.first}–{self.last}"


def places(
    paths: Sequence[Path],
    *,
    model: Path | None = None,
    epsilon: float | None = None,
    alpha: float = 1e-3,
    samples: int | None = None,
    subsample: int = 1,
) -> list[Place]:
    """The places of files, or of folders of files, the best first. ``alpha``: the error of all of them together.

    Raises what ``Certifier`` raises.
    """
    entries = read_entries(paths, subsample)
    share = alpha / (len(entries) * (len(entries) - 1) / 2)
    with Certifier(model, epsilon=epsilon, alpha=share, samples=samples) as certifier:
        scores = {entry.path: rough_score(entry, model) for entry in entries}
        entries.sort(key=lambda entry: -scores[entry.path])
        above = certain_order(entries, certifier)
        higher_is_better = certifier.higher_is_better
    count, made = len(entries), []
    for i, entry in enumerate(entries):
        better, worse = sum(above[k][i] for k in range(count)), sum(above[i])
        ends = (1 + better, count - worse) if higher_is_better else (1 + worse, count - better)
        made.append(Place(*ends, scores[entry.path], entry.path))
    return sorted(made, key=lambda place: (place.first, place.last))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", type=Path, nargs="+", help="files, or folders of files of the same names")
    parser.add_argument("--model", type=Path, help="bundle; default: the one that ships")
    parser.add_argument("--epsilon", type=float)
    parser.add_argument("--alpha", type=float, default=1e-3, help="error of the whole table; default 0.001")
    parser.add_argument("--samples", type=int)
    parser.add_argument("--subsample", type=int, default=1, metavar="N", help="certify every N-th frame; default: all")
    options = vars(parser.parse_args())
    try:
        made = places(options.pop("entries"), **options)
    except (BiqaError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{'place':>7} {'score':>8}  entry")
    for place in made:
        tie = "" if place.first == place.last else "  (tie)"
        print(f"{place!s:>7} {place.score:>8.2f}  {place.path}{tie}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
