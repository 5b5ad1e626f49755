"""Every case of the torture, one after the other, and a table of what became of them.

    make torture                                        (python -m tests.torture [--case NAME] [--write])

Seeded: the same tries in every run. Exit status 1 where one failed.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from runtime.atomic import write_text

from .case import Case, Outcome, counted
from .cases import CASES

PAGE = Path(__file__).parents[2] / "docs" / "reliability.md"
BEGIN, END = "<!-- torture -->\n", "<!-- /torture -->"
SEED = 17


def outcome(case: Case, tries: int, seed: int = SEED) -> Outcome:
    """One case with its own draws, whatever ran before it."""
    rng = np.random.default_rng([seed, zlib.crc32(case.name.encode())])
    return counted(case.name, case.run(tries, rng), time.monotonic)


def table(outcomes: list[Outcome]) -> str:
    """In Markdown."""
    rows = ["| case | tries | failures | unseen | seconds |", "| --- | --- | --- | --- | --- |"]
    rows += [
        f"| {found.name} | {found.tries} | {len(found.failures)} | {found.unseen or '–'} | {found.seconds:.0f} |"
        for found in outcomes
    ]
    return "\n".join(rows) + "\n"


def _outcomes(cases: list[Case], seed: int) -> Iterator[Outcome]:
    for case in cases:
        print(f"{case.name}: {case.full} tries …", file=sys.stderr, flush=True)
        found = outcome(case, case.full, seed)
        for failure in found.failures:
            print(f"  FAILED {failure}", file=sys.stderr, flush=True)
        yield found


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m tests.torture", description=__doc__)
    parser.add_argument("--case", action="append", choices=[case.name for case in CASES], help="only this; repeatable")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reliability.md")
    options = parser.parse_args(arguments)
    chosen = [case for case in CASES if options.case is None or case.name in options.case]
    outcomes = list(_outcomes(chosen, options.seed))
    print(table(outcomes), end="")
    if options.write:
        before, _, rest = PAGE.read_text().partition(BEGIN)
        write_text(PAGE, before + BEGIN + table(outcomes) + END + rest.partition(END)[2])
    return int(any(found.failures for found in outcomes))


if __name__ == "__main__":
    sys.exit(main())
