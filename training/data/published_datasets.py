"""Opinion-score datasets in the folders their authors publish, read as photographs with scores 0 bad … 1 good.

========== =================================================== ============================ =======================
dataset    scores                                              pictures                     score
========== =================================================== ============================ =======================
koniq10k   koniq10k_distributions_sets.csv                     1024x768/, else 512x384/     z-scored MOS, 1 … 100
kadid10k   dmos.csv                                            images/                      "dmos", 1 bad … 5 good
clive      Data/AllImages_release.mat, Data/AllMOS_release.mat Images/                      MOS, 0 … 100
spaq       Annotations/MOS and Image attribute scores.xlsx     TestImage/                   MOS, 0 … 100
tid2013    mos_with_names.txt                                  distorted_images/            MOS, 0 … 9
========== =================================================== ============================ =======================

A score is moved to 0 … 1 by the ends of its scale, not by the scores that occur.

**Splits.** KonIQ-10k comes with one (training, validation, test → train, val, test). For the others it is made here and
depends on nothing but a name, so that part of a dataset is split as the whole is: CLIVE and SPAQ by a hash of the file
name, which takes about a fifth for ``val``; KADID-10k and TID2013, which distort each reference picture 125 and 120
times, by the number of the reference, of which every fifth is ``val`` with all that was made from it.

Every reader takes the dataset's folder. It raises TrainingError, naming what was looked for and where, for a file,
column or picture that is missing and a score that is not a number on the scale.
"""

from __future__ import annotations

import hashlib
import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from runtime.errors import DependencyError, TrainingError
from runtime.install import pip_install

from .photographs import Photograph, check_pictures, csv_rows, opinion, read_table

_KONIQ_SPLITS = {"training": "train", "validation": "val", "test": "test"}
_CLIVE_EXAMPLES = 7
"""The first rows of CLIVE are the pictures its observers practised on; they lie in Images/trainingImages."""

_DISTORTED = re.compile(r"i(\d+)_(\d+)_\d+\.\w+", re.IGNORECASE)
"""KADID-10k and TID2013: I<reference>_<type>_<level>."""


def _present(path: Path, dataset: str) -> Path:
    if not path.is_file():
        raise TrainingError(f"{path} is missing: --images is to be the folder of {dataset} as its authors publish it")
    return path


def _split_by_name(name: str) -> str:
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return "train" if number % 5 else "val"


def _distorted(path: Path, mos: float, table: Path) -> Photograph:
    """A picture named I<reference>_<type>_<level>: its subset is the type's number, its split that of the reference."""
    name = _DISTORTED.fullmatch(path.name)
    if name is None:
        raise TrainingError(
            f"{table} names {path.name}: I<reference>_<type>_<level>, such as I01_01_1.bmp, was expected"
        )
    reference, kind = name.groups()
    return Photograph(path, mos, "train" if int(reference) % 5 else "val", kind, reference)


def koniq10k(folder: Path) -> list[Photograph]:
    """KonIQ-10k. The score is the z-scored one, which koniq10k_scores_and_distributions.csv calls MOS_zscore."""
    table = _present(
        folder / "koniq10k_distributions_sets.csv", "KonIQ-10k (this file: metadata/ of github.com/subpic/koniq)"
    )
    sizes = [folder / size for size in ("1024x768", "512x384") if (folder / size).is_dir()]
    if not sizes:
        raise TrainingError(f"the pictures of KonIQ-10k are missing: {folder} has neither 1024x768 nor 512x384")
    photographs = []
    for _, row in csv_rows(table, ("image_name", "MOS", "set")):
        picture = sizes[0] / row["image_name"]
        if row["set"] not in _KONIQ_SPLITS:
            raise TrainingError(f"{table} has {row['set']!r} as set of {picture.name}: use {', '.join(_KONIQ_SPLITS)}")
        photographs.append(Photograph(picture, opinion(row["MOS"], 1, 100, picture), _KONIQ_SPLITS[row["set"]], "all"))
    return check_pictures(photographs, table)


