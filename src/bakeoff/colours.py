"""The look of every variant: one colour and one marker each, the same in every figure and page.

The base of a table is grey. A table takes the colours in turn, the next one from another start;
where they repeat, markers tell the tables apart.
The colours are those of Okabe and Ito, without yellow and with two more, chosen to be told apart
with any colour vision, on white and on near-black.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

BASE = "#848484"
PALETTE = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#A6761D", "#7B5EC6"),
)
STEP = 3
MARKERS = ("circle", "square", "triangle-up", "diamond", "pentagon", "star")


@dataclass(frozen=True)
class Look:
    """How one variant is drawn; `marker` has Plotly's name; `-open` on a colour's second use."""

    colour: str
    marker: str


def looks(variants: Iterable[tuple[str, str, bool]]) -> dict[tuple[str, str], Look]:
    """Return the look of each (table, variant, is base), by their order in the study."""
    found: dict[tuple[str, str], Look] = {}
    used: dict[str, int] = {}
    for table, variant, is_base in variants:
        used.setdefault(table, 0)
        number = list(used).index(table)
        marker = MARKERS[number % len(MARKERS)]
        round_, place = divmod(used[table], len(PALETTE))
        colour = BASE if is_base else PALETTE[(place + STEP * number) % len(PALETTE)]
        found[table, variant] = Look(colour, marker + ("-open" if round_ % 2 else ""))
        used[table] += not is_base
    return found
