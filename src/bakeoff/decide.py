"""More paired seeds until every change is decided, under a rule that keeps the error rate.

The rule is `evidence.sequential`'s: it may be looked at after every seed. What it says is kept in
`decisions.json` beside the runs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from time import monotonic

from bakeoff.cluster import execute
from bakeoff.events import Event
from bakeoff.evidence.reading import series, shared_seeds
from bakeoff.evidence.sequential import Decision, first_look, next_steps
from bakeoff.fields import RecipeError
from bakeoff.files import write_json
from bakeoff.plan import Progress
from bakeoff.settings import Settings
from bakeoff.store import read_runs
from bakeoff.study import Run, Study, numbers, rows, runs

MOST_SEEDS = 30
SECONDS = {"s": 1, "m": 60, "h": 3600}

Decisions = dict[tuple[str, str], Decision]
"""(table, variant) -> where it stands."""


def until_decided(
    study: Study,
    only: Sequence[str],
    folder: Path,
    settings: Settings,
    *,
    budget_seconds: float | None = None,
    most: int = MOST_SEEDS,
    on_progress: Progress | None = None,
) -> Iterator[Event]:
    """Run seed after seed of the chosen variants and their bases; yield what happens.

    A variant that is decided gets no more seeds. Ends when all are, when `most` seeds cannot decide
    the rest, or before a seed that would not fit into the budget. A cluster gets all seeds at once
    up to the next look that can decide anything, so none is run in vain there either.
    """
    undecided = {(row.table, row.variant) for row in rows(study, only) if not row.is_base}
    if not undecided:
        raise RecipeError("--until-decided: no variant was chosen; allowed: tables or variants")
    began, longest = monotonic(), 0.0
    left = islice(numbers(study), most)
    at_once = first_look() if settings.cluster else 1
    while seeds := list(islice(left, at_once)):
        started = monotonic()
        if budget_seconds and started - began + longest > budget_seconds:
            return
        yield from execute(study, _paired(study, undecided, seeds), folder, settings, on_progress)
        longest = max(longest, monotonic() - started)
        found = decisions(study, folder, most)
        write_json(
            folder / "decisions.json",
            {f"{table}/{variant}": asdict(step) for (table, variant), step in found.items()},
        )
        undecided = {row for row in undecided if found[row].decided is None and found[row].more}
        if not undecided:
            return
        if settings.cluster:
            at_once = min(found[row].more for row in undecided)


def decisions(study: Study, folder: Path, most: int = MOST_SEEDS) -> Decisions:
    """Apply the rule to every variant of the study in `folder`, over the seeds it has so far."""
    found: Decisions = {}
    rows_ = series(read_runs(folder), "test")
    order = {seed: place for place, seed in enumerate(islice(numbers(study), most))}
    for base in (row for row in rows_ if row.is_base):
        differences = {}
        for row in rows_:
            if row.table == base.table and not row.is_base:
                seeds = sorted(shared_seeds(row, base), key=lambda seed: order.get(seed, most))
                differences[row.variant] = [
                    row.runs[seed].accuracy - base.runs[seed].accuracy for seed in seeds
                ]
        steps = next_steps(differences, most)
        found |= {(base.table, variant): step for variant, step in steps.items()}
    return found


def seconds(text: str) -> float:
    """Read a time such as `90s`, `45m` or `2h`; RecipeError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smh])", text.strip())
    if not match or float(match[1]) <= 0:
        raise RecipeError(f"--budget: {text!r} is not a time; allowed: 90s, 45m, 2h")
    return float(match[1]) * SECONDS[match[2]]


def _paired(study: Study, undecided: set[tuple[str, str]], seeds: list[int]) -> list[Run]:
    """Return the runs of `seeds`: the undecided variants, and the bases they are held against."""
    tables = {table for table, _ in undecided}
    return [
        run
        for run in runs(study, seeds=seeds)
        if (run.row.table, run.row.variant) in undecided
        or (run.row.is_base and run.row.table in tables)
    ]
