from __future__ import annotations

import csv
import io
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from bakeoff import evaluate, page, render, store, tables, terminal
from bakeoff.study import Study, runs


@dataclass(frozen=True)
class Said:
    table: str
    variant: str
    n: int
    difference: float | None
    low: float | None
    high: float | None
    p: float | None
    verdict: str
    explanation: str


def rows_of(folder: Path) -> dict[str, tables.TableRow]:
    return {row.variant: row for row in tables.summarise(store.read_runs(folder))}


def test_rows_say_what_the_runs_measured(made: Path) -> None:
    rows = rows_of(made)
    assert list(rows) == ["baseline", "custom2", "custom3", "custom4"]
    files = [run for run in store.read_runs(made) if run.variant == "custom4"]
    tests = [
        evaluate.accuracy(found.logits, found.labels)
        for found in (run.predictions("test") for run in files)
    ]
    row = rows["custom4"]
    assert row.test_accuracy == pytest.approx(np.mean(tests))
    assert row.test_accuracy_spread == pytest.approx(np.std(tests, ddof=1))
    best = [
        next(r for r in run.records if r.epoch == run.run["best_epoch"]).validation_accuracy
        for run in files
    ]
    assert row.validation_accuracy == pytest.approx(np.mean(best))
    assert row.train_loss == pytest.approx(np.mean([run.run["train_loss"] for run in files]))
    assert (row.n, row.runs, row.epochs, row.state) == (3, 3, 6, "finished")
    assert row.changes == "lr 0.001 → 0.0005"
    assert row.seconds == pytest.approx(np.mean([run.run["seconds"] for run in files]))


def test_difference_is_paired_over_shared_seeds(half: Path) -> None:
    rows = rows_of(half)
    base = {score.run.seed: score.test_accuracy for score in rows["baseline"].scores}
    own = {score.run.seed: score.test_accuracy for score in rows["custom2"].scores}
    pairs = [(own[seed] or 0) - (base[seed] or 0) for seed in (0, 1)]
    assert rows["custom2"].difference == pytest.approx(sum(pairs) / 2)
    assert rows["custom2"].difference_n == 2
    assert rows["baseline"].difference is None


def test_unfinished_rows_are_shown_with_what_is_known(half: Path) -> None:
    rows = rows_of(half)
    assert (rows["custom2"].n, rows["custom2"].runs, rows["custom2"].state) == (2, 3, "running")
    assert rows["custom3"].progress == "0 of 3, 1 running, 1 interrupted, 1 pending"
    assert rows["custom3"].so_far
    assert rows["custom3"].test_accuracy is None
    assert rows["custom3"].epochs == 3
    assert rows["custom3"].validation_accuracy is not None
    assert (rows["custom4"].state, rows["custom4"].counts["failed"]) == ("failed", 2)
    assert rows["custom4"].notes[0] == "custom/custom4/seed-0: CUDA out of memory"
    assert rows["baseline"].progress == "3"


def test_a_single_run_has_no_spread(
    tmp_path: Path, study: Study, writer: Callable[..., None]
) -> None:
    one = study.model_copy(update={"seeds": (4,)})
    store.write_study(tmp_path, one)
    for run in runs(one):
        writer(tmp_path, run, ("a", "b"))
    rows = rows_of(tmp_path)
    assert all(row.test_accuracy_spread is None and row.n == 1 for row in rows.values())
    assert "±" not in "".join(render.TEST.text(row) for row in rows.values())


def test_order_of_seeds_changes_nothing(made: Path) -> None:
    files = store.read_runs(made)
    turned = [run for part in range(0, 12, 3) for run in reversed(files[part : part + 3])]
    for one, other in zip(tables.summarise(files), tables.summarise(turned), strict=True):
        assert one.test_accuracy == pytest.approx(other.test_accuracy)
        assert one.difference == pytest.approx(other.difference)


@pytest.mark.parametrize("content", [b"", b"not a zip", None])
def test_damaged_predictions_count_as_failed(made: Path, content: bytes | None) -> None:
    file = made / "custom/custom2/seed-1/predictions.npz"
    file.unlink() if content is None else file.write_bytes(content)
    row = rows_of(made)["custom2"]
    assert (row.n, row.counts, row.state) == (2, {"finished": 2, "failed": 1}, "partial")
    assert "predictions.npz cannot be read" in row.notes[0]


def test_a_diverged_run_does_not_break_the_table(made: Path, rewrite: Callable[..., None]) -> None:
    folder = made / "custom/custom2/seed-1"
    bad = np.full((10, 5), np.nan, np.float32)
    found = store.Predictions(np.array(list("abcdefghij")), np.arange(10) % 5, bad)
    rewrite(folder, {"test": found, "validation": found})
    rows = tables.summarise(store.read_runs(made))
    assert math.isnan(rows[1].test_loss or 0)
    assert json.loads(render.json_lines(rows).splitlines()[1])["test_loss"] is None
    assert render.loss(rows[1].test_loss) == render.DASH


