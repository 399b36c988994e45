"""What a plan cannot decide, whatever comes out of it: said before hours are spent on it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bakeoff.evidence.paired import least_seeds
from bakeoff.study import Run, Study


def undecidable(study: Study, runs: Sequence[Run]) -> Iterator[str]:
    """Yield a sentence for each table whose changes have too few seeds in `runs` for any verdict.

    All changes of a table count, also those that are not run now, as they do in its verdicts.
    """
    for name, table in study.tables.items():
        own = [run for run in runs if run.row.table == name]
        seeds, changes = len({run.seed for run in own}), len(table.variants)
        least = least_seeds(changes)
        if seeds < least and not all(run.row.is_base for run in own):
            yield (
                f"{name}: {_counted(seeds, 'seed')} cannot decide {_counted(changes, 'change')}, "
                f"however large the difference; --seeds {least} can"
            )


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"
