"""README and docs/: every path that is named exists, every command and option too, and tables fit a screen."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.support.clips import photograph, write_clip

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
TREES = ("runtime", "export", "training", "bindings", "benchmarks", "tests", "examples", "docs", ".ci")
MADE = ("bindings/capi/build/", "bindings/ffmpeg/frei0r/build/", "benchmarks/results", "docs/evidence/enhancer.json")
"""Places that a command makes."""
BUILDERS = ("build", "compile", "inspect", "verify", "calibrate")

ids = [page.name if page.parent == ROOT else f"docs/{page.name}" for page in PAGES]
every_page = pytest.mark.parametrize("page", PAGES, ids=ids)


@every_page
def test_paths_that_are_named_exist(page: Path) -> None:
    named = re.findall(rf"(?<![\w/.:-])((?:{'|'.join(map(re.escape, TREES))})/[\w./-]*\w)", page.read_text())
    assert [path for path in named if not path.startswith(MADE) and not (ROOT / path).exists()] == []


@every_page
def test_tables_have_seven_columns_at_most(page: Path) -> None:
    for line in page.read_text().splitlines():
        if re.fullmatch(r"\|( *:?-+:? *\|)+", line):
            assert line.count("|") <= 8, line


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in index, page.name


@every_page
def test_anchors_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page.read_text()):
        headings = re.findall(r"^#+ (.+)$", (page.parent / target if target else page).read_text(), re.MULTILINE)
        assert anchor in [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings], anchor


@every_page
def test_there_is_no_clone_and_no_index_to_install_from(page: Path) -> None:
    text = page.read_text()
    assert "git clone" not in text
    assert not re.search(r"pip install '?stochastic-biqa(?!`)", text)


def _commands(page: Path) -> list[str]:
    """The ``biqa`` commands of its blocks, continuation lines joined; of a console block the lines after a prompt."""
    text = page.read_text().replace("\\\n", " ")
    shell = "".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL))
    console = "".join(re.findall(r"```console\n(.*?)```", text, re.DOTALL))
    return re.findall(r"^biqa .+$", shell, re.MULTILINE) + re.findall(r"^\$ (biqa .+)$", console, re.MULTILINE)


@cache
def _help(command: str) -> str:
    """What --help of a command prints."""
    main: Callable[[list[str]], int]
    if command in BUILDERS:
        pytest.importorskip("torch")
        from export.__main__ import main
    else:
        from runtime.__main__ import main
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return out.getvalue()


@every_page
def test_every_command_has_the_options_it_is_given(page: Path) -> None:
    for line in _commands(page):
        _, command, *words = shlex.split(line, comments=True)
        help_ = _help(command)
        assert "usage:" in help_, line
        for word in words:
            if word.startswith("--"):
                assert re.search(rf"(?<![\w-]){word}(?![\w-])", help_), f"{line}: {command} has no {word}"


def test_readme_shows_commands() -> None:
    assert len(_commands(ROOT / "README.md")) >= 10


@pytest.mark.parametrize("page", ["README.md", "docs/python.md"])
def test_python_blocks_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In order, on small files of the names that ``make demo`` gives; a block of prompts without its output."""
    demo = tmp_path / "build" / "demo"
    demo.mkdir(parents=True)
    frame = photograph()[:128, :128]
    Image.fromarray(frame).save(demo / "astronaut.png")
    write_clip(demo / "astronaut.mp4", frames=2)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```(?:python|pycon)\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    names: dict[str, Any] = {"frame": frame}
    for block in blocks:
        prompted = re.findall(r"^(?:>>>|\.\.\.) (.*)$", block, re.MULTILINE)
        exec("\n".join(prompted) if prompted else block, names)
    assert len(blocks) >= 3
    assert names["certified"].lower <= names["certified"].score <= names["certified"].upper


def test_the_figure_shows_what_was_measured() -> None:
    pytest.importorskip("matplotlib")
    import json

    from benchmarks.report.glance import FIGURE, RECORD, curves

    record = json.loads(RECORD.read_text())
    ends = [f"{points[-1][1]:.1f}" for points in curves(record).values()]
    figure = FIGURE.read_text()
    assert all(f">{value}</text>" in figure for value in ends)
    assert f"mean over {record['frames']} frames" in figure
    bare, attacked, limit = ends
    readme = (ROOT / "README.md").read_text()
    assert f"by {round(float(bare))} points" in readme
    assert f"by {attacked}" in readme
    assert f"±{limit}" in readme


def test_tables_are_what_the_scripts_write_from_their_records() -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    import json

    from benchmarks import correlation, frontier, int8, latency, robustness, scaling

    docs, evidence = ROOT / "docs", ROOT / "docs" / "evidence"
    for page, name, record, write in (
        (ROOT / "README.md", "latency", "latency", latency.summary),
        (docs / "latency.md", "latency", "latency", latency.page),
        (docs / "evidence.md", "correlation", "correlation", correlation.summary),
        (docs / "evidence.md", "frontier", "frontier", frontier.page),
        (docs / "correlation.md", "correlation", "correlation", correlation.page),
        (docs / "attacks.md", "robustness", "robustness", robustness.page),
        (docs / "scaling.md", "scaling", "scaling", scaling.page),
        (docs / "int8.md", "precision", "precision", lambda made: int8.page(made["precisions"])),
    ):
        between = page.read_text().partition(f"<!-- {name} -->\n")[2].partition(f"\n<!-- /{name} -->")[0]
        assert between == write(json.loads((evidence / f"{record}.json").read_text())), page