def test_json_is_an_object_a_line_with_the_promised_keys(half: Path) -> None:
    lines = render.json_lines(tables.summarise(store.read_runs(half))).splitlines()
    found = [json.loads(line) for line in lines]
    promised = (
        "table variant changes n test_accuracy test_accuracy_spread test_loss validation_accuracy "
        "validation_loss train_accuracy train_loss epochs seconds state"
    )
    assert all(list(row)[:14] == promised.split() for row in found)
    assert [row["variant"] for row in found] == ["baseline", "custom2", "custom3", "custom4"]
    assert found[2]["test_accuracy"] is None
    assert 0 < found[0]["test_accuracy"] < 1


def test_csv_holds_the_same_rows(made: Path) -> None:
    rows = tables.summarise(store.read_runs(made))
    found = list(csv.DictReader(io.StringIO(render.csv_text(rows))))
    assert float(found[1]["difference"]) == pytest.approx(rows[1].difference)
    assert [row["variant"] for row in found] == [row.variant for row in rows]


def test_markdown_and_latex_are_whole_and_escaped(made: Path) -> None:
    rows = tables.summarise(store.read_runs(made))
    lines = [line for line in render.markdown(rows).splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(rows)
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    text = render.latex(rows)
    assert r"net.early\_pool no $\to$ yes" in text
    assert text.count(r"\\") == 1 + len(rows)
    assert render.tex("50% & #1_a{b}~^\\") == (
        r"50\% \& \#1\_a\{b\}\textasciitilde{}\textasciicircum{}\textbackslash{}"
    )


@pytest.mark.parametrize("width", [80, 120, 160])
def test_the_terminal_table_fits_and_cuts_nothing(half: Path, width: int) -> None:
    rows = tables.summarise(store.read_runs(half))
    console = Console(width=width, record=True, file=io.StringIO())
    terminal.show(rows, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for word in ("baseline", "custom4", "0/3", "failed", "2/3", "running", "CUDA out of", "base"):
        assert word in text


@pytest.mark.parametrize(("width", "below"), [(80, True), (200, False)])
def test_changes_stand_below_the_name_where_the_line_is_too_short(
    tmp_path: Path, writer: Callable[..., None], width: int, below: bool
) -> None:
    variants = {"both": {"lr": 0.002, "label_smoothing": 0.1, "augment.policy": "standard"}}
    table = {"recipe": {"model": "baseline"}, "variants": variants}
    study = Study.model_validate({"name": "one", "tables": {"table": table}})
    store.write_study(tmp_path, study)
    writer(tmp_path, runs(study)[0], ("a", "b"))
    console = Console(width=width, record=True, file=io.StringIO())
    terminal.show(tables.summarise(store.read_runs(tmp_path)), console)
    lines = console.export_text().splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith(" both "))
    assert ("label_smoothing" not in lines[place]) == below
    changes = " ".join(line[1:36].strip() for line in lines[place + 1 : place + 4])
    assert changes.startswith("augment.policy none → standard, ") == below
    assert not below or "label_smoothing 0 → 0.1" in changes


def test_tables_that_no_run_has_begun_are_named_below_the_others(
    tmp_path: Path, writer: Callable[..., None]
) -> None:
    recipe = {"model": "baseline"}
    study = Study.model_validate(
        {"name": "two", "tables": {"later": {"recipe": recipe}, "now": {"recipe": recipe}}}
    )
    store.write_study(tmp_path, study)
    before = tables.summarise(store.read_runs(tmp_path))
    assert [table for table, _ in render.begun(before)] == ["later", "now"]
    assert "not shown" not in render.caption(before)
    writer(tmp_path, runs(study)[-1], ("a", "b"))
    rows = tables.summarise(store.read_runs(tmp_path))
    for text in (render.markdown(rows), page.build(tmp_path).read_text(encoding="utf-8")):
        assert "Not begun, and not shown: later." in text
    assert "later, best on validation" not in text
    assert "**later**" not in render.markdown(rows)
    assert r"\label{tab:later}" not in render.latex(rows)
    assert [row["table"] for row in map(json.loads, render.json_lines(rows).splitlines())] == [
        *("later", "now")
    ]


def test_verdicts_get_a_column(made: Path) -> None:
    said = Said("custom", "custom2", 3, 0.02, -0.01, 0.05, 0.25, "can't tell yet", "too few seeds")
    rows = tables.summarise(store.read_runs(made), [said])
    assert rows[1].verdict is said
    assert "can't tell yet" in render.markdown(rows)
    assert json.loads(render.json_lines(rows).splitlines()[1])["low"] == -0.01
    assert render.VERDICT not in render.with_verdicts(tables.summarise(store.read_runs(made)))


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (0.44, "0.4 s"),
        (52, "52 s"),
        (59.6, "1.0 min"),
        (3420, "57 min"),
        (7600, "2.1 h"),
    ],
)
def test_durations(seconds: float | None, said: str) -> None:
    assert render.duration(seconds) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, "–"), (0.0123, "+1.2"), (-0.008, "−0.8"), (-0.0001, "0.0")]
)
def test_points(value: float | None, said: str) -> None:
    assert render.points(value) == said


def test_nothing_of_the_report_imports_torch() -> None:
    names = "evaluate scores tables render terminal confusion curves colours figures report page "
    names += "judged replication"
    code = (
        f"import sys; from bakeoff import {', '.join(names.split())}; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
