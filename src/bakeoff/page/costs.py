"""Points gained a minute, and which rows no other beats in both accuracy and time."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.evidence import pareto
from bakeoff.evidence.cost import points_per_minute
from bakeoff.page.svg import signed
from bakeoff.render import DASH
from bakeoff.tables import TableRow


def per_minute(row: TableRow) -> float | None:
    """Return the points gained over the base for each minute the row trains."""
    if row.difference is None or row.seconds is None:
        return None
    return points_per_minute(row.difference, row.seconds)


def front(rows: Sequence[TableRow]) -> set[tuple[str, str]]:
    """Return (table, variant) of the rows on the Pareto front of all tables."""
    known = [
        (row.seconds, row.test_accuracy, row)
        for row in rows
        if row.n and row.seconds is not None and row.test_accuracy is not None
    ]
    places = pareto([(seconds, accuracy) for seconds, accuracy, _ in known])
    return {(known[place][2].table, known[place][2].variant) for place in places}


def said(gained: float | None) -> str:
    """Say points a minute."""
    return DASH if gained is None else signed(gained / 100)
