"""Figures for papers (Matplotlib): curves, accuracy against cost, confusion; as PDF, SVG and PNG.

Every figure is made from rows and run folders, without pyplot and without global state; the same
input gives the same bytes. What a variant looks like is decided in `colours`.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import font_manager, rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from bakeoff.colours import Look, looks
from bakeoff.confusion import pooled
from bakeoff.curves import Curve, curves
from bakeoff.evaluate import Integers
from bakeoff.render import by_table, percent, points
from bakeoff.tables import TableRow

FORMATS = ("pdf", "svg", "png")
Looks = Mapping[tuple[str, str], Look]
_MARKERS = {
    **{"circle": "o", "square": "s", "triangle-up": "^", "diamond": "D"},
    **{"pentagon": "p", "star": "*"},
}
_LINES = (
    ("train", "train, as trained on", (0, (1, 1.5))),
    ("clean", "train, clean", (0, (5, 2))),
    ("validation", "validation", "solid"),
)
_WIDE_FONTS = ("Noto Sans CJK JP", "Noto Sans CJK SC", "Hiragino Sans", "Yu Gothic", "SimSun")
_LAST_OF_DEJAVU = "\u2e7f"
_MOST_WRITTEN, _MOST_NAMED = 25, 60
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.3,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "svg.hashsalt": "bakeoff",
    "savefig.dpi": 200,
}


def draw(rows: Sequence[TableRow], folder: Path, *, every: bool = True) -> list[Path]:
    """Draw the figures that `rows` have data for into `folder`; return the files.

    Without `every` these are a table's curves and accuracy against cost; with it also the curves
    and the confusion matrix of each variant.
    """
    return [
        file
        for stem, figure in (*_of_tables(rows), *(_of_variants(rows) if every else ()))
        for file in save(figure, folder, stem)
    ]


def save(figure: Figure, folder: Path, stem: str) -> list[Path]:
    """Save `figure` as PDF, SVG and PNG without date or version, so that bytes repeat."""
    folder.mkdir(parents=True, exist_ok=True)
    dates: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None},
        "svg": {"Date": None},
        "png": {"Software": None},
    }
    files = []
    with _style(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        _readable(figure)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")
        for suffix in FORMATS:
            files.append(folder / f"{stem}.{suffix}")
            figure.savefig(files[-1], metadata=dates[suffix])
    return files


def _of_tables(rows: Sequence[TableRow]) -> Iterator[tuple[str, Figure]]:
    look = looks((row.table, row.variant, row.is_base) for row in rows)
    for table, group in by_table(_begun(rows)):
        yield f"curves-{table}", overlay_figure(group, look)
    if any(row.n and row.seconds for row in rows):
        yield "accuracy-cost", cost_figure(rows, look)


def _of_variants(rows: Sequence[TableRow]) -> Iterator[tuple[str, Figure]]:
    look = looks((row.table, row.variant, row.is_base) for row in rows)
    for row in _begun(rows):
        yield f"curves-{row.table}-{row.variant}", curve_figure(row, look[row.table, row.variant])
        if found := pooled(row):
            stem = f"confusion-{row.table}-{row.variant}"
            yield stem, confusion_figure(found.counts, found.classes, _title(row))


def _begun(rows: Sequence[TableRow]) -> list[TableRow]:
    return [row for row in rows if any(score.epochs for score in row.scores)]


def curve_figure(row: TableRow, look: Look) -> Figure:
    """Loss beside accuracy of one variant: training as run and clean, validation; as the report."""
    with _style():
        figure = Figure(figsize=(6.3, 2.5))
        found = curves([score.run for score in row.scores])
        panels = zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True)
        for axes, measure in panels:
            for series, label, dash in _LINES:
                if line := found.get(f"{series}_{measure}"):
                    _line(axes, line, measure, look.colour, label=label, linestyle=dash)
            _label(axes, measure)
        figure.axes[0].legend()
        figure.suptitle(_title(row), x=0.01, ha="left", fontsize=8)
    return figure


def overlay_figure(rows: Sequence[TableRow], look: Looks) -> Figure:
    """Loss beside accuracy of all variants of a table, on validation."""
    with _style():
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


def cost_figure(rows: Sequence[TableRow], look: Looks) -> Figure:
    """Test accuracy against the seconds of one run, with the spread over seeds."""
    with _style():
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
    with _style():
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


def _title(row: TableRow) -> str:
    changes = "" if row.is_base else f" ({row.changes})"
    said = [f"{row.table}/{row.variant}{changes}"]
    if row.n:
        said.append(f"test {percent(row.test_accuracy, row.test_accuracy_spread)} %, n = {row.n}")
    if row.difference is not None:
        said.append(f"{points(row.difference)} points to {row.base}")
    return "; ".join(said)


@contextmanager
def _style() -> Iterator[None]:
    """Lay our style over Matplotlib's own."""
    with rc_context(_STYLE):
        yield


def _readable(figure: Figure) -> None:
    """Take names as they are, not as formulas; give those in other scripts a font of theirs."""
    there = {font.name for font in font_manager.fontManager.ttflist}
    wide = [name for name in _WIDE_FONTS if name in there]
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        if max(text.get_text(), default="") > _LAST_OF_DEJAVU:
            text.set_fontfamily(["DejaVu Sans", *wide])
