"""Figures for papers (Matplotlib): curves, effects, cost, confusion; as PDF, SVG and PNG.

Every figure is made from rows and run folders, without pyplot and without global state; the same
input gives the same bytes. What a variant looks like is decided in `colours`; what the nets
learned is drawn in `explain`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bakeoff.colours import looks
from bakeoff.confusion import pooled
from bakeoff.figures.curves import curve_figure, overlay_figure
from bakeoff.figures.results import (
    confusion_figure,
    cost_figure,
    effects_figure,
    reliability_figure,
)
from bakeoff.figures.titles import title
from bakeoff.paper import save
from bakeoff.render import by_table
from bakeoff.tables import TableRow

__all__ = ["draw", "reliability_figure"]


def draw(rows: Sequence[TableRow], folder: Path, *, every: bool = True) -> list[Path]:
    """Draw the figures that `rows` have data for into `folder`; return the files.

    Without `every` these are a table's curves and effects, and accuracy against cost; with it also
    the curves and the confusion matrix of each variant.
    """
    return [
        file
        for stem, figure in (*_of_tables(rows), *(_of_variants(rows) if every else ()))
        for file in save(figure, folder, stem)
    ]


def _of_tables(rows: Sequence[TableRow]) -> Iterator[tuple[str, Figure]]:
    look = looks((row.table, row.variant, row.is_base) for row in rows)
    for table, group in by_table(_begun(rows)):
        yield f"curves-{table}", overlay_figure(group, look)
        if changes := [row for row in group if row.difference is not None]:
            yield f"effects-{table}", effects_figure(changes, look)
    if any(row.n and row.seconds for row in rows):
        yield "accuracy-cost", cost_figure(rows, look)


def _of_variants(rows: Sequence[TableRow]) -> Iterator[tuple[str, Figure]]:
    look = looks((row.table, row.variant, row.is_base) for row in rows)
    for row in _begun(rows):
        yield f"curves-{row.table}-{row.variant}", curve_figure(row, look[row.table, row.variant])
        if found := pooled(row):
            stem = f"confusion-{row.table}-{row.variant}"
            yield stem, confusion_figure(found.counts, found.classes, title(row))


def _begun(rows: Sequence[TableRow]) -> list[TableRow]:
    return [row for row in rows if any(score.epochs for score in row.scores)]
