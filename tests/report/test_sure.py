"""How sure is this: noise floor, verdicts with their intervals, missing runs, decisions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from bakeoff import page, store
from bakeoff.evidence import Interval, Verdict, noise_floor
from bakeoff.judged import leaked, rows_of
from bakeoff.page import svg
from bakeoff.page.sure import judged
from bakeoff.study import Study, runs

CLASSES = ("a", "b", "c")


def written(folder: Path, study: Study, seeds: int, write: Callable[..., None]) -> Path:
    more = study.model_copy(update={"seeds": tuple(range(seeds))})
    store.write_study(folder, more)
    for run in runs(more):
        write(folder, run, CLASSES, per_class=100)
    return folder


def section(text: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', text, re.S)
    assert found
    return found[0]


def test_below_six_seeds_nothing_is_called_significant_and_the_page_says_why(made: Path) -> None:
    (table,) = judged(rows_of(made), made)
    assert table.tally == "3 can't tell yet"
    assert "cannot go below 2/2ⁿ, 0.25 with 3, and only from 6 seeds on" in table.reserve
    assert "7 seeds are the fewest for 3 changes." in table.reserve
    text = section(page.build(made).read_text(encoding="utf-8"), "sure")
    assert text.count("significant") == 1
    assert "No difference here is called significant" in text


def test_the_noise_floor_is_said_in_points(made: Path) -> None:
    rows = rows_of(made)
    floor = noise_floor([score.test_accuracy or 0 for score in rows[0].scores])
    assert floor
    (table,) = judged(rows, made)
    assert f"under {100 * floor.single:.1f} points between two single runs" in table.noise
    assert f"two means of 3 runs it is {100 * floor.of_means(3):.1f}." in table.noise


def test_one_seed_shows_no_spread_and_no_floor(
    tmp_path: Path, study: Study, writer: Callable[..., None]
) -> None:
    folder = written(tmp_path, study, 1, writer)
    (table,) = judged(rows_of(folder), folder)
    assert table.noise == (
        "Noise floor: not known from 1 run of baseline. The option --noise-floor 5 measures it."
    )
    change = table.changes[0]
    assert [name for name, _ in change.facts] == ["Difference", "Photographs gained, lost"]
    assert change.plot
    assert "not known from one seed" in change.plot
    assert change.plot.count('class="interval"') == 1


def test_the_forest_shows_three_intervals_and_says_them(
    tmp_path: Path, study: Study, writer: Callable[..., None]
) -> None:
    folder = written(tmp_path, study, 8, writer)
    rows = rows_of(folder)
    (table,) = judged(rows, folder)
    change = table.changes[2]
    verdict = rows[3].verdict
    assert isinstance(verdict, Verdict)
    assert change.plot
    assert table.reserve == ""
    assert change.plot.count('class="interval"') == 3
    assert verdict.pictured
    assert verdict.pictured.crossed
    crossed = verdict.pictured.crossed.interval
    label = re.search(r'aria-label="([^"]*)"', change.plot)
    assert label
    assert "custom4 against baseline" in label[1]
    assert f"both {svg.signed(crossed.low)} to {svg.signed(crossed.high)}" in label[1]
    facts = dict(change.facts)
    assert facts["Smallest visible"] == f"{100 * (verdict.smallest_visible or 0):.2f} points"
    assert facts["Seeds for one point"] == f"about {verdict.seeds_for_one_point}"


def test_missing_runs_are_named_once(half: Path) -> None:
    (table,) = judged(rows_of(half), half)
    assert table.missing == ()
    assert dict(table.changes[0].facts)["Missing"] == "custom/custom2/seed-2: running"
    assert [change.row.variant for change in table.changes] == ["custom2"]
    assert table.waiting[1] == (
        "custom4",
        "custom/custom4/seed-0: failed, custom/custom4/seed-1: failed, "
        "custom/custom4/seed-2: pending",
    )
    text = section(page.build(half).read_text(encoding="utf-8"), "sure")
    assert text.count("custom4/seed-0: failed") == 1


@pytest.mark.parametrize(
    ("step", "said"),
    [
        ({"decided": "helped", "more": 0, "seeds": 7}, "helped, decided after 7 seeds"),
        ({"decided": None, "more": 1, "seeds": 6}, "undecided after 6 seeds, more were to come"),
        ({"decided": None, "more": 0, "seeds": 30}, "undecided after 30 seeds, and stopped"),
    ],
)
def test_what_until_decided_left_is_said(made: Path, step: dict[str, object], said: str) -> None:
    (made / "decisions.json").write_text(json.dumps({"custom/custom3": step}))
    (table,) = judged(rows_of(made), made)
    assert [dict(change.facts).get("Until decided") for change in table.changes] == [
        None,
        said,
        None,
    ]


def test_a_damaged_decisions_file_is_said(made: Path) -> None:
    (made / "decisions.json").write_text("{")
    (table,) = judged(rows_of(made), made)
    assert dict(table.changes[0].facts)["Until decided"] == "decisions.json cannot be read"


def test_leaked_photographs_are_left_out_and_counted(made: Path) -> None:
    path = made / "custom/baseline/seed-0/run.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["checksum"]
    content["data"]["leaked"] = ["test/apple_pie/0000040.jpg", "test/apple_pie/0000041.jpg"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert len(leaked(store.read_runs(made))) == 2
    (table,) = judged(rows_of(made), made)
    assert dict(table.changes[0].facts)["Without leaked ones"].endswith(", 2 left out")


def test_the_axis_has_round_ends_and_cuts_what_is_far_too_wide() -> None:
    axis = svg.axis([Interval(-0.004, 0.031), Interval(0.0, 0.02)], [0.013])
    assert (axis.low, axis.high) == pytest.approx((-0.01, 0.04))
    wide = svg.axis([Interval(-5, 5), Interval(-0.01, 0.03), Interval(-0.01, 0.03)], [0.01])
    assert (wide.low, wide.high) == pytest.approx((-0.1, 0.1))
    drawn = svg.forest([svg.Line("seeds", Interval(-5, 5), "wide")], 0.01, wide, "<alt>")
    assert drawn.count('class="beyond"') == 2
    assert "&lt;alt&gt;" in drawn


@pytest.mark.parametrize(
    ("value", "said"), [(-0.00001, "0.00"), (0.0, "0.00"), (0.0123, "+1.23"), (-0.2, "−20.00")]
)
def test_points_have_a_sign_and_zero_has_none(value: float, said: str) -> None:
    assert svg.signed(value) == said
