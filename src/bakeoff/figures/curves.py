"""Loss beside accuracy by epoch: of one variant, as the report prints it, or of a whole table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bakeoff.colours import Look
from bakeoff.curves import Curve, curves
from bakeoff.figures.titles import Looks, title
from bakeoff.paper import styled
from bakeoff.tables import TableRow

_LINES = (
    ("train", "train, as trained on", (0, (1, 1.5))),
    ("clean", "train, clean", (0, (5, 2))),
    ("validation", "validation", "solid"),
)


def curve_figure(row: TableRow, look: Look) -> Figure:
    """Loss beside accuracy of one variant: training as run and clean, validation; as the report."""
    with styled(grid=True):
        figure = Figure(figsize=(6.3, 2.5))
        found = curves([score.run for score in row.scores])
        panels = zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True)
        for axes, measure in panels:
            for series, label, dash in _LINES:
                if line := found.get(f"{series}_{measure}"):
                    _line(axes, line, measure, look.colour, label=label, linestyle=dash)
            _label(axes, measure)
        figure.axes[0].legend()
        figure.suptitle(title(row), x=0.01, ha="left", fontsize=8)
    return figure


def overlay_figure(rows: Sequence[TableRow], look: Looks) -> Figure:
    """Loss beside accuracy of all variants of a table, on validation."""
    with styled(grid=True):
        figure = Figure(figsize=(6.3, 2.9))
        panels = zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True)
        for axes, measure in panels:
            for row in rows:
                line = curves([score.run for score in row.scores]).get(f"validation_{measure}")
                if line:
                    colour = look[row.table, row.variant].colour
                    _line(axes, line, measure, colour, label=row.variant)
            _label(axes, measure)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 6))
        said = f"{rows[0].table}: validation; bands: ± 1 standard deviation over runs"
        figure.suptitle(said, x=0.01, ha="left", fontsize=8)
    return figure


def _line(axes: Axes, line: Curve, measure: str, colour: str, **style: Any) -> None:
    factor = 100 if measure == "accuracy" else 1
    means = factor * np.array(line.means)
    spreads = factor * np.array([spread or 0.0 for spread in line.spreads])
    marker = "o" if len(line.epochs) == 1 else None
    axes.plot(line.epochs, means, color=colour, marker=marker, markersize=3, **style)
    if spreads.any():
        axes.fill_between(
            line.epochs, means - spreads, means + spreads, color=colour, alpha=0.15, linewidth=0
        )


def _label(axes: Axes, measure: str) -> None:
    axes.set_xlabel("epoch")
    axes.set_ylabel("accuracy, %" if measure == "accuracy" else "loss, nats")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
