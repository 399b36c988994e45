"""Figures for papers of what a study's nets learned: the page's section, in full. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bakeoff import paper
from bakeoff.explain import draw
from bakeoff.explain.section import Shown, chosen, panels_of_best
from bakeoff.store import RunFiles


def pictured(runs: Sequence[RunFiles], folder: Path) -> list[Path]:
    """Draw filters, V1 likeness and activations of each variant, and the best run's Grad-CAM.

    Files are `<what>-<table>-<variant>` in `folder`, as PDF, SVG and PNG; return them.
    """
    files = []
    for each in chosen(runs):
        own = f"{each.run.table}-{each.run.variant}"
        for what, figure in _learned(each):
            files += paper.save(figure, folder, f"{what}-{own}")
    if explained := panels_of_best(runs):
        run, panels = explained
        classes = [str(name) for name in run.run.get("classes", ())]
        figure = draw.cam_figure(panels, classes, f"{run.table}/{run.variant}, seed {run.seed}")
        files += paper.save(figure, folder, f"cam-{run.table}-{run.variant}")
    return files


def _learned(each: Shown) -> Iterator[tuple[str, Figure]]:
    maps, likeness = each.maps, each.maps.v1
    measured = likeness if likeness and likeness.own.oriented is not None else None
    if len(maps.filters):
        alive = maps.alive[: len(maps.filters)]
        yield "weights", draw.filters_figure(maps.filters, alive, each.name, measured)
    if measured:
        yield "v1-likeness", draw.likeness_figure(measured, f"{each.name}: V1 likeness")
    for activation in maps.activations:
        figure = draw.activation_figure(activation, maps.image, each.name)
        yield f"activations-{activation.layer}", figure
