"""Wrong words on the command line: one line each, exit status 2, the same from every program."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from runtime.__main__ import main as of_runtime

Main = Callable[[list[str]], int]


def wrong(main: Main, words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a program says to wrong words."""
    with pytest.raises(SystemExit) as left:
        main(words)
    assert left.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["certify", "a.png", "--epsilon", "abc"],
            "argument --epsilon: 'abc' is not a number; python -m ",
        ),
        (
            ["certify", "a.png", "--samples", "1.5"],
            "argument --samples: '1.5' is not a whole number; ",
        ),
        (["certify", "a.png", "--scope", "all"], "argument --scope: invalid choice: 'all' (choose from"),
        (["certify", "a.png", "--espilon", "1"], "unrecognized arguments: --espilon 1; python -m runtime --help"),
        (
            ["gate", "--at-least", "1"],
            "the following arguments are required: INPUT; python -m runtime gate --help ",
        ),
        (["gate", "a.png"], "the following arguments are required: --at-least; "),
        (["certify", "a.png", "--json"], "argument --json: expected one argument; "),
        (["certify", "a.png", "--x", "a\nb"], "unrecognized arguments: --x a b; "),
        (["nothing"], "argument command: invalid choice: 'nothing'"),
        ([], "the following arguments are required: command; "),
    ],
)
def test_a_wrong_word_is_one_line(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert wrong(of_runtime, words, capsys).startswith(f"error: {said}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--frames", "0"], "'0' is neither any nor a number of frames, 1 or more; "),
        (["--fps", "fast"], "'fast' is no frame rate, such as 25 or 30000/1001; "),
        (["--fps", "1/0"], "'1/0' is no frame rate"),
        (["--alpha", "x"], "'x' is not a number; python -m bindings.ffmpeg --help lists the options"),
    ],
)
def test_of_ffmpeg(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bindings.ffmpeg.__main__ import main

    assert said in wrong(main, words, capsys)


def test_of_gstreamer(capsys: pytest.CaptureFixture[str]) -> None:
    from bindings.gstreamer.__main__ import main

    assert "unrecognized arguments: now; python -m bindings.gstreamer --help" in wrong(main, ["now"], capsys)
