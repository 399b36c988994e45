"""A table of the study `beyond`, or some of its rows, carried out and kept as data.

    python -m benchmarks.beyond heads --data FOOD101 --weights RESNET18.safetensors

The study folder with its page is left below `--runs`; finished runs there are not repeated. Rows
left out count nowhere: verdicts are corrected for the changes that were tried.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff import study as studies
from bakeoff.settings import Settings
from bakeoff.study import Study
from benchmarks import harness

if TYPE_CHECKING:
    from bakeoff.tables import TableRow

KEPT = (
    "changes",
    "n",
    "test_accuracy",
    "test_accuracy_spread",
    "test_images",
    "validation_accuracy",
    "train_accuracy",
    "train_loss",
    "seconds",
    "parameters",
)
SAID = ("difference", "low", "high", "p", "verdict")


def main(arguments: Sequence[str] | None = None) -> None:
    from bakeoff import conduct, report
    from bakeoff.cli.console import err, out

    options = _options(arguments)
    chosen = [name for name in options.rows.split(",") if name]
    asked = studies.overridden(
        part(studies.read("beyond"), options.table, chosen), _overrides(options)
    )
    folder = options.runs / asked.name
    runs = studies.runs(asked, seeds=options.seeds)
    if failed := conduct.plan(conduct.Job(asked, folder, Settings(), out, err), runs):
        raise SystemExit(f"{failed} runs failed")
    rows = [row for row in report.rows_of(folder) if row.table == options.table]
    first = rows[0].scores[0].run.run
    settings = {
        "photographs": {"train": first["train_images"], "test": rows[0].test_images},
        "set": options.set or [],
    }
    title = "-".join(filter(None, ("beyond", options.table, options.label)))
    print(harness.write(title, settings, kept(rows), options.out))


def part(study: Study, table: str, variants: Sequence[str]) -> Study:
    """Return `study` with this table alone, and of its variants those (none: all).

    SystemExit where it has no such table or variant; the base is always kept.
    """
    if table not in study.tables:
        raise SystemExit(f"there is no table {table}; there are: {', '.join(study.tables)}")
    whole = study.tables[table]
    if unknown := [name for name in variants if name not in (*whole.variants, whole.base)]:
        known = ", ".join((whole.base, *whole.variants))
        raise SystemExit(f"--rows: there is no {unknown[0]}; there are: {known}")
    some = {n: change for n, change in whole.variants.items() if not variants or n in variants}
    smaller = whole.model_copy(update={"variants": some})
    return study.model_copy(update={"tables": {table: smaller}})


def kept(rows: Sequence[TableRow]) -> dict[str, dict[str, Any]]:
    """Return what is kept of every row: its figures, and what can be said of its change."""
    found = {}
    for row in rows:
        figures = {name: getattr(row, name) for name in KEPT}
        said = {name: getattr(row.verdict, name) for name in SAID} if row.verdict else {}
        found[row.variant] = figures | said
    return found


def _overrides(options: argparse.Namespace) -> list[str]:
    given = [*(options.set or []), f"data.source={options.data}"]
    return given + ([f"{options.table}/weights={options.weights}"] if options.weights else [])


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.beyond", description=__doc__.splitlines()[0])
    parser.add_argument("table", help="resnet18, vgg16_bn, small or heads")
    parser.add_argument("--data", required=True, help="photographs")
    parser.add_argument("--weights", default="", help="a file of start weights, not imagenet")
    parser.add_argument("--rows", default="", help="variants, comma-separated; all by default")
    parser.add_argument("--seeds", type=int, help="how many; the study's own by default")
    parser.add_argument("--set", action="append", help="field=value, as of `bakeoff run`")
    parser.add_argument("--label", default="", help="part of the result's name, beside others")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the study goes")
    parser.add_argument("--out", type=Path, default=harness.RESULTS)
    options = parser.parse_args(arguments)
    for name in ("data", "weights"):
        if (given := getattr(options, name)) and Path(given).exists():
            setattr(options, name, str(Path(given).absolute()))
    return options


if __name__ == "__main__":
    main()
