"""What came out of the runs: effects, accuracy against cost, confusion, reliability."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from bakeoff.evaluate import Integers
from bakeoff.evidence.calibration import Bin
from bakeoff.figures.titles import Looks
from bakeoff.paper import styled
from bakeoff.tables import TableRow

_MARKERS = {
    **{"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D"},
    **{"pentagon": "p", "star": "*"},
}
_MOST_WRITTEN, _MOST_NAMED = 25, 60


def effects_figure(rows: Sequence[TableRow], look: Looks) -> Figure:
    """Each change's mean difference to its base in points, with the 95 % interval over seeds."""
    with styled(grid=True):
        figure = Figure(figsize=(6.3, 0.7 + 0.27 * len(rows)))
        axes = figure.subplots()
        for place, row in enumerate(rows):
            verdict = row.verdict
            if verdict is None or verdict.difference is None:
                continue
            colour, mean = look[row.table, row.variant].colour, 100 * verdict.difference
            if verdict.low is not None and verdict.high is not None:
                ends = (100 * verdict.low, 100 * verdict.high)
                axes.plot(ends, (place, place), color=colour, linewidth=1.6)
            axes.plot(mean, place, marker="o", markersize=4, color=colour)
            said = f"{verdict.verdict}, n = {verdict.n}"
            axes.annotate(said, (1.01, place), xycoords=("axes fraction", "data"), va="center")
        axes.axvline(0, color="#555555", linewidth=0.8, linestyle=(0, (1, 1.5)))
        axes.set_yticks(range(len(rows)), [row.variant for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel("points of test accuracy beyond the base; 95 % intervals over seeds")
    return figure


def cost_figure(rows: Sequence[TableRow], look: Looks) -> Figure:
    """Test accuracy against the seconds of one run, with the spread over seeds."""
    with styled(grid=True):
        figure = Figure(figsize=(6.3, 3.2))
        axes = figure.subplots()
        for row in rows:
            if not row.n or row.test_accuracy is None or not row.seconds:
                continue
            own = look[row.table, row.variant]
            spread = None if row.test_accuracy_spread is None else 100 * row.test_accuracy_spread
            axes.errorbar(
                row.seconds / 60,
                100 * row.test_accuracy,
                yerr=spread,
                color=own.colour,
                marker=_MARKERS[own.marker.removesuffix("-open")],
                markerfacecolor="white" if own.marker.endswith("-open") else own.colour,
                markersize=5,
                linestyle="none",
                elinewidth=0.8,
                label=f"{row.table}/{row.variant}",
            )
        axes.set_xlabel("minutes a run")
        axes.set_ylabel("test accuracy, %")
        figure.legend(loc="outside right upper", ncols=1 + len(axes.containers) // 18)
    return figure


def confusion_figure(counts: Integers, classes: Sequence[str], title: str) -> Figure:
    """True classes in rows, predicted in columns; shades and figures are % of the true class."""
    num_classes = len(classes)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with styled(grid=True):
        side = min(9.0, 2.2 + 0.26 * num_classes)
        figure = Figure(figsize=(side, side))
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=100)
        if num_classes <= _MOST_NAMED:
            axes.set_xticks(range(num_classes), classes, rotation=90)
            axes.set_yticks(range(num_classes), classes)
        if num_classes <= _MOST_WRITTEN:
            for (row, column), share in np.ndenumerate(shares):
                if share >= 0.5:
                    colour = "white" if share > 50 else "#222222"
                    said = axes.text(column, row, f"{share:.0f}", fontsize=5.5, color=colour)
                    said.set(ha="center", va="center")
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")
        axes.set_title(title)
    return figure


def reliability_figure(parts: Sequence[tuple[str, Sequence[Bin]]], said: str) -> Figure:
    """Accuracy against confidence (%), with intervals, for each named set of bars."""
    with styled(grid=True):
        figure = Figure(figsize=(3.15 * len(parts), 3.1))
        places = figure.subplots(1, len(parts), squeeze=False)[0]
        for axes, (name, bins) in zip(places, parts, strict=True):
            axes.plot((0, 100), (0, 100), color="#999999", linewidth=0.8, linestyle=(0, (1, 1.5)))
            for each in bins:
                where = 100 * each.confidence
                ends = (100 * each.interval.low, 100 * each.interval.high)
                axes.plot((where, where), ends, color="#0072B2", linewidth=1)
                axes.plot(where, 100 * each.accuracy, "o", markersize=4, color="#0072B2")
            axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence, %", ylabel="accuracy, %")
            axes.set_aspect("equal")
            axes.set_title(name)
        figure.suptitle(said, x=0.01, ha="left", fontsize=8)
    return figure
