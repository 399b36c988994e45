"""A run folder held against the report: its rows beside the printed ones, claims, doubts.

Everything said of our side is read from run folders: photographs, classes, resolution, weights,
epochs, seeds, hardware.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bakeoff import store
from bakeoff.evidence import Judgement, judge, read_claims
from bakeoff.fields import RecipeError
from bakeoff.judged import rows_of
from bakeoff.recipe import Recipe, difference, in_words
from bakeoff.replication.printed import DOUBTED, REPLAYED, Doubt, PrintedRow, PrintedTable, report
from bakeoff.scores import Score
from bakeoff.study import Row, Study, read, rows
from bakeoff.tables import TableRow

SHOWN = 8


@dataclass(frozen=True)
class Replay:
    """A study folder of the report's rows or doubts; `judgements` are of the report's claims."""

    study: Study
    rows: tuple[TableRow, ...]
    judgements: tuple[Judgement, ...]

    def finished(self, table: str) -> list[TableRow]:
        """Return the rows of `table` with a finished run."""
        return [row for row in self.rows if row.table == table and row.n]


@dataclass(frozen=True)
class Pair:
    """A printed row and ours; `ours` is None where no run of it is finished."""

    printed: PrintedRow
    ours: TableRow | None
    printed_difference: float | None


@dataclass(frozen=True)
class Settled:
    """A doubt and what the runs say of it; `row` is None where they have not been made."""

    doubt: Doubt
    base: TableRow | None
    row: TableRow | None
    command: str


def read_replay(folder: Path) -> Replay:
    """Read a folder of `food101-20` or `report-doubts`; RecipeError for any other study."""
    study = store.read_study(folder)
    if study.name not in (REPLAYED, DOUBTED):
        raise RecipeError(
            f"{folder}: {study.name} is not a study of the report; allowed: {REPLAYED} or {DOUBTED}"
        )
    return replay(study, rows_of(folder))


def replay(study: Study, found: Sequence[TableRow]) -> Replay:
    """Hold the rows of `study`, already read, against the report."""
    runs = [score.run for row in found for score in row.scores]
    judged = judge(read_claims(REPLAYED), runs) if study.name == REPLAYED else []
    return Replay(study, tuple(found), tuple(judged))


def pairs(table: PrintedTable, found: Replay | None) -> tuple[Pair, ...]:
    """Return each printed row of `table` with ours."""
    ours = {row.variant: row for row in found.finished(table.name)} if found else {}
    base = table.rows[0]
    return tuple(
        Pair(
            printed=row,
            ours=ours.get(row.variant),
            printed_difference=None if row is base else row.test.accuracy - base.test.accuracy,
        )
        for row in table.rows
    )


def settle(found: Replay | None) -> tuple[Settled, ...]:
    """Return each doubt with the rows that settle it, from a replay of `report-doubts`."""
    return tuple(_settled(doubt, found) for doubt in report().doubts)


def conditions(found: Sequence[TableRow]) -> tuple[tuple[str, str], ...]:
    """Say what finished rows of one table were run on and with: (what, how it was)."""
    scores = [score for row in found for score in row.scores if score.state == "finished"]
    recipes = [Recipe.model_validate(score.run.recipe) for score in scores]
    seeds = sorted({row.n for row in found})
    said = {
        "Photographs": _distinct(map(_photographs, scores)),
        "Classes": _distinct(_classes(tuple(score.run.run["classes"])) for score in scores),
        "Resolution": _distinct(f"{r.size} px of {r.side} kept" for r in recipes),
        "Start weights": _distinct(Path(recipe.weights).name for recipe in recipes),
        "Epochs": _distinct(_epochs(score) for score in scores),
        "Seeds a row": " to ".join(map(str, dict.fromkeys((seeds[0], seeds[-1])))),
        "Hardware": _distinct(map(_hardware, scores)),
        "Other than in the shipped study": _distinct(_departures(found)) or "nothing",
    }
    return tuple((name, text) for name, text in said.items() if text)


def _settled(doubt: Doubt, found: Replay | None) -> Settled:
    ours = found.finished(doubt.table) if found and doubt.table else []
    base = next((row for row in ours if row.is_base), None)
    row = next((row for row in ours if not row.is_base), None) if base else None
    command = f"bakeoff run {DOUBTED} --only {doubt.table}" if doubt.table else ""
    return Settled(doubt, base, row, command)


def _photographs(score: Score) -> str:
    counts = score.run.run.get("data", {}).get("counts", {})
    return ", ".join(f"{number:,} {split}" for split, number in counts.items())


def _classes(ours: tuple[str, ...]) -> str:
    """Say how many classes there are and which are the report's, by name."""
    theirs = report().classes
    shared = [name for name in ours if name in theirs]
    if set(ours) == set(theirs):
        return f"the report's {len(theirs)}, by name"
    others = [name for name in ours if name not in theirs]
    said = f"{len(ours)}, {len(shared)} of them the report's{_names(shared)}"
    if others:
        said += f"; not the report's: {_names(others).strip(' ()')}"
    return f"{said}. So these are other photographs: compare differences, not accuracies"


def _names(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f" ({', '.join(names[:SHOWN])}{more})"


def _epochs(score: Score) -> str:
    return f"{score.run.recipe['epochs']}, batch {score.run.recipe['batch']}"


def _hardware(score: Score) -> str:
    found = score.run.run.get("environment", {})
    cores = f", {found['cores']} cores" if found.get("device") == "cpu" else ""
    return f"{found.get('hardware', 'not known')}{cores}, {found.get('precision', '?')}"


def _departures(found: Sequence[TableRow]) -> list[str]:
    """Say in which fields the rows are not those of the shipped study; files count by name."""
    said = []
    for row in found:
        shipped = _shipped().get((row.table, row.variant))
        ours = Recipe.model_validate(row.scores[0].run.recipe)
        if shipped:
            change = difference(shipped.recipe, ours)
            change.pop("weights", None)
            said.append(in_words(change) if change else "")
    return [text for text in said if text]


@cache
def _shipped() -> dict[tuple[str, str], Row]:
    found = [row for name in (REPLAYED, DOUBTED) for row in rows(read(name))]
    return {(row.table, row.variant): row for row in found}


def _distinct(texts: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))
