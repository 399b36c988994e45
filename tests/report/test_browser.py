"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bakeoff import page as pages
from bakeoff import store
from bakeoff.study import Study, runs

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
WIDTHS = ((390, 844), (1280, 900))
PATIENCE = 300_000  # milliseconds: a busy machine is slow, not wrong

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason=f"no chromium at {CHROMIUM}: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE
        )
        yield opened
        opened.close()


@pytest.fixture(params=WIDTHS, ids=["phone", "desktop"])
def opened(request: pytest.FixtureRequest, browser: Any, made: Path) -> Iterator[Any]:
    """The page of the small study, at a path with spaces, watched for errors and requests."""
    place = made.parent / "a place & more" / "re port.html"
    pages.build(made, place, thumbnails=lambda image: PNG if "日本" in image else None)
    width, height = request.param
    tab = browser.new_page(viewport={"width": width, "height": height})
    tab.set_default_timeout(PATIENCE)
    troubles: list[str] = []
    tab.on("console", lambda said: troubles.append(said.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    asked: list[str] = []
    tab.on("request", lambda one: asked.append(one.url))
    tab.goto(place.as_uri())
    tab.wait_for_selector("#accuracy-plot .scatterlayer")
    yield tab
    assert troubles == []
    assert [url for url in asked if not url.startswith(("data:", "blob:", place.as_uri()))] == []
    tab.close()


PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c63f8"
    "cff0df1f0005fe02fe3f8c2a9b0000000049454e44ae426082"
)


def names(tab: Any) -> list[str]:
    return tab.eval_on_selector_all(  # type: ignore[no-any-return]
        "#variants-table tr:not(.group) th[scope=row]", "all => all.map(one => one.dataset.sort)"
    )


def lines(tab: Any) -> int:
    return tab.locator("#accuracy-plot .scatterlayer .trace path.js-line").count()  # type: ignore[no-any-return]


def test_the_page_is_no_wider_than_the_screen(opened: Any) -> None:
    wide = opened.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] == wide[1]


