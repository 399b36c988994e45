"""The look of every variant: one colour and one marker each, the same in every figure and page.

The base of a table is grey. Colours repeat from table to table, markers tell the tables apart.
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
MARKERS = ("circle", "square", "triangle-up", "diamond", "pentagon", "star")


@dataclass(frozen=True)
class Look:
    """How one variant is drawn; `marker` has Plotly's name; `-open` on a colour's second use."""

    colour: str
    marker: str


def looks(variants: Iterable[tuple[str, str, bool]]) -> dict[tuple[str, str], Look]:
    """Return the look of each (table, variant, is base), by their order in the study."""
    found: dict[tuple[str, str], Look] = {}
    tables: dict[str, int] = {}
    for table, variant, is_base in variants:
        marker = MARKERS[list(tables).index(table) % len(MARKERS)] if table in tables else ""
        if not marker:
            marker = MARKERS[len(tables) % len(MARKERS)]
            tables[table] = 0
        round_, place = divmod(tables[table], len(PALETTE))
        colour = BASE if is_base else PALETTE[place]
        found[table, variant] = Look(colour, marker + ("-open" if round_ % 2 else ""))
        tables[table] += not is_base
    return found
