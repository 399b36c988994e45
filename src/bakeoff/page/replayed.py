"""The report replayed, on the page of `food101-20` and of `report-doubts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bakeoff import replication
from bakeoff.replication import Pair, Replay, Settled
from bakeoff.replication.printed import PrintedTable
from bakeoff.study import Study
from bakeoff.tables import TableRow


@dataclass(frozen=True)
class Table:
    """A table of the report with our rows beside its own, and what ours were run on."""

    printed: PrintedTable
    pairs: tuple[Pair, ...]
    conditions: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Curves:
    """One of the report's figures of curves: its number there, and our row."""

    number: int
    row: TableRow


@dataclass(frozen=True)
class Replayed:
    """What the page shows: tables and curves for `food101-20`, contradictions for both studies."""

    source: str
    found: Replay
    tables: tuple[Table, ...]
    curves: tuple[Curves, ...]
    doubts: tuple[Settled, ...]


def replayed(study: Study, rows: Sequence[TableRow]) -> Replayed | None:
    """Hold the rows against the report; None for a study that is not of the report."""
    if study.name not in (replication.REPLAYED, replication.DOUBTED):
        return None
    found = replication.replay(study, rows)
    tables = replication.report().tables if study.name == replication.REPLAYED else ()
    return Replayed(
        source=replication.report().source,
        found=found,
        tables=tuple(_table(table, found) for table in tables),
        curves=_curves(rows) if tables else (),
        doubts=replication.settle(found),
    )


def _curves(rows: Sequence[TableRow]) -> tuple[Curves, ...]:
    begun = {(row.table, row.variant): row for row in rows if any(s.epochs for s in row.scores)}
    places = enumerate(replication.report().curves, 1)
    return tuple(Curves(number, begun[place]) for number, place in places if place in begun)


def _table(table: PrintedTable, found: Replay) -> Table:
    ran = found.finished(table.name)
    return Table(
        table,
        replication.pairs(table, found),
        replication.conditions(ran) if ran else (),
    )
