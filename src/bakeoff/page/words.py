"""What the page says in sentences: the answer, differences, how far the study is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from bakeoff.render import begun, percent, points
from bakeoff.tables import STATES, TableRow


def answer(rows: Sequence[TableRow]) -> str:
    """Answer the study's question in a sentence or two, as far as its runs go."""
    best = leader(rows)
    if best is None:
        return f"No run is finished yet: {progress(rows)}."
    photographs = f"{best.test_images:,} test photographs" if best.test_images else "the test"
    score = percent(best.test_accuracy, best.test_accuracy_spread).replace(" ±", " % ±")
    unit = "" if "±" in score else " %"
    many = len([row for row in rows if row.n]) > 1
    lead = f"{name(best, rows)} did best on validation and" if many else name(best, rows)
    said = f"{lead} reaches {score}{unit} on {photographs} ({counted(best.n, 'run')})"
    if best.difference is not None:
        said += f": {in_words(best)}"
    elif best.is_base and len(of_table(best, rows)) > 1:
        said += "; no change to it did better there"
    if best.verdict:
        said += f"; verdict: {best.verdict.verdict}"
    return f"{said}. {_reserve(rows)}".strip()


def table_answers(rows: Sequence[TableRow]) -> list[tuple[str, str]]:
    """Answer for each table that is begun, where there are several: its name and a sentence."""
    tables = begun(rows)
    return [(table, answer_of_table(group)) for table, group in tables] if len(tables) > 1 else []


def answer_of_table(rows: Sequence[TableRow]) -> str:
    """Name what is best on validation in a table, its accuracy and its difference to the base."""
    best = leader(rows)
    if best is None:
        return f"No run is finished yet: {progress(rows)}."
    score = f"{best.variant}: {percent(best.test_accuracy, best.test_accuracy_spread)} %"
    said = f"{score} on test ({counted(best.n, 'run')})"
    return f"{said}, {'the base' if best.is_base else in_words(best)}.".replace(", .", ".")


def leader(rows: Sequence[TableRow]) -> TableRow | None:
    """Return the finished row that is best on validation: the test is not used to choose."""
    ready = [row for row in rows if row.n and row.test_accuracy is not None]
    return max(ready, key=lambda row: row.validation_accuracy or 0.0, default=None)


def in_words(row: TableRow) -> str:
    """Say a row's difference to its base, rounded as it is printed: `5.4 points better than …`."""
    if row.difference is None:
        return ""
    said = points(row.difference)
    if said == "0.0":
        return f"no different from {row.base}"
    return f"{said[1:]} points {'better' if said[0] == '+' else 'worse'} than {row.base}"


def tone(row: TableRow) -> str:
    """Return `up` or `down` where a verdict says so: without one no difference gets a colour."""
    said = row.verdict.verdict.lower() if row.verdict else ""
    return "up" if said.startswith("helped") else "down" if said.startswith("hurt") else ""


def name(row: TableRow, rows: Sequence[TableRow]) -> str:
    """Name a variant, with its table where the study has several."""
    tables = {other.table for other in rows}
    return f"{row.table}/{row.variant}" if len(tables) > 1 else row.variant


def progress(rows: Sequence[TableRow]) -> str:
    """Say how many runs the study has and what became of them: `2 running, 4 pending of 6`."""
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row.counts)
    said = ", ".join(f"{total[state]:,} {state}" for state in STATES if total[state])
    return f"{said} of {total.total():,}" if len(said.split(", ")) > 1 else said or "no runs"


def counted(number: int, what: str) -> str:
    """Say `1 run`, `5 runs`."""
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def of_table(row: TableRow, rows: Sequence[TableRow]) -> list[TableRow]:
    """Return the finished rows of the table of `row`."""
    return [other for other in rows if other.table == row.table and other.n]


def _reserve(rows: Sequence[TableRow]) -> str:
    """Say what keeps the answer from being final."""
    if any(row.n != row.runs for row in rows):
        return f"Not all runs are there: {progress(rows)}."
    if len(rows) > 1 and all(row.n == 1 for row in rows):
        return "Each variant ran once, so small differences may be chance."
    return ""
