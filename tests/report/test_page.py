from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from bakeoff import evidence, page, report, store, tables
from bakeoff.fields import RecipeError
from bakeoff.page import costs, facts, words
from bakeoff.study import Study, runs


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S)
    assert found
    return json.loads(found[1])  # type: ignore[no-any-return]


class Addresses(HTMLParser):
    """Collects every attribute that could load something."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, _: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "href", "action", "srcset", "data", "poster")
        self.found += [value or "" for name, value in attrs if name in names]


def test_every_run_is_on_the_page_and_nothing_comes_from_elsewhere(made: Path) -> None:
    path = page.build(made)
    text = path.read_text(encoding="utf-8")
    assert path == made / "report.html"
    parser = Addresses()
    parser.feed(text)
    assert all(address.startswith(("#", "data:")) for address in parser.found)
    assert len(re.findall('class="run"', text)) == 12
    assert "default-src 'none'" in text


def test_names_are_escaped_everywhere(made: Path) -> None:
    text = page.build(made).read_text(encoding="utf-8")
    assert "<b>&" not in text
    assert data_of(text)["classes"] == ["<b>&\"'", "日本", "apple_pie", "</script>", "crab_cakes"]
    assert "&lt;b&gt;&amp;&#34;&#39;" in text


def test_the_data_say_what_was_predicted(made: Path) -> None:
    data = data_of(page.build(made).read_text(encoding="utf-8"))
    files = [run for run in store.read_runs(made) if run.variant == "custom3"]
    read = [run.predictions("test") for run in files]
    tested = data["variants"][2]["tested"]
    cells = np.array(tested["cells"]).reshape(-1, 3)
    wrong = Counter(
        (str(one.ids[n]), int(one.logits[n].argmax()))
        for one in read
        for n in range(len(one.ids))
        if one.logits[n].argmax() != one.labels[n]
    )
    mistakes = np.array(tested["mistakes"]).reshape(-1, 4)
    said = {(data["images"][image], int(to)): int(count) for image, to, count, _ in mistakes}
    assert said == dict(wrong)
    assert cells[:, 2].sum() == 300
    assert cells[cells[:, 0] != cells[:, 1]][:, 2].sum() == sum(wrong.values())
    assert len(data["images"]) == len(set(data["images"])) == 100


def test_half_empty_and_single_studies_have_a_page(
    half: Path, tmp_path: Path, study: Study, writer: Callable[..., None]
) -> None:
    text = page.build(half).read_text(encoding="utf-8")
    assert "1 running, 1 interrupted, 1 pending" in text
    assert "CUDA out of memory" in text
    empty = tmp_path / "empty"
    store.write_study(empty, study)
    assert "No run is finished yet" in page.build(empty).read_text(encoding="utf-8")
    single = Study.model_validate(
        {"name": "one", "tables": {"t": {"recipe": {"model": "baseline"}}}}
    )
    store.write_study(tmp_path / "one", single)
    for run in runs(single):
        writer(tmp_path / "one", run, ("a", "b"), epochs=1)
    assert "base reaches" in page.build(tmp_path / "one").read_text(encoding="utf-8")


def test_no_study_is_said_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="no study"):
        page.build(tmp_path)


def test_thumbnails_and_more_sections(made: Path) -> None:
    seen: list[str] = []

    def thumbnail(image: str) -> bytes | None:
        seen.append(image)
        return b"\x89PNG" + image.encode() if "apple" in image else None

    more = page.Section("maps", "Maps", "What it saw.", Markup("<p>here</p>"))
    text = page.build(made, thumbnails=thumbnail, extra=[more]).read_text(encoding="utf-8")
    found = data_of(text)["thumbnails"]
    assert found
    assert len(seen) == len(set(seen))
    assert all(value.startswith("data:image/png;base64,") for value in found.values())
    assert text.index('id="cost"') < text.index('id="maps"') < text.index('id="recipes"')


def test_sections_stand_in_reading_order(made: Path) -> None:
    text = page.build(made).read_text(encoding="utf-8")
    order = "variants sure curves mistakes suspects confidence cost recipes photographs repeat"
    assert re.findall(r'<section id="(\w+)"', text) == order.split()


def test_an_extra_section_may_say_where_it_stands(made: Path) -> None:
    checked = page.Section("check", "Check", "", Markup("<p>x</p>"), before="photographs")
    last = page.Section("last", "Last", "", Markup("<p>x</p>"), before="")
    text = page.build(made, extra=[last, checked]).read_text(encoding="utf-8")
    assert re.findall(r'<section id="(\w+)"', text)[-5:] == [
        *("recipes", "check", "photographs", "repeat", "last"),
    ]


def test_points_a_minute_and_the_front(made: Path) -> None:
    rows = tables.summarise(store.read_runs(made))
    row = rows[3]
    assert costs.per_minute(row) == pytest.approx(
        100 * (row.difference or 0) / ((row.seconds or 0) / 60)
    )
    assert costs.per_minute(rows[0]) is None
    expected = {
        (one.table, one.variant) for one in evidence.costs(store.read_runs(made)) if one.on_front
    }
    assert costs.front(rows) == expected
    assert page.build(made).read_text(encoding="utf-8").count("on the front<") == len(expected)


def test_the_answer(made: Path, half: Path) -> None:
    rows = tables.summarise(store.read_runs(made))
    best = max(rows, key=lambda row: row.validation_accuracy or 0)
    assert words.answer(rows).startswith(f"{best.variant} did best on validation and reaches")
    assert "(3 runs)" in words.answer(rows)
    assert "Not all runs are there: 5 finished, 2 running" in words.answer(
        tables.summarise(store.read_runs(half))
    )


def test_the_command_asks_for_seeds_beyond_the_study(made: Path, study: Study) -> None:
    rows = tables.summarise(store.read_runs(made))
    assert facts.command(study, rows) == "bakeoff run study.yaml"
    fewer = study.model_copy(update={"seeds": (0,)})
    assert facts.command(fewer, rows) == "bakeoff run study.yaml --seeds 3"


def test_write_replaces_what_was_there(made: Path, tmp_path: Path) -> None:
    first = report.write(made)
    (made / "report/figures/old.svg").write_text("of a variant that is gone")
    second = report.write(made)
    assert first == second
    assert not (made / "report/figures/old.svg").exists()
    assert {path.suffix for path in second.tables} == {".md", ".csv", ".tex", ".json"}
    assert all(path.is_file() for path in (second.page, *second.tables, *second.figures))


def test_twenty_two_variants_by_five_seeds(large: Path) -> None:
    began = time.process_time()
    path = page.build(large)
    assert time.process_time() - began < 10
    assert path.stat().st_size < 15e6
    assert len(data_of(path.read_text(encoding="utf-8"))["variants"]) == 22
