"""What the report behind `food101-20` prints: rows, photographs, and where it contradicts itself.

The figures lie in `printed.yaml`; accuracies are % there, as printed, and 0..1 here.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

REPLAYED = "food101-20"
DOUBTED = "report-doubts"


@dataclass(frozen=True)
class Figures:
    """Accuracy and loss of one split; a loss that was not printed is None."""

    accuracy: float
    loss: float | None


@dataclass(frozen=True)
class PrintedRow:
    """One row of one of the report's tables; `note` says what is odd about it."""

    table: str
    variant: str
    train: Figures
    validation: Figures
    test: Figures
    note: str


@dataclass(frozen=True)
class PrintedTable:
    """A table of the report: its number there, its name here, its rows, the base first."""

    name: str
    number: int
    rows: tuple[PrintedRow, ...]


@dataclass(frozen=True)
class Doubt:
    """A contradiction: what is printed, what is done here, and the table that settles it, or ''."""

    question: str
    printed: str
    here: str
    table: str


@dataclass(frozen=True)
class Report:
    """The report; `curves` are the table and variant of each of its figures 1 to 4."""

    source: str
    size: int
    epochs: int
    photographs: dict[str, int]
    hardware: str
    classes: tuple[str, ...]
    curves: tuple[tuple[str, str], ...]
    tables: tuple[PrintedTable, ...]
    doubts: tuple[Doubt, ...]

    def table(self, name: str) -> PrintedTable | None:
        """Return the table that is called `name` here."""
        return next((table for table in self.tables if table.name == name), None)


@cache
def report() -> Report:
    """Read the report's figures from the package."""
    text = files("bakeoff.replication").joinpath("printed.yaml").read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    return Report(
        source=content["source"],
        size=content["size"],
        epochs=content["epochs"],
        photographs=content["photographs"],
        hardware=content["hardware"],
        classes=tuple(content["classes"].split()),
        curves=tuple(_place(name) for name in content["curves"]),
        tables=tuple(_table(name, fields) for name, fields in content["tables"].items()),
        doubts=tuple(
            Doubt(each["question"], each["printed"], each["here"], each.get("table", ""))
            for each in content["doubts"]
        ),
    )


def _place(name: str) -> tuple[str, str]:
    table, variant = name.split("/")
    return table, variant


def _table(name: str, fields: dict[str, Any]) -> PrintedTable:
    rows = (_row(name, variant, row) for variant, row in fields["rows"].items())
    return PrintedTable(name, fields["number"], tuple(rows))


def _row(table: str, variant: str, fields: dict[str, Any]) -> PrintedRow:
    splits = {split: _figures(*fields[split]) for split in ("train", "validation", "test")}
    return PrintedRow(table, variant, **splits, note=fields.get("note", ""))


def _figures(accuracy: float, loss: float | None) -> Figures:
    return Figures(accuracy / 100, loss)
