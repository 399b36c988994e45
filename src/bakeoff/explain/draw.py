"""Figures of what a net learned (Matplotlib), from arrays: for papers as PDF, SVG and PNG.

No torch; `paper` has the style and saves.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bakeoff.explain import tiles, words
from bakeoff.explain.stored import Activation, Panel
from bakeoff.explain.v1 import Comparison, is_oriented
from bakeoff.paper import styled

INK, QUIET, DOUBTED = "#222222", "#6a655c", "#b0401c"
LOOKS = {"own": "#0072B2", "start": "#E69F00", "shuffled": "#9a948a", "random": "#c9c4ba"}
Bytes = NDArray[np.uint8]


def filters_figure(
    pictures: Bytes, alive: NDArray[np.bool_], title: str, likeness: Comparison | None = None
) -> Figure:
    """Weight maps (K, h, w, 3 or 1) in a grid; dead filters are struck out."""
    count, height, width = pictures.shape[:3]
    columns = tiles.columns_for(count, wide=2 if count > 100 else 1)
    rows = -(-count // columns)
    across = 6.3 if count > 100 else 4.2
    with styled():
        figure = Figure(figsize=(across, across * rows * height / columns / width + 0.75))
        axes = figure.subplots()
        large = tiles.enlarged(pictures)
        side, gap = large.shape[1], max(1, large.shape[1] // 8)
        axes.imshow(tiles.grid(large, columns, gap))
        axes.set_axis_off()
        for number in np.flatnonzero(~alive):
            row, column = divmod(int(number), columns)
            left, top = column * (side + gap) - 0.5, row * (side + gap) - 0.5
            ends = (left + 1, left + side - 1), (top + side - 1, top + 1)
            axes.plot(*ends, color="white", linewidth=1.6)
            axes.plot(*ends, color=INK, linewidth=0.7)
        _title(figure, title, words.of_filters(count, (height, width), int((~alive).sum())))
        if likeness:
            axes.set_title(words.of_likeness(likeness), fontsize=7, color=QUIET, wrap=True)
    return figure


def activation_figure(activation: Activation, photograph: Bytes, title: str) -> Figure:
    """A layer's tiles beside the photograph (S, S, 3) that they answer to."""
    shown = tiles.coloured(activation.tiles)
    columns = tiles.columns_for(len(shown), wide=1.4)
    height = 4.9 * shown.shape[1] * -(-len(shown) // columns) / (columns * shown.shape[2])
    gap = max(1, shown.shape[1] // 16)
    with styled():
        figure = Figure(figsize=(6.6, max(height, 1.6) + 0.6))
        left, right = figure.subplots(1, 2, width_ratios=(1, 3.4))
        left.imshow(photograph, interpolation="antialiased")
        left.set_title("photograph", fontsize=7, color=QUIET)
        left.set_anchor("N")
        right.imshow(tiles.grid(shown, columns, gap))
        right.set_anchor("NW")
        right.set_title(words.of_activation(activation), fontsize=7, color=QUIET)
        for axes in (left, right):
            axes.set_axis_off()
        _title(figure, title, f"layer {activation.layer}")
    return figure


def cam_figure(panels: Sequence[Panel], classes: Sequence[str], title: str) -> Figure:
    """Photographs beside their Grad-CAM maps, with the checks; maps that fail are framed."""
    pairs = 1 if len(panels) == 1 else 3
    rows = -(-len(panels) // pairs)
    with styled():
        figure = Figure(figsize=(3.9 if pairs == 1 else 3.3 * pairs, 1.95 * rows + 0.6))
        grid = figure.subplots(rows, 2 * pairs, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for number, panel in enumerate(panels):
            row, column = divmod(number, pairs)
            _panel(grid[row, 2 * column], grid[row, 2 * column + 1], panel, classes)
        _title(figure, title, "Grad-CAM of the predicted class")
        if panels:
            rules = textwrap.fill(words.of_rules(panels[0].moves), 75 * pairs)
            figure.supxlabel(rules, x=0.01, ha="left", fontsize=5.5, color=QUIET)
    return figure


def likeness_figure(likeness: Comparison, title: str) -> Figure:
    """V1 figures beside their controls, and where the oriented filters lie."""
    with styled():
        figure = Figure(figsize=(6.6, 2.7))
        bars, places = figure.subplots(1, 2, width_ratios=(1.5, 1))
        _bars(bars, likeness)
        places.remove()
        polar: Any = figure.add_subplot(1, 2, 2, projection="polar")
        side = words.SIDE_OF_FIT
        kept = [g for g in likeness.own.gabors if is_oriented(g, side, side)]
        doubled = [np.radians(gabor.orientation) for gabor in kept]
        polar.scatter(doubled, [g.frequency for g in kept], s=14, color=LOOKS["own"], alpha=0.75)
        polar.set_thetamin(0)
        polar.set_thetamax(180)
        polar.set_rlim(0, 0.5)
        polar.set_rticks([0.1, 0.3, 0.5])
        polar.tick_params(labelsize=6, colors=QUIET)
        polar.grid(color="#e2ddd3", linewidth=0.6)
        polar.set_title("orientation, and cycles a pixel", fontsize=7, color=QUIET)
        _title(figure, title, f"n = {likeness.own.living} living filters")
    return figure


def _bars(axes: Axes, likeness: Comparison) -> None:
    names = ("Gabor share", "oriented", "colour-opponent")
    parts = {"own": likeness.own, "start": likeness.start}
    parts |= {"shuffled": likeness.shuffled, "random": likeness.random}
    there = {name: part for name, part in parts.items() if part is not None}
    thick = 0.8 / len(there)
    for number, (name, part) in enumerate(there.items()):
        values = [part.gabor_share, part.oriented, part.opponent]
        shown = [100 * (value or 0) for value in values]
        where = np.arange(len(names)) + (number - (len(there) - 1) / 2) * thick
        drawn_bars = axes.barh(
            where, shown, thick * 0.9, color=LOOKS[name], label=words.PARTS[name]
        )
        labels = [words.percent(value) for value in values]
        axes.bar_label(drawn_bars, labels, padding=2, fontsize=6, color=QUIET)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xlabel("% of living filters (Gabor share: median)")
    axes.legend(loc="lower right")


def _panel(left: Axes, right: Axes, panel: Panel, classes: Sequence[str]) -> None:
    left.imshow(panel.image, interpolation="antialiased")
    right.imshow(tiles.overlay(panel.image, panel.map), interpolation="antialiased")
    left.set_title(words.of_prediction(panel, classes), fontsize=6)
    colour = DOUBTED if panel.doubts else QUIET
    right.set_title(words.of_checks(panel), fontsize=6, color=colour)
    if panel.doubts:
        right.set_axis_on()
        right.set(xticks=[], yticks=[])
        for spine in right.spines.values():
            spine.set(visible=True, color=DOUBTED, linewidth=2, linestyle=(0, (2, 1.5)))


def _title(figure: Figure, title: str, more: str) -> None:
    figure.suptitle(f"{title}; {more}", x=0.01, ha="left", fontsize=8)
