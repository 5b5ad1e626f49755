"""Ctrl-C waits while a library loads."""

from __future__ import annotations

import os
import signal

import pytest

from runtime.commands.interrupts import later_interrupt


def test_it_comes_at_the_end_of_the_block() -> None:
    done = []

    def interrupted() -> None:
        with later_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
            done.append(1)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert done == [1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_it_nothing_changes() -> None:
    before = signal.getsignal(signal.SIGINT)
    with later_interrupt():
        pass
    assert signal.getsignal(signal.SIGINT) is before
