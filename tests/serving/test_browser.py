"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bakeoff import predict
from bakeoff.classifier import load

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or "/usr/bin/chromium"
WIDTHS = ((390, 844), (1280, 900))
PATIENCE = 300_000  # milliseconds: a busy machine is slow, not wrong
STRANGE = "<b>{{b}} ${b}"  # a class's name, which must be shown and not obeyed
CAMERA = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
LOADED = "all => all.every(one => one.complete && one.naturalWidth > 31)"

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason=f"no chromium at {CHROMIUM}: apt-get install chromium"
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", *CAMERA], timeout=PATIENCE
        )
        yield opened
        opened.close()


@pytest.fixture(params=WIDTHS, ids=["phone", "desktop"])
def opened(request: pytest.FixtureRequest, browser: Any, served: Any) -> Iterator[Any]:
    """The page, watched for errors, for requests to others, and for its width."""
    width, height = request.param
    context = browser.new_context(
        viewport={"width": width, "height": height}, permissions=["camera"], accept_downloads=True
    )
    tab = context.new_page()
    tab.set_default_timeout(PATIENCE)
    troubles: list[str] = []
    asked: list[str] = []
    tab.on("console", lambda said: said.type == "error" and troubles.append(said.text))
    tab.on("pageerror", lambda error: troubles.append(str(error)))
    tab.on("request", lambda one: asked.append(one.url))
    tab.goto(served.url)
    tab.wait_for_selector("#photograph")
    yield tab
    wide = tab.evaluate("[document.documentElement.scrollWidth, innerWidth]")
    assert wide[0] == wide[1]
    assert troubles == []
    assert [url for url in asked if not url.startswith((served.url, "data:", "blob:"))] == []
    context.close()


def drop(tab: Any, file: Path) -> None:
    tab.set_input_files("#photograph input[type=file]", str(file))


def choose(tab: Any, dropdown: str, option: str) -> None:
    tab.locator(f"{dropdown} input").click()
    tab.get_by_role("option", name=option, exact=True).click()


def test_a_photograph_is_answered_and_explained(opened: Any, place: Any) -> None:
    strange = (file for file in place.photographs() if file.parent.name == STRANGE)
    file = next(file for file in strange if place.split(file) == "train")
    drop(opened, file)
    models = opened.locator("#answer .bo-model")
    models.nth(1).wait_for()
    assert models.locator("h3").all_inner_texts() == ["noise", "nets/silu/seed-0"]
    for number, folder in enumerate((place.best, place.other)):
        classifier = load(folder, device="cpu")
        shares = classifier.predict_proba([file])[0]
        names = models.nth(number).locator(".bo-name").all_inner_texts()
        assert names == [classifier.classes[row] for row in (-shares).argsort()]
        said = models.nth(number).locator(".bo-shares .bo-share").all_inner_texts()
        assert [one.replace("\xa0", " ") for one in said] == [
            f"{100 * share:.1f} %" for share in sorted(shares, reverse=True)
        ]
    assert STRANGE in models.nth(0).locator(".bo-name").all_inner_texts()
    assert "it was never calibrated" in models.nth(1).inner_text()

    looked = opened.locator("#looked img")
    looked.nth(3).wait_for()
    assert looked.evaluate_all(LOADED)
    choose(opened, "#label", "a")
    opened.locator("#looked figcaption", has_text="lit where it speaks for a").nth(1).wait_for()

    opened.get_by_role("tab", name="Activation maps").click()
    captions = opened.locator("#activations figcaption")
    captions.nth(1).wait_for()
    assert opened.locator("#activations img").evaluate_all(LOADED)
    before = captions.nth(1).inner_text()
    opened.locator("#layer-1 input").click()
    opened.get_by_role("option").first.click()
    first = load(place.best, device="cpu").net.first_conv
    opened.locator("#activations figcaption", has_text=f"{first}: 4 filters of").wait_for()
    assert captions.nth(1).inner_text() == before

    opened.get_by_role("tab", name="Nearest training photographs").click()
    nearest = opened.locator("#nearest .bo-model").first.locator("li")
    nearest.nth(7).wait_for()
    assert opened.locator("#nearest img").evaluate_all(LOADED)
    opened.locator("#nearest", has_text="The 8 nearest of 76 training photographs").wait_for()
    assert nearest.first.locator("b").inner_text() == STRANGE
    assert nearest.first.locator(".bo-share").inner_text() == "1.00"

    opened.get_by_role("tab", name="For programs").click()
    assert "curl -F photographs=@pizza.jpg http://127.0.0.1" in opened.inner_text("body")


def test_the_promise_decides_what_is_answered(
    opened: Any, tmp_path: Path, noise: Callable[..., bytes]
) -> None:
    (tmp_path / "grey.png").write_bytes(noise((30, 0, 30), 3))
    drop(opened, tmp_path / "grey.png")
    answer = opened.locator("#answer .bo-model").first.locator(".bo-answer")
    answer.wait_for()
    choose(opened, "#promise", "Always answer")
    opened.locator("#answer", has_text="calibrated on validation photographs.").wait_for()
    assert answer.inner_text() in ("a", STRANGE)
    assert answer.get_attribute("class") == "bo-answer"


def test_what_is_no_photograph(opened: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no image")
    drop(opened, tmp_path / "broken.png")
    trouble = opened.locator("#answer .bo-trouble").first
    trouble.wait_for()
    assert trouble.inner_text().startswith("This photograph cannot be read: not an image")


def test_the_camera(opened: Any) -> None:
    opened.get_by_role("button", name="Capture from camera").click()
    opened.get_by_text("Click to Access Webcam").click()
    opened.wait_for_function("document.querySelector('#photograph video')?.videoWidth > 0")
    opened.get_by_role("button", name="capture photo").click()
    opened.locator("#answer .bo-answer").first.wait_for()


def test_many_photographs_give_the_csv_of_predict(opened: Any, place: Any, tmp_path: Path) -> None:
    (tmp_path / "no image.jpg").write_bytes(b"no image")
    files = [*place.photographs()[::17], tmp_path / "no image.jpg"]
    choose(opened, "#promise", "Always answer")
    opened.get_by_role("tab", name="Many photographs").click()
    opened.set_input_files("#files input[type=file]", [str(file) for file in files])
    opened.locator("#files", has_text="no image").wait_for()
    opened.get_by_role("button", name="Answer all").click()
    opened.locator("#many table").nth(1).wait_for()
    for number, folder in enumerate((place.best, place.other)):
        with opened.expect_download() as download:
            opened.locator(".bo-download").nth(number).click()
        assert download.value.suggested_filename == f"answers-{number + 1}.csv"
        found = list(csv.DictReader(Path(download.value.path()).read_text().splitlines()))
        classifier = load(folder, device="cpu")
        rows = predict.rows(map(str, files), classifier.stream, classifier.classes, 2, 0.0)
        wanted = list(csv.DictReader("".join(predict.as_csv(rows, 2)).splitlines()))
        assert [row["path"] for row in found] == [file.name for file in files]
        for one, two in zip(found, wanted, strict=True):
            for column in ("answer", "class_1", "class_2", "error"):
                assert one[column] == two[column]
            for column in ("probability_1", "probability_2"):
                if two[column]:
                    assert float(one[column]) == pytest.approx(float(two[column]), abs=2e-6)