def kadid10k(folder: Path) -> list[Photograph]:
    """KADID-10k. Its "dmos" is an opinion of the degraded picture, higher is better, whatever the name says."""
    table = _present(folder / "dmos.csv", "KADID-10k")
    photographs = []
    for _, row in csv_rows(table, ("dist_img", "dmos")):
        picture = folder / "images" / row["dist_img"]
        photographs.append(_distorted(picture, opinion(row["dmos"], 1, 5, picture), table))
    return check_pictures(photographs, table)


def _mat(table: Path, variable: str) -> list[Any]:
    """The elements of a vector or of a cell vector of a MATLAB file."""
    from numpy import atleast_1d
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    _present(table, "LIVE In the Wild")
    try:
        variables = loadmat(table, squeeze_me=True)
    except (MatReadError, ValueError, TypeError, zlib.error) as error:
        raise TrainingError(f"{table} is not a MATLAB file, or is damaged: {error}") from None
    if variable not in variables:
        raise TrainingError(f"{table} has no variable {variable}: found {sorted(v for v in variables if v[0] != '_')}")
    elements: list[Any] = atleast_1d(variables[variable]).tolist()
    return elements


def clive(folder: Path) -> list[Photograph]:
    """LIVE In the Wild Image Quality Challenge (CLIVE), without the seven pictures its observers practised on."""
    table = folder / "Data" / "AllImages_release.mat"
    names = _mat(table, "AllImages_release")
    scores = _mat(folder / "Data" / "AllMOS_release.mat", "AllMOS_release")
    if len(names) != len(scores):
        raise TrainingError(f"{table} has {len(names)} pictures, AllMOS_release.mat beside it {len(scores)} scores")
    photographs = []
    for name, score in list(zip(names, scores, strict=True))[_CLIVE_EXAMPLES:]:
        picture = folder / "Images" / str(name)
        photographs.append(Photograph(picture, opinion(score, 0, 100, picture), _split_by_name(picture.name), "all"))
    return check_pictures(photographs, table)


def _sheet(table: Path, columns: Sequence[str]) -> list[tuple[Any, ...]]:
    """The named columns of the first sheet of a workbook, a tuple a row; empty rows are left out."""
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise DependencyError(f"openpyxl is not installed: {pip_install('train', 'openpyxl')}") from None
    try:
        book = load_workbook(table, data_only=True)
    except (BadZipFile, KeyError) as error:
        raise TrainingError(f"{table} is not an Excel workbook: {error}") from None
    rows = list(book.worksheets[0].iter_rows(values_only=True))
    header = rows[0] if rows else ()
    missing = [column for column in columns if column not in header]
    if missing:
        raise TrainingError(f"{table} has no column {', '.join(missing)}: found {[c for c in header if c is not None]}")
    wanted = [header.index(column) for column in columns]
    return [tuple(row[i] for i in wanted) for row in rows[1:] if any(cell is not None for cell in row)]


def spaq(folder: Path) -> list[Photograph]:
    """SPAQ, smartphone photographs. Needs openpyxl: raises DependencyError without."""
    table = _present(folder / "Annotations" / "MOS and Image attribute scores.xlsx", "SPAQ")
    photographs = []
    for name, score in _sheet(table, ("Image name", "MOS")):
        picture = folder / "TestImage" / str(name)
        photographs.append(Photograph(picture, opinion(score, 0, 100, picture), _split_by_name(picture.name), "all"))
    return check_pictures(photographs, table)


def tid2013(folder: Path) -> list[Photograph]:
    """TID2013. The case of its file names is not that of the table's, so it is not looked at."""
    table = _present(folder / "mos_with_names.txt", "TID2013")
    pictures = folder / "distorted_images"
    files = {file.name.lower(): file for file in pictures.iterdir()} if pictures.is_dir() else {}
    photographs = []
    for number, line in enumerate(read_table(table).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2:
            raise TrainingError(f"line {number} of {table} is {line!r}: a score and a file name were expected")
        picture = files.get(words[1].lower(), pictures / words[1])
        photographs.append(_distorted(picture, opinion(words[0], 0, 9, picture), table))
    return check_pictures(photographs, table)


READERS: dict[str, Callable[[Path], list[Photograph]]] = {
    "koniq10k": koniq10k,
    "kadid10k": kadid10k,
    "clive": clive,
    "spaq": spaq,
    "tid2013": tid2013,
}
