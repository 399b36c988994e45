"""What the page says of recipes, photographs, machines and how to repeat the study: plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bakeoff.page.words import counted, progress
from bakeoff.recipe import Recipe, flat
from bakeoff.render import duration
from bakeoff.store import RunFiles
from bakeoff.study import Study
from bakeoff.tables import TableRow

LONG = 12


@dataclass(frozen=True)
class Fact:
    """A named thing: a text, or a list of named things; long lists are folded on the page."""

    name: str
    text: str = ""
    items: tuple[Fact, ...] = ()

    @property
    def long(self) -> bool:
        """Whether the page should fold it."""
        return len(self.items) > LONG


@dataclass(frozen=True)
class Setting:
    """A set of facts shared by some runs."""

    runs: tuple[str, ...]
    facts: tuple[Fact, ...]


def overview(study: Study, rows: Sequence[TableRow]) -> tuple[Fact, ...]:
    """Return the few numbers for the head of the page; what is not known yet is left out."""
    runs = finished(rows)
    images = max((row.test_images or 0 for row in rows), default=0)
    hardware = sorted({str(run.run.get("environment", {}).get("hardware", "")) for run in runs})
    reads = sum(row.test_reads for row in rows)
    found = {
        "Runs": progress(rows),
        "Seeds": ", ".join(
            map(str, sorted({score.run.seed for row in rows for score in row.scores}))
        ),
        "Each seed varies": ", ".join(study.vary),
        "Test photographs": f"{images:,} in {len(class_map(rows))} classes" if images else "",
        "Test read": f"{counted(reads, 'time')} for {counted(len(runs), 'run')}" if reads else "",
        "All the training": duration(sum(row.seconds_total for row in rows) or None),
        "Hardware": "; ".join(name for name in hardware if name),
    }
    return tuple(Fact(key, text) for key, text in found.items() if text)


def recipe(row: TableRow) -> tuple[Fact, ...]:
    """Return all fields of a row's recipe."""
    fields = flat(Recipe.model_validate(row.scores[0].run.recipe))
    return tuple(Fact(name, said(value)) for name, value in fields.items())


def change(row: TableRow) -> tuple[tuple[str, str, str], ...]:
    """Return a row's difference to its base: (field, base value, own value)."""
    found: Mapping[str, Sequence[Any]] = row.scores[0].run.change
    return tuple((name, said(old), said(new)) for name, (old, new) in found.items())


def settings(rows: Sequence[TableRow], part: str) -> tuple[Setting, ...]:
    """Return the distinct values of run.json's `part` (`data`, `environment`), commonest first."""
    groups: dict[str, tuple[dict[str, Any], list[str]]] = {}
    for run in finished(rows):
        value = run.run.get(part) or {}
        key = yaml.safe_dump(value, allow_unicode=True)
        groups.setdefault(key, (value, []))[1].append(f"{run.table}/{run.variant}/seed-{run.seed}")
    ordered = sorted(groups.values(), key=lambda group: -len(group[1]))
    return tuple(Setting(tuple(names), facts(value)) for value, names in ordered)


def facts(value: Mapping[str, Any]) -> tuple[Fact, ...]:
    """Turn nested data into facts; underscores in names become spaces."""
    return tuple(_fact(str(name).replace("_", " "), inner) for name, inner in value.items())


def class_map(rows: Sequence[TableRow]) -> tuple[str, ...]:
    """Return the class names in the order of their numbers, from the first finished run."""
    return next((tuple(run.run["classes"]) for run in finished(rows)), ())


def finished(rows: Sequence[TableRow]) -> list[RunFiles]:
    """Return the finished runs of all rows."""
    return [score.run for row in rows for score in row.scores if score.state == "finished"]


def command(study: Study, rows: Sequence[TableRow]) -> str:
    """Return the command that repeats the study from the study file shown on the page."""
    seeds = max((row.runs for row in rows), default=0)
    more = f" --seeds {seeds}" if seeds > len(study.seeds) else ""
    return f"bakeoff run study.yaml{more}"


def study_text(folder: Path) -> str:
    """Return the study file that lies beside the runs."""
    return (folder / "study.yaml").read_text(encoding="utf-8")


def said(value: Any) -> str:
    """Say a plain value: lists joined, yes and no, `unset` for what is not given."""
    if isinstance(value, list | tuple):
        return " + ".join(map(said, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "unset" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _fact(name: str, value: Any) -> Fact:
    if isinstance(value, Mapping):
        return Fact(name, items=tuple(_fact(str(key), inner) for key, inner in value.items()))
    if isinstance(value, list | tuple):
        return Fact(
            name, items=tuple(_fact(str(place), inner) for place, inner in enumerate(value))
        )
    if isinstance(value, int) and not isinstance(value, bool):
        return Fact(name, f"{value:,}")
    return Fact(name, said(value))
