"""What figures and page say of maps, in one place, so that both say the same. No torch."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from bakeoff.explain.stored import ALIKE, BEATEN, Activation, Panel, why
from bakeoff.explain.v1 import Comparison, Likeness

SIDE_OF_FIT = 7
PARTS = {
    "own": "this net",
    "start": "its start",
    "shuffled": "pixels shuffled",
    "random": "random weights",
}
LONGEST = 34


def percent(value: float | None) -> str:
    """Say a share as `64 %`, or `not measured`."""
    return "not measured" if value is None else f"{100 * value:.0f} %"


def of_filters(count: int, size: Sequence[int], dead: int) -> str:
    """Say how many filters there are and how many of them are dead."""
    said = f"{count} filters of {size[0]} × {size[1]}"
    return f"{said}, {dead} dead" if dead else said


def of_likeness(likeness: Comparison) -> str:
    """Say the V1 figures beside their controls in a sentence."""
    own = likeness.own
    if own.oriented is None:
        opponent = f"Colour-opponent {_beside(likeness, 'opponent')}. " if own.opponent else ""
        return f"{opponent}V1 likeness not measured: {own.reason}"
    said = (
        f"oriented {_beside(likeness, 'oriented')}; Gabor share {_beside(likeness, 'gabor_share')}"
    )
    covered = f"{own.orientations} of 8 orientations, {own.frequencies} of {own.frequency_bins} "
    return f"{said}; colour-opponent {_beside(likeness, 'opponent')}; {covered}half octaves"


def of_activation(activation: Activation) -> str:
    """Say what a layer's grid shows and what it leaves out."""
    channels, height, width = activation.shape
    said = f"{channels} filters of {height} × {width}"
    if activation.left_out:
        said += f", the first {len(activation.tiles)} shown ({activation.left_out} left out)"
    return f"{said}; each tile from its minimum (dark) to its maximum"


def of_prediction(panel: Panel, classes: Sequence[str]) -> str:
    """Say what the net saw in a photograph, and by which rule that was chosen."""
    said = f"{short(classes[panel.predicted])} {100 * panel.confidence:.0f} %"
    if panel.kind is None or panel.label is None:
        return said
    if panel.label != panel.predicted:
        said += f"\nis {short(classes[panel.label])}"
    return f"{why(panel)}\n{said}"


def of_checks(panel: Panel) -> str:
    """Say both checks in figures, and the doubts there are."""
    said = f"deletion {panel.deletion:.2f} beats {panel.beaten} of {panel.moves}"
    if panel.alike_head is not None and panel.alike_last is not None:
        said += f"\nrandomised: {panel.alike_head:+.2f} head, {panel.alike_last:+.2f} last"
    return f"{said}\n{'not shown to explain' if panel.doubts else 'passed both checks'}"


def of_rules(moves: int) -> str:
    """Say what the two checks of a panel are."""
    return (
        "Deletion is the area under the class's probability while blocks are removed in the map's "
        "order; it has to be smaller than for the same map laid at "
        f"{100 * BEATEN:.0f} % of {moves} other places. Randomised is the rank correlation with "
        "maps of nets whose head, or last convolution and all after it, was shuffled; it may not "
        f"exceed {ALIKE}."
    )


def short(name: str) -> str:
    """Shorten a long class name."""
    return textwrap.shorten(name.replace("_", " "), LONGEST, placeholder="…") or name[:LONGEST]


def _beside(likeness: Comparison, field: str) -> str:
    """Say `64 % (start 66 %, shuffled 2 %, random 0 %)`."""
    parts: list[tuple[str, Likeness | None]] = [
        ("start", likeness.start),
        ("shuffled", likeness.shuffled),
        ("random", likeness.random),
    ]
    beside = [f"{name} {percent(getattr(part, field))}" for name, part in parts if part]
    return f"{percent(getattr(likeness.own, field))} ({', '.join(beside)})"
