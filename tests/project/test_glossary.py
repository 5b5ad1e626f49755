"""docs/glossary.md names every key of a record, every public name and every option, each once."""

from __future__ import annotations

import contextlib
import io
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime.__main__ import main as biqa
from tests.support.tiny import tiny_bundle

ROOT = Path(__file__).parents[2]
LINES = [line for line in (ROOT / "docs" / "glossary.md").read_text().splitlines() if line.startswith("- ")]
NAMES = Counter(name for line in LINES for name in re.findall(r"`([^`]+)`", line.partition("): ")[0]))
"""What stands in backticks in the brackets of a line: names of code, of records, of options."""

SPEAK_FOR_THEMSELVES = {"--help", "--quiet", "--all", "--version"}
BUILDING = ("build", "compile", "inspect", "verify", "calibrate")
PUBLIC_ELSEWHERE = {"__version__"}


def options_of(main: Callable[[list[str]], int], *words: str) -> set[str]:
    """The long options that a command's --help lists."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([*words, "--help"])
    return set(re.findall(r"^  (?:-\w, )?(--[a-z][\w-]*)", out.getvalue(), re.MULTILINE))


def test_each_line_is_a_term() -> None:
    for line in LINES:
        assert re.match(r"- \*\*[^*]+\*\*(, \*\*[^*]+\*\*)*( \([^)]*\))?: \S.*[.?!]$", line), line
        assert len(line) <= 220, line


def test_a_name_means_one_thing() -> None:
    assert [name for name, count in NAMES.items() if count > 1] == []


def test_every_key_of_a_record_is_there(tmp_path: Path) -> None:
    frame = np.full((32, 32, 3), 100, np.uint8)
    model = tiny_bundle(tmp_path / "tiny").path
    with runtime.Certifier(model, share_noise=True) as certifier:
        keys = set(certifier.certify(frame, tolerance=1).to_dict())
    with runtime.Certifier(model, samples=3) as certifier:
        keys |= set(certifier.certify(frame).to_dict())
    assert {"reason", "stopping", "shared_noise_frames"} <= keys
    assert keys <= set(NAMES)


def test_every_public_name_is_there() -> None:
    assert set(runtime.__all__) - PUBLIC_ELSEWHERE <= set(NAMES)


@pytest.mark.parametrize("command", ["certify", "gate", "compare", "plan", "replay", "sign", "doctor"])
def test_every_option_is_there(command: str) -> None:
    options = options_of(biqa, command)
    assert "--help" in options
    assert options <= {*NAMES, *SPEAK_FOR_THEMSELVES}


def test_every_option_of_building_and_of_the_pipe_is_there() -> None:
    """Those of ``biqa train`` are settings of a recipe, and explained where it is."""
    pytest.importorskip("torch")
    from bindings.ffmpeg.__main__ import main as ffmpeg
    from export.__main__ import main as export

    options = options_of(ffmpeg).union(*(options_of(export, c) for c in BUILDING))
    assert {"--probe", "--target"} <= options
    assert options <= {*NAMES, *SPEAK_FOR_THEMSELVES}


def test_every_option_of_the_page_exists() -> None:
    pytest.importorskip("torch")
    from bindings.ffmpeg.__main__ import main as ffmpeg
    from export.__main__ import main as export

    known = options_of(ffmpeg).union(
        *(options_of(biqa, c) for c in ("certify", "gate", "compare", "plan", "replay", "sign", "doctor")),
        *(options_of(export, c) for c in BUILDING),
    )
    assert {name for name in NAMES if name.startswith("--")} <= known
