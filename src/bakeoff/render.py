"""Rows as text: a terminal table, Markdown, LaTeX, CSV and JSON lines. Numbers come from `tables`.

Accuracy is 0..1 in JSON and CSV, and % (differences: points) wherever people read it. A number
that is not known is a dash for people and null, or nothing, for programs.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeGuard

from bakeoff.tables import TableRow

KEYS = (
    *("table", "variant", "changes", "n", "test_accuracy", "test_accuracy_spread", "test_loss"),
    *("validation_accuracy", "validation_loss", "train_accuracy", "train_loss", "epochs"),
    *("seconds", "state"),
)
MORE = (
    *("runs", "so_far", "is_base", "base", "difference", "difference_n", "test_images"),
    *("validation_accuracy_spread", "seconds_total", "peak_megabytes", "parameters"),
    *("trainable_parameters", "images_per_second", "frozen_unchanged", "test_reads"),
)
OF_VERDICTS = ("low", "high", "p", "verdict", "explanation")
DASH = "–"
_TEX = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"→": r"$\to$", "±": r"$\pm$", "−": "$-$", "–": "--", "×": r"$\times$", "<": r"\textless{}"},
    **{">": r"\textgreater{}", "|": r"\textbar{}", "Δ": r"$\Delta$"},
}


@dataclass(frozen=True)
class Column:
    """A printed column: its heading, its text for a row, and whether it holds numbers."""

    head: str
    text: Callable[[TableRow], str]
    number: bool = True


def percent(value: float | None, spread: float | None = None) -> str:
    """Say an accuracy in %, `81.6`, with its spread over runs where there is one: `81.6 ± 0.4`."""
    if not _known(value):
        return DASH
    return f"{100 * value:.1f}" + (f" ± {100 * spread:.1f}" if _known(spread) else "")


def points(value: float | None) -> str:
    """Say a difference of accuracies in points, always with its sign: `+1.6`, `−0.8`, `0.0`."""
    if not _known(value):
        return DASH
    said = f"{100 * value:+.1f}".replace("-", "−")
    return "0.0" if said[1:] == "0.0" else said


def loss(value: float | None) -> str:
    """Say a loss with three decimals."""
    return f"{value:.3f}" if _known(value) else DASH


def duration(seconds: float | None) -> str:
    """Say a time in the largest fitting unit, in two digits: `52 s`, `5.2 min`, `2.1 h`."""
    if not _known(seconds):
        return DASH
    for unit, size in (("s", 1), ("min", 60), ("h", 3600)):
        value = seconds / size
        if value < 59.5 or unit == "h":
            break
    return f"{value:.{1 if value < 9.95 else 0}f} {unit}"


def count(value: float | None) -> str:
    """Say a number of epochs: whole, or with one decimal where it is a mean of unequal runs."""
    return f"{value:.{0 if value == round(value) else 1}f}" if _known(value) else DASH


def state(row: TableRow) -> str:
    """Say how many runs are finished, and where not all are, of how many and why: `2/3 running`."""
    return str(row.n) if row.n == row.runs else f"{row.n}/{row.runs} {row.state}"


VARIANT = Column("Variant", lambda r: r.variant, number=False)
TEST = Column("Test %", lambda r: percent(r.test_accuracy, r.test_accuracy_spread))
DIFFERENCE = Column("Δ base", lambda r: "base" if r.is_base else points(r.difference))
TEST_LOSS = Column("Test loss", lambda r: loss(r.test_loss))
VERDICT = Column("Verdict", lambda r: r.verdict.verdict if r.verdict else "", number=False)

RUNS = Column("Runs", state, number=False)
TIME = Column("Time", lambda r: duration(r.seconds))
CHANGES = Column("Changes", lambda r: "base" if r.is_base else r.changes, number=False)
VALIDATION = Column("Val. %", lambda r: so_far(percent(r.validation_accuracy), r))
VAL_LOSS = Column("Val. loss", lambda r: so_far(loss(r.validation_loss), r))
TRAIN = Column("Train %", lambda r: so_far(percent(r.train_accuracy), r))
TRAIN_LOSS = Column("Train loss", lambda r: so_far(loss(r.train_loss), r))
EPOCHS = Column("Epochs", lambda r: so_far(count(r.epochs), r))
FULL = (
    *(VARIANT, CHANGES, TEST, DIFFERENCE, TEST_LOSS, VALIDATION, VAL_LOSS, TRAIN, TRAIN_LOSS),
    *(EPOCHS, TIME, RUNS),
)


def so_far(text: str, row: TableRow) -> str:
    """Mark a number of a row that has no finished run yet with an asterisk."""
    return f"{text}*" if row.so_far and text != DASH else text


def caption(rows: Sequence[TableRow]) -> str:
    """Say what the numbers are: split, n, spread, photographs, cost; and what went wrong."""
    images = sorted({row.test_images for row in rows if row.test_images})
    of = f" on {' or '.join(f'{number:,}' for number in images)} photographs" if images else ""
    said = [
        f"Test %: mean accuracy{of}, ± sample standard deviation over the runs, one a seed.",
        "Δ base: mean difference in points to the table's base over the seeds that both have.",
        "Val. and train: of the epoch chosen on validation; train in eval mode, not augmented.",
        "Loss: cross-entropy in nats. Time: one run.",
    ]
    if any(row.so_far for row in rows):
        said.append("*: no run finished; the best epoch so far.")
    said += [f"{row.variant}: {row.progress}." for row in rows if len(row.counts) > 2]
    if waiting := [table for table, _ in by_table(rows) if table not in dict(begun(rows))]:
        said.append(f"Not begun, and not shown: {', '.join(waiting)}.")
    notes = [note for row in rows for note in row.notes]
    if notes:
        said.append("Failed or unread: " + "; ".join(notes) + ".")
    return " ".join(said)


def with_verdicts(rows: Sequence[TableRow], shown: tuple[Column, ...] = FULL) -> tuple[Column, ...]:
    """Return the columns `shown`, with one for verdicts where there are any."""
    if not any(row.verdict for row in rows):
        return shown
    place = shown.index(DIFFERENCE) + 1
    return (*shown[:place], VERDICT, *shown[place:])


def by_table(rows: Iterable[TableRow]) -> list[tuple[str, list[TableRow]]]:
    """Group rows by table, in their order."""
    return [(table, list(group)) for table, group in groupby(rows, lambda row: row.table)]


def begun(rows: Iterable[TableRow]) -> list[tuple[str, list[TableRow]]]:
    """Group rows by table without the tables of which no run has begun, unless none has."""
    tables = by_table(rows)
    return [each for each in tables if any(row.state != "pending" for row in each[1])] or tables


def as_dict(row: TableRow) -> dict[str, Any]:
    """Return a row as plain data: the promised keys first; numbers that are not finite are None."""
    said = {key: getattr(row, key) for key in (*KEYS, *MORE)}
    said["epochs"] = _whole(row.epochs)
    said["seeds"] = [score.run.seed for score in row.scores if score.state == "finished"]
    said["notes"] = list(row.notes)
    said |= {key: getattr(row.verdict, key) if row.verdict else None for key in OF_VERDICTS}
    return {key: _finite(value) for key, value in said.items()}


def json_lines(rows: Iterable[TableRow]) -> str:
    """Return one JSON object a line, one line a row."""
    return "".join(json.dumps(as_dict(row), ensure_ascii=False) + "\n" for row in rows)


def csv_text(rows: Iterable[TableRow]) -> str:
    """Return comma-separated values with a heading line, with the numbers of the JSON."""
    file = io.StringIO()
    heads = (*KEYS, *MORE, *OF_VERDICTS)
    writer = csv.DictWriter(file, heads, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(as_dict(row) for row in rows)
    return file.getvalue()


def markdown(rows: Sequence[TableRow]) -> str:
    """Return a Markdown table for every table of the study that is begun, and one caption."""
    shown, parts = with_verdicts(rows), []
    for table, group in begun(rows):
        lines = [[column.head for column in shown]]
        lines.append(["--:" if column.number else ":--" for column in shown])
        lines += [[_markdown(column.text(row)) for column in shown] for row in group]
        body = "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
        parts.append(f"**{_markdown(table)}**\n\n{body}\n")
    return "\n".join([*parts, _markdown(caption(rows)) + "\n"])


def latex(rows: Sequence[TableRow]) -> str:
    """Return a LaTeX table (booktabs) for every table that is begun, with caption and label."""
    shown, parts = with_verdicts(rows), []
    layout = "".join("r" if column.number else "l" for column in shown)
    for table, group in begun(rows):
        body = [" & ".join(tex(column.text(row)) for column in shown) + r" \\" for row in group]
        lines = [
            r"\begin{table}",
            rf"\caption{{{tex(table)}. {tex(caption(group))}}}",
            rf"\label{{tab:{table}}}",
            rf"\begin{{tabular}}{{{layout}}}",
            r"\toprule",
            " & ".join(tex(column.head) for column in shown) + r" \\",
            *(r"\midrule", *body, r"\bottomrule", r"\end{tabular}", r"\end{table}"),
        ]
        parts.append("\n".join(lines) + "\n")
    return "% needs \\usepackage{booktabs}\n" + "\n".join(parts)


def tex(text: str) -> str:
    """Escape `text` for LaTeX."""
    return "".join(_TEX.get(sign, sign) for sign in text)


def _markdown(text: str) -> str:
    return "".join(f"\\{sign}" if sign in "\\|*_`<[" else sign for sign in text)


def _known(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == round(value) else value
