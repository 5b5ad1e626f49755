"""Progress: a plain line every ten seconds where there is no terminal or no tqdm, a bar where there are both."""

from __future__ import annotations

import sys

import pytest

from runtime.commands import progress
from runtime.commands.progress import Lines, Silent, TqdmBar, progress_bar


class Clock:
    """Seconds that pass when told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(clock)
    lines.begin("clip.mp4", 30, 501)
    for _ in range(300):  # 64 samples in half a second: 150 s for all of them
        clock.now += 0.5
        lines.drawn(50)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 15
    assert said[0] == "clip.mp4: 1000 of 15030 samples, 7%, about 140 s left".replace("140 s", "2 min")
    assert said[7] == "clip.mp4: 8000 of 15030 samples, 53%, about 70 s left"
    assert said[-1] == "clip.mp4: 15000 of 15030 samples, 100%, about 0 s left"


def test_each_file_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(clock)
    lines.begin("a.png", 1, 100)
    clock.now += 9
    lines.drawn(100)
    lines.begin("b.png", 1, 100)
    clock.now += 9
    lines.drawn(50)
    assert capsys.readouterr().err == ""
    clock.now += 1
    lines.drawn(10)
    assert capsys.readouterr().err == "b.png: 60 of 100 samples, 60%, about 7 s left\n"


def test_of_several_files_it_says_what_is_left_of_all(capsys: pytest.CaptureFixture[str]) -> None:
    """The ten seconds run on from file to file; what was done before this run took none of its time."""
    clock = Clock()
    lines = Lines(clock)
    lines.plan([100, 300, 600])
    lines.file(0, 1.0)
    for name, index in (("b.png", 1), ("c.mp4", 2)):
        lines.file(index)
        lines.begin(name, 1, 100)
        for _ in range(3):
            clock.now += 2
            lines.drawn(25)
    assert capsys.readouterr().err.splitlines() == [
        "[3/3] c.mp4: 50 of 100 samples, 50%, about 4 s left; all files 70%, about 5 s left"
    ]


def test_an_unknown_number_of_frames_has_no_end(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    lines = Lines(clock)
    lines.begin("standard input", 0, 501)
    clock.now += 10
    lines.drawn(640)
    assert capsys.readouterr().err == "standard input: 640 samples\n"


@pytest.mark.parametrize(("seconds", "words"), [(4.4, "4 s"), (119, "119 s"), (180, "3 min"), (10800, "3 h")])
def test_times_are_whole(seconds: float, words: str) -> None:
    assert progress._words(seconds) == words


@pytest.mark.parametrize(
    ("quiet", "terminal", "tqdm", "kind"),
    [
        (True, True, True, Silent),
        (True, False, True, Silent),
        (False, True, True, TqdmBar),
        (False, True, False, Lines),
        (False, False, True, Lines),
    ],
)
def test_what_shows_it(quiet: bool, terminal: bool, tqdm: bool, kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal)
    monkeypatch.setattr(progress, "_has_tqdm", lambda: tqdm)
    with progress_bar(quiet) as bar:
        assert type(bar) is kind
