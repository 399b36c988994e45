"""Rows with their verdicts, which every report begins with: `tables` and `evidence` together."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bakeoff.evidence import compare
from bakeoff.store import RunFiles, read_runs
from bakeoff.tables import TableRow, summarise


def rows_of(folder: Path) -> list[TableRow]:
    """Return the rows of the study in `folder`, each change with its verdict.

    Raises RecipeError where there is no study.
    """
    return judged(read_runs(folder))


def judged(runs: Sequence[RunFiles]) -> list[TableRow]:
    """Return the rows of `runs`; verdicts also say what is left without leaked test photographs."""
    return summarise(runs, compare(runs, leaked=leaked(runs)))


def leaked(runs: Sequence[RunFiles]) -> set[str]:
    """Return the test photographs that training or validation held too, as the runs noted."""
    return {name for run in runs for name in run.run.get("data", {}).get("leaked") or ()}
