"""The table on a terminal (Rich): fewer columns where it is narrow, a state for every row.

Where not everything fits on one line, what changed stands below the variant's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich import box
from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bakeoff.growth import growths
from bakeoff.render import (
    CHANGES,
    DIFFERENCE,
    EPOCHS,
    FULL,
    RUNS,
    TEST,
    TEST_LOSS,
    TIME,
    TRAIN,
    VALIDATION,
    VARIANT,
    VERDICT,
    Column,
    begun,
    caption,
    with_verdicts,
)
from bakeoff.tables import TableRow

NARROW = (VARIANT, CHANGES, TEST, DIFFERENCE, VALIDATION, TIME, RUNS)
WIDE = (VARIANT, CHANGES, TEST, DIFFERENCE, TEST_LOSS, VALIDATION, TRAIN, EPOCHS, TIME, RUNS)
_STYLES = {"failed": "red", "running": "cyan", "interrupted": "yellow", "pending": "dim"}


def terminal(rows: Sequence[TableRow], width: int = 80) -> RenderableType:
    """Return a Rich table for every table of the study that is begun, to be read at `width`."""
    shown = _columns(rows, width)
    tables = [_table(name, group, shown) for name, group in begun(rows)]
    if any(_natural_width(table) > width for table in tables):
        shown = tuple(column for column in shown if column != CHANGES)
        tables = [_table(name, group, shown) for name, group in begun(rows)]
    told = [Text(growth.in_words()) for growth in growths(rows)]
    return Group(*tables, *told, Text(caption(rows), style="dim"))


def show(rows: Sequence[TableRow], console: Console | None = None) -> None:
    """Print the rows on `console`, as wide as it is."""
    console = console or Console()
    console.print(terminal(rows, console.width))


def _columns(rows: Sequence[TableRow], width: int) -> tuple[Column, ...]:
    judged = any(row.verdict for row in rows)
    narrow = tuple(column for column in NARROW if not (judged and column == VALIDATION))
    shown = FULL if width >= 150 else WIDE if width >= 110 else narrow
    return with_verdicts(rows, shown)


def _table(name: str, rows: Sequence[TableRow], shown: Sequence[Column]) -> Table:
    table = Table(
        title=Text(name, style="bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    below = CHANGES not in shown
    for column in shown:
        wraps = column in (CHANGES, RUNS, VERDICT) or (below and column == VARIANT)
        justify: Literal["left", "right"] = "right" if column.number else "left"
        table.add_column(column.head, justify=justify, no_wrap=not wraps, overflow="fold")
        if below and column in (RUNS, VERDICT):  # the room is for the changes
            words = " ".join([column.head, *map(column.text, rows)]).split()
            table.columns[-1].max_width = max(len("tell yet"), *map(len, words))
    for row in rows:
        cells = [Text(column.text(row)) for column in shown]
        if below and not row.is_base:
            cells[shown.index(VARIANT)].append(f"\n{row.changes}", style="dim")
        table.add_row(*cells, style=_STYLES.get(row.state, ""))
    return table


def _natural_width(table: Table) -> int:
    """Return how wide `table` is where nothing limits it."""
    console = Console(width=10_000)
    return Measurement.get(console, console.options, table).maximum
