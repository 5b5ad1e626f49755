"""Fuzz every target for a while, each in a process of its own.

    make fuzz                       (python -m tests.fuzz [TARGET …] [--seconds 60])

An input that breaks a target is written to build/fuzz and named. Exit status 1 where there is one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

BUILD = Path(__file__).parents[2] / "build" / "fuzz"


def fuzz(name: str, seconds: int) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=["runtime", "bindings"]):
        from .targets import TARGETS, one
    target = TARGETS[name]
    corpus = BUILD / name
    corpus.mkdir(parents=True, exist_ok=True)
    for index, seed in enumerate(target.seeds()):
        (corpus / f"seed{index}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-seed=17", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1"]
    atheris.Setup(
        [sys.argv[0], *options, f"-artifact_prefix={BUILD}/{name}-", str(corpus)], lambda data: one(target, data)
    )
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (default %(default)s)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        fuzz(options.targets[0], options.seconds)
    from .targets import TARGETS

    if unknown := set(options.targets) - TARGETS.keys():
        parser.error(f"no target {', '.join(sorted(unknown))}: there are {', '.join(TARGETS)}")
    broken = 0
    print("| target | inputs | failures |\n| --- | --- | --- |")
    for name in options.targets or TARGETS:
        command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", str(options.seconds), "--here"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        said = [line.split()[-1] for line in ended.stderr.splitlines() if "number_of_executed_units" in line]
        print(f"| {name} | {said[0] if said else '–'} | {int(ended.returncode != 0)} |", flush=True)
        if ended.returncode:
            broken += 1
            print(ended.stdout[-3000:] + ended.stderr[-3000:], file=sys.stderr)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
