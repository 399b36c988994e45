"""What stands above a figure, and which colours its rows have."""

from __future__ import annotations

from collections.abc import Mapping

from bakeoff.colours import Look
from bakeoff.render import percent, points
from bakeoff.tables import TableRow

Looks = Mapping[tuple[str, str], Look]


def title(row: TableRow) -> str:
    """Name a row, its change, its test accuracy and its difference to the base."""
    changes = "" if row.is_base else f" ({row.changes})"
    said = [f"{row.table}/{row.variant}{changes}"]
    if row.n:
        said.append(f"test {percent(row.test_accuracy, row.test_accuracy_spread)} %, n = {row.n}")
    if row.difference is not None:
        said.append(f"{points(row.difference)} points to {row.base}")
    return "; ".join(said)