def test_sorting_by_mouse_and_by_key(opened: Any) -> None:
    heading = opened.locator("#variants-table thead th", has_text="Test %")
    heading.locator("button").click()
    values = opened.eval_on_selector_all(
        "#variants-table tr:not(.group) td:nth-child(3)", "all => all.map(o => +o.dataset.sort)"
    )
    assert values == sorted(values, reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    first = opened.locator("#variants-table thead th").first
    first.locator("button").focus()
    opened.keyboard.press("Enter")
    assert names(opened) == ["baseline", "custom2", "custom3", "custom4"]
    opened.keyboard.press("Enter")
    assert names(opened) == ["custom4", "custom3", "custom2", "baseline"]
    assert heading.get_attribute("aria-sort") is None


def test_chips_and_boxes_switch_curves(opened: Any) -> None:
    before = lines(opened)
    chip = opened.locator(".chip", has_text="custom3")
    assert chip.get_attribute("aria-pressed") == "true"
    chip.click()
    assert chip.get_attribute("aria-pressed") == "false"
    assert lines(opened) == before - 2  # its line and its band
    opened.locator("[name=band]").uncheck()
    assert lines(opened) == 3
    opened.locator("[name=series][value=clean]").check()
    assert lines(opened) == 6
    opened.locator("[data-choose=none]").click()
    assert lines(opened) == 0


def test_a_cell_shows_its_photographs(opened: Any, made: Path) -> None:
    opened.select_option("#matrix-variant", label="custom3")
    opened.locator('#matrix td[data-truth="1"][data-said="2"]').click()
    assert opened.locator("#cell h3").inner_text() == "日本 taken for apple_pie"
    files = [run for run in store.read_runs(made) if run.variant == "custom3"]
    wrong = {
        str(found.ids[n])
        for found in (run.predictions("test") for run in files)
        for n in range(len(found.ids))
        if found.labels[n] == 1 and np.argmax(found.logits[n]) == 2
    }
    assert opened.locator("#cell li").count() == len(wrong)
    shown = opened.eval_on_selector_all("#cell li img", "all => all.map(one => one.title)")
    assert set(shown) == wrong
    opened.locator('#matrix td[data-truth="0"][data-said="0"]').click()
    assert opened.locator("#cell h3").inner_text() == "<b>&\"', recognised"
    opened.keyboard.press("Tab")
    opened.locator('#matrix td[tabindex="0"]').focus()
    opened.keyboard.press("ArrowDown")
    opened.keyboard.press("Enter")
    assert opened.locator("#cell h3").inner_text() == "日本 taken for <b>&\"'"


def test_scores_by_class_follow_the_variant(opened: Any) -> None:
    opened.select_option("#matrix-variant", label="baseline")
    assert opened.locator("#classes-table tbody tr").count() == 5
    recall = opened.locator("#classes-table tbody tr").nth(1).locator("td").nth(1).inner_text()
    cell = opened.locator('#matrix td[data-truth="1"][data-said="1"]').get_attribute("aria-label")
    assert f"{recall} %" in cell
    opened.locator("#pairs button").first.click()
    assert " taken for " in opened.locator("#cell h3").inner_text()


def test_the_evidence_is_drawn_and_named(opened: Any) -> None:
    forests = opened.locator("#sure svg.forest")
    assert forests.count() == 3
    label = forests.first.get_attribute("aria-label")
    assert label.startswith("custom2 against baseline: ")
    assert "other photographs" in label
    box = forests.first.bounding_box()
    assert 250 < box["width"] <= 320
    diagrams = opened.locator("#confidence svg.reliability")
    assert diagrams.count() == 2
    opened.locator("#confidence details summary").first.click()
    bars = diagrams.first.locator(".middle").count()
    assert opened.locator("#confidence figure").first.locator("tbody tr").count() == bars
    assert opened.locator("#suspects .gallery li").count() > 0


def test_the_reports_own_curves_are_drawn_in_its_layout(
    browser: Any, tmp_path: Path, food: Callable[[int], Study], writer: Callable[..., None]
) -> None:
    study = food(1)
    store.write_study(tmp_path, study)
    for run in runs(study):
        if f"{run.row.table}/{run.row.variant}" in ("custom/baseline", "resnet18/resnet6"):
            writer(tmp_path, run, ("a", "b"), epochs=3)
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE)
    tab.goto(pages.build(tmp_path).as_uri())
    tab.wait_for_selector("#printed-3-accuracy .scatterlayer .trace")
    said = tab.eval_on_selector_all(".printed-curves b", "all => all.map(o => o.textContent)")
    assert said == ["baseline", "resnet6"]
    for place in ("1-loss", "1-accuracy", "3-loss", "3-accuracy"):
        assert tab.locator(f"#printed-{place} .scatterlayer .trace").count() == 2
    tab.locator("#replayed details", has_text="These curves in words").locator("summary").click()
    words = tab.locator("#printed-said li").all_inner_texts()
    assert [text.split(":")[0] for text in words] == ["custom/baseline", "resnet18/resnet6"]
    tab.close()


def test_dark_and_light(opened: Any) -> None:
    paper = "getComputedStyle(document.body).backgroundColor"
    before = opened.evaluate(paper)
    opened.locator("#theme").click()
    assert opened.evaluate(paper) != before


@pytest.mark.parametrize("done", [0, 1])
def test_pages_of_studies_just_begun(
    browser: Any, tmp_path: Path, study: Study, writer: Callable[..., None], done: int
) -> None:
    store.write_study(tmp_path, study)
    for run in runs(study)[:done]:
        writer(tmp_path, run, ("a",), epochs=1)
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE)
    troubles: list[str] = []
    tab.on("console", lambda said: troubles.append(said.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.goto(pages.build(tmp_path).as_uri())
    tab.wait_for_load_state()
    assert names(tab) == ["baseline", "custom2", "custom3", "custom4"]
    assert troubles == []
    tab.close()
