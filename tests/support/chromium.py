"""A real Chromium without a window, driven by playwright, or why there is none."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def no_chromium() -> str | None:
    """Why no Chromium can be started; None where one can."""
    if find_spec("playwright") is None:
        return "playwright is not installed"
    return None if _found() else "no Chromium: apt-get install chromium"


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser of playwright's."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=_found(), args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


def _found() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)
