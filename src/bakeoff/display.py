"""What a study shows while it runs: a table that fills on a terminal, plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from bakeoff.recipe import in_words
from bakeoff.store import Record
from bakeoff.study import Row, Run

SECONDS_BETWEEN_LINES = 10.0


@dataclass
class _Line:
    """What one row of the live table shows: its seeds so far and the last epoch seen."""

    row: Row
    runs: int | None = 0
    ended: int = 0
    failed: int = 0
    epoch: int = 0
    validation: float | None = None
    active: set[str] = field(default_factory=set)

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the columns."""
        seeds = str(self.ended) if self.runs is None else f"{self.ended}/{self.runs}"
        seeds += f", {self.failed} failed" if self.failed else ""
        epoch = f"{self.epoch}/{self.row.recipe.epochs}" if self.active and self.epoch else ""
        accuracy = "" if self.validation is None else f"{100 * self.validation:.1f}"
        name = f"{self.row.table}/{self.row.variant}"
        change = "base" if self.row.is_base else in_words(self.row.change)
        return name, change, seeds, epoch, accuracy


class Display:
    """Shows runs on `console`; opened and closed by `showing`.

    `planned` rows and how many runs each will have; None where that is decided on the way.
    """

    def __init__(self, console: Console, planned: Mapping[Row, int | None]) -> None:
        self.console = console
        self.lines = {row: _Line(row, count) for row, count in planned.items()}
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            auto_refresh=False,
        )
        self.task = self.bar.add_task("", visible=False)
        self.what = ""
        self.said = monotonic()

    def progress(self, what: str, done: int, total: int) -> None:
        """Show how far a piece of work is; `total` 0 where that is not known."""
        if what != self.what:
            self.bar.reset(self.task, total=total or None, description=what, visible=True)
            self.what = what
        self.bar.update(self.task, completed=done, total=total or None)
        quiet = monotonic() - self.said < SECONDS_BETWEEN_LINES
        if not self.console.is_terminal and not quiet:
            self.console.print(f"{what}: {done} of {total or '?'}", highlight=False)
            self.said = monotonic()

    def started(self, run: Run) -> None:
        """Mark a run's row."""
        line = self.lines[run.row]
        line.active.add(run.name)
        line.epoch = 0

    def measured(self, run: Run, record: Record) -> None:
        """Show an epoch's validation accuracy."""
        line = self.lines[run.row]
        line.epoch, line.validation = record.epoch, record.validation_accuracy
        if not self.console.is_terminal:
            self.console.print(
                f"{run.name}  epoch {record.epoch}/{run.row.recipe.epochs}  "
                f"train {100 * record.train_accuracy:.1f} %  "
                f"validation {100 * record.validation_accuracy:.1f} %  {record.seconds:.1f} s",
                highlight=False,
            )
            self.said = monotonic()

    def ended(self, run: Run, error: str) -> None:
        """Count a run as done or failed; a failure is said in full."""
        line = self.lines[run.row]
        line.active.discard(run.name)
        line.failed += bool(error)
        line.ended += not error
        if error:
            self.console.print(Text(f"{run.name} failed: {error}", style="red"))

    def __rich__(self) -> Group:
        """Draw the table and the bar under it."""
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for head in ("variant", "change"):
            table.add_column(head, overflow="ellipsis", no_wrap=head == "variant")
        for head in ("seeds", "epoch", "validation %"):
            table.add_column(head, justify="right", no_wrap=True)
        for line in self.lines.values():
            style = "bold" if line.active else "dim" if not line.ended and not line.failed else ""
            table.add_row(*map(Text, line.cells()), style=style)
        return Group(table, self.bar)


@contextmanager
def showing(console: Console, planned: Mapping[Row, int | None]) -> Iterator[Display]:
    """Open a display: a live table on a terminal, plain lines elsewhere."""
    display = Display(console, planned)
    if not console.is_terminal:
        yield display
        return
    with Live(display, console=console, refresh_per_second=4, transient=True):
        yield display


def plan(runs: Sequence[Run]) -> Group:
    """Return the dry-run tables: every variant and how it differs from its base."""
    tables: dict[str, Table] = {}
    for row, count in counted(runs).items():
        if row.table not in tables:
            title = Text(row.table, style="bold")
            tables[row.table] = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
            for head in ("variant", "changes to the base", "runs"):
                tables[row.table].add_column(head, overflow="fold")
        said = "(base) " + _base(row) if row.is_base else in_words(row.change)
        tables[row.table].add_row(Text(row.variant), Text(said), str(count))
    total = Text(f"{len(runs)} runs", style="dim")
    return Group(*tables.values(), total)


def counted(runs: Sequence[Run]) -> dict[Row, int]:
    """Return how many of `runs` each row has."""
    counts: dict[Row, int] = {}
    for run in runs:
        counts[run.row] = counts.get(run.row, 0) + 1
    return counts


def _base(row: Row) -> str:
    recipe = row.recipe
    frozen = "+".join(recipe.freeze) or "nothing"
    rate = recipe.lr if recipe.lr == "auto" else f"{recipe.lr:g}"
    taught = f", taught by {recipe.distill.teacher}" if recipe.distill.teacher else ""
    return (
        f"{recipe.model}, weights {recipe.weights}, frozen {frozen}, {recipe.optimizer} "
        f"lr {rate}, {recipe.epochs} epochs, batch {recipe.batch}, {recipe.size} px{taught}"
    )
