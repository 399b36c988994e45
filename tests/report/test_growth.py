"""The learning curve of a folder: found in the rows, said in words, drawn on the page."""

from __future__ import annotations

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bakeoff import page, store
from bakeoff.evidence import learning_curve
from bakeoff.growth import growths
from bakeoff.judged import rows_of
from bakeoff.study import Study, runs
from bakeoff.terminal import terminal

SHARES = {"half": 0.5, "quarter": 0.25, "eighth": 0.125}
CLASSES = ("a", "b", "c", "d")


def written(
    folder: Path, writer: Callable[..., None], variants: dict[str, dict[str, Any]], seeds: int = 2
) -> Path:
    table = {"base": "all", "recipe": {"model": "baseline"}, "variants": variants}
    study = Study.model_validate(
        {"name": "curve", "seeds": tuple(range(seeds)), "tables": {"photographs": table}}
    )
    store.write_study(folder, study)
    for run in runs(study):
        writer(folder, run, CLASSES)
        path = folder / run.name / "run.json"
        content = json.loads(path.read_text())
        del content["checksum"]
        content["train_images"] = round(4 * 800 * run.row.recipe.train_share)
        path.write_text(json.dumps(content))
    return folder


@pytest.fixture
def folder(tmp_path: Path, writer: Callable[..., None]) -> Path:
    return written(tmp_path, writer, {name: {"train_share": s} for name, s in SHARES.items()})


def test_the_curve_is_fitted_to_photographs_a_class(folder: Path) -> None:
    rows = rows_of(folder)
    (growth,) = growths(rows)
    assert [size.per_class for size in growth.sizes] == [100, 200, 400, 800]
    largest = tuple(score.test_accuracy for score in rows[0].scores)
    assert growth.sizes[-1].accuracies == largest
    fitted = learning_curve({size.per_class: size.accuracies for size in growth.sizes})
    assert growth.gain == fitted.gain(100)


def test_what_more_would_bring_is_said_with_its_uncertainty(folder: Path) -> None:
    (growth,) = growths(rows_of(folder))
    gained, interval = growth.gain
    assert interval is not None
    said = growth.in_words()
    assert said.startswith("100 more photographs a class, beyond the 800 there are, would bring ")
    assert f"{100 * gained:+.1f} points (95 % interval {100 * interval.low:+.1f} to " in said
    console = Console(file=StringIO(), width=300, force_terminal=False)
    console.print(terminal(rows_of(folder)))
    assert said in console.file.getvalue()  # type: ignore[attr-defined]
    text = page.build(folder).read_text(encoding="utf-8")
    assert text.count(f'aria-label="{said}"') == 1


def test_one_seed_a_size_has_no_uncertainty_and_says_so(
    tmp_path: Path, writer: Callable[..., None]
) -> None:
    shares = {name: {"train_share": share} for name, share in SHARES.items()}
    (growth,) = growths(rows_of(written(tmp_path, writer, shares, seeds=1)))
    assert "not known from one seed a size" in growth.in_words()


@pytest.mark.parametrize(
    "variants",
    [
        {"half": {"train_share": 0.5}},
        {"half": {"train_share": 0.5}, "third": {"train_share": 0.3}, "slow": {"lr": 1e-4}},
    ],
    ids=["two sizes", "something else varies"],
)
def test_other_tables_have_no_curve(
    tmp_path: Path, writer: Callable[..., None], variants: dict[str, dict[str, Any]]
) -> None:
    folder = written(tmp_path, writer, variants)
    assert growths(rows_of(folder)) == ()
    assert 'id="growth"' not in page.build(folder).read_text(encoding="utf-8")
