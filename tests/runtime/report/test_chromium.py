"""The page in a real browser: nothing asked for, nothing wrong, mouse and keyboard alike, on a desk and on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.chromium import chromium, no_chromium
from tests.support.reports import HOSTILE, content_of, make_pages

pytestmark = pytest.mark.skipif(no_chromium() is not None, reason=str(no_chromium()))

DESK, PHONE = (1280, 900), (390, 844)


class Seen:
    """A page, and what it said and asked for."""

    def __init__(self, browser: Any, path: Path, size: tuple[int, int], theme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme)
        self.page = self.context.new_page()
        self.wrong: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda said: self.wrong.append(said.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("#replay")


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return make_pages(tmp_path_factory.mktemp("pages"))


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as started:
        yield started


def test_every_page_is_silent_and_fits_its_window(browser: Any, pages: dict[str, Path]) -> None:
    for path in pages.values():
        for size in (DESK, PHONE):
            seen = Seen(browser, path, size)
            seen.page.locator("#theme").click()
            seen.page.emulate_media(media="print")
            seen.page.emulate_media(media="screen")
            assert seen.wrong == []
            assert [url for url in seen.asked if not url.startswith("data:")] == [path.as_uri()]
            assert seen.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, (path.name, size)
            assert "undefined" not in seen.page.inner_text("body")
            seen.context.close()


def test_hover_and_keys_show_the_numbers_of_a_frame(browser: Any, pages: dict[str, Path]) -> None:
    shown = content_of(pages["clip"])
    score = [f"{units / 10 ** shown['digits']:.2f}" for units in shown["inputs"][0]["score"]]
    seen = Seen(browser, pages["clip"], DESK)
    chart, said = seen.page.locator("#chart"), seen.page.locator(".readout")
    box = seen.page.locator("#chart .u-over").bounding_box()
    seen.page.mouse.move(box["x"] + box["width"] * 5.5 / 12, box["y"] + box["height"] / 2)
    assert f"Frame 5\nscore {score[5]}\n" in said.inner_text()
    chart.focus()
    for key, frame in (("End", 11), ("ArrowLeft", 10), ("Home", 0), ("ArrowRight", 1), ("+", 1), ("PageDown", 0)):
        seen.page.keyboard.press(key)
        assert chart.get_attribute("aria-valuenow") == str(frame)
        assert f"score {score[frame]}" in str(chart.get_attribute("aria-valuetext"))
    assert seen.wrong == []
    seen.context.close()


def test_the_keyboard_reaches_everything(browser: Any, pages: dict[str, Path]) -> None:
    for kind in ("clip", "tiles"):
        seen = Seen(browser, pages[kind], DESK)
        wanted = seen.page.evaluate(
            "[...document.querySelectorAll('button, select, input, summary, a, [tabindex=\"0\"]')]"
            ".filter((one) => one.checkVisibility()).length"
        )
        seen.page.evaluate("window.reached = new Set()")
        for _ in range(wanted + 2):
            seen.page.keyboard.press("Tab")
            seen.page.evaluate("reached.add(document.activeElement)")
        assert seen.page.evaluate("reached.delete(document.body), reached.size") == wanted
        seen.context.close()


def test_tiles_are_read_with_arrows(browser: Any, pages: dict[str, Path]) -> None:
    seen = Seen(browser, pages["tiles"], DESK)
    said = seen.page.locator("#map [role=status]")
    seen.page.locator("#map svg").focus()
    for _ in range(12):
        seen.page.keyboard.press("ArrowUp")
        seen.page.keyboard.press("ArrowLeft")
    first = said.inner_text()
    assert first.startswith("Tile in row 1, column 1: median ")
    seen.page.keyboard.press("ArrowRight")
    assert said.inner_text().startswith("Tile in row 1, column 2: median ")
    seen.context.close()


def test_files_are_sorted_and_filtered_and_hostile_names_are_text(browser: Any, pages: dict[str, Path]) -> None:
    seen = Seen(browser, pages["folder"], DESK)
    names = seen.page.locator("#files tbody td.name")
    assert names.count() == 5
    assert HOSTILE in seen.page.inner_text("#files")
    assert "Not certified: " in seen.page.inner_text("#files")
    assert seen.page.locator("img[src=x]").count() == 0
    heading = seen.page.locator("#files th", has_text="Score")
    scores = seen.page.locator("#files tbody td:nth-child(4)")
    for direction, sign in (("ascending", 1), ("descending", -1)):
        heading.locator("button").click()
        assert heading.get_attribute("aria-sort") == direction
        shown = [sign * float(text) for text in scores.all_inner_texts() if text]
        assert shown == sorted(shown)
        assert len(shown) == 4
    seen.page.get_by_label("Name contains").fill("DIM")
    assert names.count() == 1
    names.locator("button").click()
    assert "dim.png" in seen.page.inner_text("#file h2 >> nth=0")
    assert seen.wrong == []
    seen.context.close()


def test_two_files_are_overlaid_and_what_is_certain_is_marked(browser: Any, pages: dict[str, Path]) -> None:
    shown = content_of(pages["compare"])
    a, b = shown["inputs"]
    above = sum(low > high for low, high in zip(a["lower"], b["upper"], strict=True))
    below = sum(low > high for low, high in zip(b["lower"], a["upper"], strict=True))
    seen = Seen(browser, pages["compare"], DESK)
    said = seen.page.inner_text("#time")
    assert f"A is certifiably better in {above} of 12 frames. B is certifiably better in {below} of 12 frames." in said
    seen.context.close()


def test_contrast_of_texts(browser: Any, pages: dict[str, Path]) -> None:
    """WCAG 2: at least 4.5 between a text's colour and what it lies on, in both themes."""
    script = """() => {
      const light = (rgb) => rgb.map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
        .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
      const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
      const ground = (one) => { for (; one; one = one.parentElement) {
        const c = parse(getComputedStyle(one).backgroundColor);
        if (c.length === 3 || c[3] === 1) return c; } return [255, 255, 255]; };
      const bad = [];
      for (const one of document.querySelectorAll("main *, header *")) {
        // the counts of a histogram stand above their bars, on paper
        if (one.closest("svg, .u-wrap, .bar")
          || ![...one.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        const [a, b] = [light(parse(getComputedStyle(one).color).slice(0, 3)), light(ground(one).slice(0, 3))];
        const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        if (ratio < 4.5) bad.push(`${one.tagName} ${one.className}: ${ratio.toFixed(2)}`);
      }
      return bad;
    }"""
    for kind in ("compare", "folder"):
        for theme in ("light", "dark"):
            seen = Seen(browser, pages[kind], DESK, theme)
            assert seen.page.evaluate("document.documentElement.dataset.theme") == theme
            assert seen.page.evaluate(script) == [], theme
            seen.context.close()
